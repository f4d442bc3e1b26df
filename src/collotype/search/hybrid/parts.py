"""The parts of a hybrid index: indexes of other encoders over the same documents, in subfolders.

`library/` is the index that it would be alone, `library/also/1` one that could be searched alone, and `hybrid.json`
names them. So the parts together have the bytes that they have apart, and each is brought up to date by itself.
"""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collotype.runtime.errors import UserError
from collotype.runtime.files import write_json

if TYPE_CHECKING:
    from collotype.search.index import Index
    from collotype.search.ingest import Report
    from collotype.search.ingest.ingest import Progress
    from collotype.search.ingest.on_ray import OnRay
    from collotype.search.pages import Encoder

FILE, FORMAT = "hybrid.json", 1


@dataclass(frozen=True)
class Part:
    """An encoder beside the index's own: where its index lies, and what `open_encoder` is called with."""

    folder: Path
    model: Mapping[str, Any]


def is_hybrid(folder: Path) -> bool:
    return (folder / FILE).is_file()


def read(folder: Path) -> list[Part]:
    """The parts beside the index's own; none where there is BM25 alone, or it is no hybrid.

    Raises:
        UserError: the file is damaged, or of another format.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise UserError(
                f"{path} has format {content['format']}, but this version of Collotype reads format {FORMAT}; use the "
                "version that made it, or index the documents again into a new folder."
            )
        return [Part(folder / one["folder"], one["model"]) for one in content["also"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}); index the documents again with --also.") from error


def models(folder: Path) -> list[str]:
    """The names of the models of an index and of the parts beside it."""
    from collotype.search.ingest import SourceLedger

    own = SourceLedger(folder).model() or {}
    return [str(model.get("model")) for model in (own, *(part.model for part in read(folder)))]


def write(folder: Path, parts: Sequence[Part]) -> None:
    also = [{"folder": one.folder.relative_to(folder).as_posix(), "model": dict(one.model)} for one in parts]
    write_json(folder / FILE, {"format": FORMAT, "also": also})


def added(folder: Path, models: Sequence[Mapping[str, Any]], own: Mapping[str, Any]) -> list[Part]:
    """The parts that there are, and new ones for the models that none of them has.

    Args:
        own: the model of the index itself.

    Raises:
        UserError: a model is the index's own.
    """
    parts = read(folder)
    for model in models:
        if model["model"] == own["model"]:
            raise UserError(f"The index already uses {own['model']}; give another encoder with --also.")
        if model["model"] not in [part.model["model"] for part in parts]:
            parts.append(Part(folder / "also" / str(len(parts) + 1), model))
    return parts


def with_words(encoders: Sequence["Encoder"]) -> int:
    """Which of the indexes' words BM25 compares: of the first that has what OCR reads, else of the first."""
    return next((place for place, one in enumerate(encoders) if one.looks_at == "words"), 0)


def same_documents(
    folder: Path,
    index: "Index",
    encoder: "Encoder",
    *,
    only: Sequence[str] | None = None,
    progress: "Progress" = lambda what, done, total: None,
    passwords: Sequence[str] = (),
    workers: int | None = None,
    ray: "OnRay | None" = None,
) -> "Report":
    """Brings a part up to what the index in `folder` has: its documents, under its names.

    Args:
        only: documents; all of them otherwise, and then what the index has not any more is deleted.
    """
    from collotype.search.ingest import Report, SourceLedger, ingest

    entries = SourceLedger(folder).read()
    files = {name: entries[name].file for name in only or entries if Path(entries[name].file).is_file()}
    options: dict[str, Any] = {"progress": progress, "passwords": passwords, "workers": workers, "ray": ray}
    report = ingest([*files.values()], index, encoder, names=[*files], prune=False, **options) if files else Report()
    if only is None:
        report.removed += forget_others(index, entries)
    return report


def forget_others(index: "Index", have: Container[str]) -> int:
    """Deletes documents from a part that the index itself has not any more; how many pages they had."""
    from collotype.search.ingest import SourceLedger

    gone = [one.name for one in index.documents() if one.name not in have]
    if gone:
        SourceLedger(index.folder).update(dict.fromkeys(gone))
    return sum(index.delete(name) for name in gone)
