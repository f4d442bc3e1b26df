"""`collotype index`: a group whose own arguments are sources; write `./check` to index a folder called check."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from collotype.cli import hybrid_index
from collotype.cli.budget import form_within
from collotype.cli.hybrid_index import absolute
from collotype.cli.index_check import check
from collotype.cli.options import (
    Base,
    Dim,
    Dtype,
    IndexFolder,
    Json,
    PasswordFile,
    PoolFactor,
    Preset,
    Untrained,
    documents_named,
    read_passwords,
)
from collotype.runtime.errors import UserError
from collotype.runtime.texts import plural

if TYPE_CHECKING:
    from collotype.search.index import Index
    from collotype.search.ingest import Report
    from collotype.search.ingest.on_ray import OnRay

ADD = "add"
SHOWN = 5
"""Of what was skipped for one cause."""


Sources = Annotated[list[str], typer.Argument(metavar="SOURCE...", help="PDFs, images, or folders of them.")]
To = Annotated[Path, typer.Option("--to", help="The index's folder; created if it does not exist.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="A retriever's folder or hub name, or reader (text only, no GPU) [default: the index's, or reader]."
    ),
]
Also = Annotated[
    list[str],
    typer.Option(
        metavar="MODEL",
        help="Another encoder for the same pages; its hits are fused with those of --model and BM25. "
        "One of reader, a retriever, or bm25 for no encoder; repeatable.",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(help="Storage of a new index's vectors; int8 halves the size [default: int8 for text, else fp16]."),
]
Budget = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="For a new index: the best measured form within this many bytes per page (20KB)."
    ),
]
Frontier = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="For --budget: the file that compress --out wrote [default: MODEL/frontier.json]."
    ),
]
KeepGone = Annotated[bool, typer.Option("--keep-gone", help="Keep documents whose file no longer exists.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of processes that read files (with ray: that encode pages).")
]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Where to read and encode: on this machine or on the Ray cluster at RAY_ADDRESS."),
]
Attachments = Annotated[
    bool, typer.Option("--attachments", help="Also index files attached to PDFs, as separate documents.")
]


class SourcesOrCommand(TyperGroup):
    """`collotype index SOURCE…` is `collotype index add SOURCE…`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        known = args[0] in self.commands
        return super().resolve_command(ctx, args if known else [ADD, *args])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # options may stand before the first source
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = [ADD, *args]
        return super().parse_args(ctx, args)


def add(
    sources: Sources,
    to: To,
    model: Model = None,
    also: Also = [],  # noqa: B006 - typer makes a fresh list
    preset: Preset = None,
    base: Base = None,
    dtype: Dtype = None,
    precision: Precision = None,
    dim: Dim = None,
    pool_factor: PoolFactor = None,
    untrained: Untrained = False,
    budget: Budget = None,
    frontier: Frontier = None,
    keep_gone: KeepGone = False,
    workers: Workers = None,
    engine: Engine = "local",
    attachments: Attachments = False,
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Index PDFs and images, or update an index.

    Encodes new and changed documents and deletes those whose file is gone. After an interruption it resumes.
    """
    from collotype.cli.terminal import Stages
    from collotype.search.hybrid import parts
    from collotype.search.ingest import ingest
    from collotype.search.ingest.sources import find_files

    # before a model is loaded or a folder made
    find_files(sources)
    options: dict[str, Any] = {"workers": workers, "passwords": read_passwords(password_file)}
    form = None
    if budget:
        form = form_within(budget, model, frontier, dim=dim, pool_factor=pool_factor, precision=precision)
        dim, pool_factor, precision, untrained = form.dim, form.pool_factor, form.precision, True
    asked = asked_for(to, model, preset, base, dtype, dim)
    with on_engine(engine, asked, workers) as ray, Stages(quiet=as_json) as options["progress"]:
        own, *beside = hybrid_index.members(to, asked, also, precision, pool_factor, untrained, form)
        report = ingest(
            sources, own.index, own.encoder, prune=not keep_gone, ray=ray, attachments=attachments, **options
        )
        done = [(own, report)]
        for part in beside:
            with on_engine(engine, part.asked, workers) as its_ray:
                report = parts.same_documents(to, part.index, part.encoder, ray=its_ray, **options)
            done.append((part, report))
    hybrid_index.finish(to, done)
    show_all(to, done, as_json)


def asked_for(
    to: Path,
    model: str | None,
    preset: str | None,
    base: str | None,
    dtype: str | None,
    dim: int | None = None,
) -> dict[str, Any]:
    """What `open_encoder` is to be called with: as was said, else as the index in `to` was made."""
    from collotype.search import manifest
    from collotype.search.encoders import READER, READERS, require_dtype
    from collotype.search.ingest import SourceLedger
    from collotype.search.library import with_dtype

    made_with = (SourceLedger(to).model() if manifest.is_index(to) else None) or {}
    if made_with and dim not in (None, made_with.get("dim")):
        raise UserError(f"The index in {to} exists, and its dim cannot be changed; leave --dim out.")
    if dtype:
        require_dtype([model or made_with.get("model", READER)])
    if made_with and not model:
        return with_dtype(made_with, dtype)
    same = made_with.get("model") == model
    kept: dict[str, Any] = {
        name: made_with[name] for name in ("commits", "dtype", "version", "dim") if same and name in made_with
    }
    if not made_with and model and model not in READERS:
        kept = {"dtype": "auto"}
    cut_to = {"dim": dim} if dim else {}
    return with_dtype({"model": model or READER, "preset": preset, "base": base, **kept, **cut_to}, dtype)


def on_engine(engine: str, asked: dict[str, Any], encoders: int | None) -> "AbstractContextManager[OnRay | None]":
    if engine == "local":
        return nullcontext()
    from collotype.search.ingest.on_ray import on_ray

    return on_ray({name: absolute(value) for name, value in asked.items()}, encoders)


def show_all(to: Path, done: "Sequence[tuple[hybrid_index.Member, Report]]", as_json: bool) -> None:
    if as_json:
        print(json.dumps(hybrid_index.as_dict(to, done)))
        return
    for member, report in done:
        show(report, member.index, member.encoder.name)


def show(report: "Report", index: "Index", found_by: str) -> None:
    from collotype.search.ingest.sources import counts_in_words

    new = f"{plural(report.added, 'page')} indexed, {report.unchanged:,} unchanged, {report.removed:,} removed"
    print(f"{index.folder}: {new}; {plural(len(index), 'page')} by {found_by}.")
    if report.without_words or report.read_by_ocr:
        print(f"{plural(report.read_by_ocr, 'page')} read by OCR, {report.without_words:,} without text.")
    if report.left_out:
        print(f"left out by kind: {counts_in_words(report.left_out)}")
    for document, names in report.attachments.items():
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        print(f"attached to {document}, not indexed (use --attachments): {', '.join(names[:SHOWN])}{more}")
    for cause, count in report.causes().items():
        print(f"skipped, {cause}: {count:,}")
        for one in [one for one in report.skipped if one.cause == cause][:SHOWN]:
            print(f"  {one.document}{f', page {one.page}' if one.page else ''}: {one.detail}")
        if count > SHOWN:
            print(f"  … and {count - SHOWN:,} more; --json lists all of them")


def remove(
    index: IndexFolder,
    documents: Annotated[
        list[str], typer.Argument(metavar="DOCUMENT...", help="Document names, as shown in search results.")
    ],
) -> None:
    """Delete documents from an index but keep their files."""
    from collotype.search.hybrid import parts
    from collotype.search.index import Index
    from collotype.search.ingest import SourceLedger
    from collotype.search.ingest.attachments import with_attached

    opened = Index.open(index)
    ledger = SourceLedger(index)
    named = documents_named(index, documents, [document.name for document in opened.documents()])
    named = with_attached(named, ledger.read())
    for document in named:
        print(f"{document}: {plural(opened.delete(document), 'page')} deleted.")
    ledger.update(dict.fromkeys(named))
    for part in parts.read(index):
        parts.forget_others(Index.open(part.folder), ledger.read())


def push(
    index: IndexFolder,
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="qdrant://HOST:PORT/COLLECTION.")],
    as_json: Json = False,
) -> None:
    """Copy an index to Qdrant without encoding again.

    The next push sends only what changed. Set QDRANT_API_KEY to the server's key.
    """
    from collotype.cli.terminal import Stages
    from collotype.search.index import Index
    from collotype.search.uri import parse

    parse(to)
    opened = Index.open(index)
    from collotype.search import qdrant
    from collotype.search.hybrid import parts

    with Stages(quiet=as_json) as progress:
        done = qdrant.push(opened, to, progress)
    if as_json:
        print(json.dumps({"index": str(index), "to": to, **asdict(done)}))
    else:
        print(f"{to}: {plural(done.sent, 'page')} sent, {done.unchanged:,} unchanged, {done.removed:,} removed.")
        for part in parts.read(index):
            print(f"The vectors of {part.model['model']} were not sent; push {part.folder} to a separate collection.")


def export(
    index: IndexFolder,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write; it must not exist yet.")],
    to: Annotated[Literal["vespa", "milvus", "elasticsearch"], typer.Option(help="The target engine.")],
    as_json: Json = False,
) -> None:
    """Export an index for Vespa, Milvus or Elasticsearch.

    Writes the schema, the feed and a sample query, without encoding again.
    """
    from collotype.cli.terminal import Stages
    from collotype.search import export as exporting
    from collotype.search.hybrid import parts
    from collotype.search.index import Index

    opened = Index.open(index)
    with Stages(quiet=as_json) as progress:
        pages = exporting.export(opened, to, folder, progress)
    if as_json:
        print(json.dumps({"index": str(index), "to": to, "folder": str(folder), "pages": pages}))
        return
    written = f"{folder}: {plural(pages, 'page')} for {to}"
    print(f"{written}; its README.txt says how to load them. The files have not been tested on a server.")
    for part in parts.read(index):
        print(f"The vectors of {part.model['model']} are not included; export {part.folder} as well.")


COMMANDS: dict[str, Callable[..., None]] = {ADD: add, "check": check, "remove": remove, "push": push, "export": export}
