"""Files attached to PDFs, extracted into the index's folder as documents named PARENT/NAME."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

from collotype.runtime.texts import nfc, sound
from collotype.search.ingest.kinds import ending, readable
from collotype.search.ingest.limits import ReadingSettings
from collotype.search.ingest.process import GONE, WorkerProcess
from collotype.search.ingest.reading import Lost
from collotype.search.ingest.sources import Entry, SourceFile

FOLDER = ".attachments"
UNKNOWN_KIND = "attached, and no PDF or image"


def taken_out(
    parents: Mapping[str, Entry], folder: Path, settings: ReadingSettings, lose: Callable[[Lost], None]
) -> tuple[dict[str, SourceFile], dict[str, str]]:
    """Attached files by what their documents are called, and whose they are.

    Args:
        parents: documents with attached files.
        lose: told of each that is left out.
    """
    files: dict[str, SourceFile] = {}
    parent_of: dict[str, str] = {}
    worker: WorkerProcess | None = None
    for parent, entry in parents.items():
        for place, given in enumerate(entry.attached):
            name = free(parent, given, place, files)
            file = folder / FOLDER / (entry.digest[:32] or "partly-read") / f"{place:04d}{ending(Path(given))}"
            if not readable(file):
                lose(Lost(name, 0, UNKNOWN_KIND, f"attached to {parent}"))
                continue
            if not file.is_file():
                file.parent.mkdir(parents=True, exist_ok=True)
                worker, problem = written(worker, settings, Path(entry.file), place, file)
                if problem:
                    lose(Lost(name, 0, *problem))
                    continue
            files[name], parent_of[name] = SourceFile(file, file.parent), parent
    if worker:
        worker.kill()
        worker.end()
    return files, parent_of


def written(
    worker: WorkerProcess | None, settings: ReadingSettings, pdf: Path, place: int, to: Path
) -> tuple[WorkerProcess | None, tuple[str, str] | None]:
    """Takes one out; the worker that goes on, and (cause, detail) of what is in the way."""
    if worker is None:
        worker = WorkerProcess(settings)
        worker.wait_until_ready()
    partial = to.with_name(f".{to.name}.partial")
    try:
        worker.tell(file=str(pdf), attachment=place, to=str(partial))
        answer = worker.answer()
    except GONE:
        return None, worker.why(worker.end())
    if answer["event"] == "lost":
        partial.unlink(missing_ok=True)
        return worker, (answer["cause"], answer["detail"])
    partial.replace(to)
    return worker, None


def free(parent: str, given: str, place: int, taken: Mapping[str, SourceFile]) -> str:
    """A name for what is attached to a document, which no other has."""
    own = nfc(sound(given.replace("\\", "/").rpartition("/")[2].strip("\0 "))) or f"attachment {place + 1}"
    names = itertools.chain([f"{parent}/{own}"], (f"{parent}/{own} ({number})" for number in itertools.count(2)))
    return next(name for name in names if name not in taken)


def names_of(entries: Mapping[str, Entry], gone_from: Mapping[str, Entry], now: Mapping[str, SourceFile]) -> list[str]:
    """Documents that are attached to nothing any more: to a document that is gone, or that has other files now."""
    return [
        name
        for name, entry in entries.items()
        if entry.attached_to
        and (entry.attached_to not in entries or (entry.attached_to in gone_from and name not in now))
    ]


def with_attached(documents: list[str], entries: Mapping[str, Entry]) -> list[str]:
    """The documents, and what is attached to them."""
    attached = [name for name, entry in entries.items() if entry.attached_to in documents]
    return list(dict.fromkeys([*documents, *attached]))
