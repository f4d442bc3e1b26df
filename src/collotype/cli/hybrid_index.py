"""`collotype index --also`: the indexes that one command updates together."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collotype.runtime.errors import UserError
from collotype.runtime.hub import commits

if TYPE_CHECKING:
    from collotype.cli.budget import Form
    from collotype.search.index import Index
    from collotype.search.ingest import Report
    from collotype.search.pages import Encoder

BM25 = "bm25"


@dataclass(frozen=True)
class Member:
    """One of the indexes, opened with its encoder, and what `open_encoder` was called with."""

    index: "Index"
    encoder: "Encoder"
    asked: dict[str, Any]


def members(
    to: Path,
    asked: dict[str, Any],
    also: Sequence[str],
    precision: str | None,
    pool_factor: int | None,
    untrained: bool,
    form: "Form | None" = None,
) -> list[Member]:
    """The index in `to`, made if it is not there, and those beside it: all before the first page is read.

    Raises:
        UserError: one of the models is not there, or is named twice.
    """
    from collotype.search.hybrid import parts
    from collotype.search.ingest import SourceLedger

    found = [Member(*open_or_create(to, asked, precision, pool_factor, untrained, form), asked)]
    models = [{"model": absolute(name)} for name in also if name.lower() != BM25]
    beside = parts.added(to, models, {**asked, "model": absolute(asked["model"])})
    for part in beside:
        own = SourceLedger(part.folder).model() or dict(part.model)
        found.append(Member(*open_or_create(part.folder, own, precision=None, pool_factor=None), own))
    if also:
        parts.write(to, beside)
    return found


def finish(to: Path, done: Sequence[tuple[Member, "Report"]]) -> None:
    """Makes the side files of what changed."""
    from collotype.search.hybrid import parts

    for member, report in done:
        if report.added or report.removed:
            member.index.optimize()
    words = done[parts.with_words([member.encoder for member, _ in done])][0].index
    words.find_languages()
    if parts.is_hybrid(to):
        words.count_words()


def as_dict(to: Path, done: Sequence[tuple[Member, "Report"]]) -> dict[str, Any]:
    first, *others = [
        {"found_by": member.encoder.name, "pages": len(member.index), **asdict(report)} for member, report in done
    ]
    return {"index": str(to), **first, **({"also": others} if others else {})}


def open_or_create(
    to: Path,
    asked: dict[str, Any],
    precision: str | None,
    pool_factor: int | None,
    untrained: bool = False,
    form: "Form | None" = None,
) -> "tuple[Index, Encoder]":
    """The index in `to` with its model, or a new one."""
    from collotype.search import manifest
    from collotype.search.encoders import open_encoder, to_keep
    from collotype.search.index import Index
    from collotype.search.ingest import SourceLedger

    given = {"precision": precision, "pool_factor": pool_factor}
    settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if manifest.is_index(to):
        if settings:
            raise UserError(
                f"The index in {to} exists, and its {next(iter(settings))} cannot be changed; leave the option out."
            )
        encoder = open_encoder(**asked)
        return Index.open(to, encoder), encoder
    with commits() as used:
        encoder = open_encoder(**asked)
    if not untrained and (require := getattr(encoder, "require_trained", None)):
        require(pool_factor)
    model: Any = form and getattr(encoder, "model", None)
    if form and form.model != (now := model.page_digest):
        raise UserError(
            f"--budget was measured with model {form.model[:12]}, but {encoder.name} is {now[:12]}; measure this one "
            "with `collotype compress`."
        )
    made_by = {"encoder_name": encoder.name, "identity": encoder.identity}
    if encoder.looks_at == "words":
        settings = {"precision": "int8", **settings}
    index = Index.create(to, **made_by, dim=encoder.dim, interaction=encoder.interaction, **settings)
    if keep := getattr(encoder, "keep", None):
        keep(to)
    kept = {name: absolute(value) for name, value in to_keep(asked, encoder).items()} | (
        {"commits": used} if used else {}
    )
    SourceLedger(to).update({}, kept)
    return index, encoder


def absolute(place: Any) -> Any:
    """A folder by a path that holds wherever the next command runs; what is none, as it is."""
    return str(Path(place).absolute()) if isinstance(place, str) and Path(place).is_dir() else place
