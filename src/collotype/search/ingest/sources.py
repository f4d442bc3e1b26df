"""The files to index, the names of their documents, and the ledger of what was indexed."""

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from collotype.runtime.errors import UserError
from collotype.runtime.files import file_lock, write_json
from collotype.runtime.texts import nfc
from collotype.search.encoders import as_made
from collotype.search.ingest.kinds import ending, named_kinds, readable, to_install

LEDGER = "sources.json"
READING = 5
"""How files are read: raised when it changes, so that all are read again, and encoded what comes out otherwise."""
NO_ENDING, HIDDEN, NO_ENTRY, LINKED = "without an ending", "hidden", "folder that cannot be opened", "link to a folder"


@dataclass(frozen=True)
class SourceFile:
    """A file to index; both paths are absolute."""

    path: Path
    root: Path
    """The folder it was named by, or that of the file itself."""


@dataclass(frozen=True)
class FoundFiles:
    """What lies in the places that were named."""

    files: list[SourceFile]
    left_out: dict[str, int]
    """How many files of folders are none that can be indexed, by their ending, or by what else they are."""


def find_files(places: Iterable[str | Path]) -> FoundFiles:
    """PDFs and images, those of folders and below them by name; hidden ones only where they are named themselves.

    Raises:
        UserError: a place is not there, is a file of another kind, or a folder without such files.
    """
    found: dict[Path, SourceFile] = {}
    left_out = Counter[str]()
    for place in map(Path, places):
        path = Path(os.path.abspath(place.expanduser()))
        if path.is_dir():
            others = Counter[str]()
            files = [SourceFile(file, path) for file in _below(path, others)]
            if not files:
                raise UserError(
                    f"There is no PDF and no image in {place}{counts_in_words(others, ', but ')}; name a folder "
                    f"that contains some ({named_kinds()})."
                )
            left_out.update(others)
        elif path.is_file():
            if not readable(path):
                raise UserError(
                    f"{place} is neither a PDF nor an image ({named_kinds()}); leave it "
                    f"out{to_install([ending(path)])}."
                )
            files = [SourceFile(path, path.parent)]
        else:
            raise UserError(f"There is no file or folder {place}; check the path.")
        for file in files:
            found.setdefault(file.path, file)
    return FoundFiles(list(found.values()), dict(left_out.most_common()))


def counts_in_words(left_out: Mapping[str, int], before: str = "") -> str:
    """Nothing where nothing was left out."""
    said = ", ".join(f"{count:,} {kind}" for kind, count in left_out.items())
    return f"{before}{said}{to_install(left_out)}" if said else ""


def _below(folder: Path, others: Counter[str]) -> Iterator[Path]:
    """The files that can be indexed; what else there is is counted."""

    def closed(error: OSError) -> None:
        others[NO_ENTRY] += 1

    for place, folders, files in os.walk(folder, onerror=closed):
        others[LINKED] += sum(os.path.islink(os.path.join(place, name)) for name in folders)
        others[HIDDEN] += sum(name.startswith(".") for name in (*folders, *files))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if name.startswith("."):
                continue
            if readable(path) and path.is_file():
                yield path
            else:
                others[ending(path) or NO_ENDING] += 1
    for kind in [kind for kind, count in others.items() if not count]:
        del others[kind]


def digest_of(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Entry:
    """A document's file as it was indexed."""

    file: str
    """Its absolute path."""
    digest: str
    """Of its content; nothing where not all of it could be indexed."""
    pages: int
    """How many of its pages the index holds."""
    reading: int = 1
    """How it was read, see READING; files of an index that does not say are read again."""
    attached: list[str] = field(default_factory=list)
    """Names of the files attached to it."""
    attached_to: str = ""
    """The document that it is attached to, which it goes with."""

    def is_unchanged(self, digest: str) -> bool:
        """Whether a file of that digest was indexed as it would be read now."""
        return self.digest == digest and self.reading == READING


@dataclass(frozen=True)
class _Read:
    """`sources.json`, parsed."""

    seen: tuple[int, int, int] | None
    """Of the file: inode, nanoseconds of its last change, bytes."""
    documents: dict[str, Entry]
    model: dict[str, Any] | None

    @classmethod
    def of(cls, seen: tuple[int, int, int], content: Any) -> "_Read":
        content = content if isinstance(content, dict) else {}
        try:
            documents = {name: Entry(**fields) for name, fields in content["documents"].items()}
        except (KeyError, TypeError, AttributeError):
            documents = {}
        return cls(seen, documents, content.get("model"))


class SourceLedger:
    """The files behind an index's documents, and the model that reads them: `sources.json` in its folder."""

    def __init__(self, folder: Path):
        self.path = folder / LEDGER
        self._read = _Read(None, {}, None)

    def _newest(self) -> "_Read":
        """What the file says, parsed again only when it has changed: a search asks for every hit's file."""
        try:
            state = self.path.stat()
            seen = state.st_ino, state.st_mtime_ns, state.st_size
            if seen != self._read.seen:
                self._read = _Read.of(seen, json.loads(self.path.read_text()))
        except (OSError, ValueError):
            return _Read(None, {}, None)
        return self._read

    def model(self) -> dict[str, Any] | None:
        """What `open_encoder` was called with when the index was made; None where that is not known."""
        model = self._newest().model
        return model and as_made(model)

    def entries(self) -> Mapping[str, Entry]:
        """As `read`, the same for as long as the file is; it is not to be changed."""
        return self._newest().documents

    def read(self) -> dict[str, Entry]:
        """Entries by document; a damaged file has none, and then every file is read again, and no page encoded."""
        return dict(self.entries())

    def update(self, changed: Mapping[str, Entry | None], model: Mapping[str, Any] | None = None) -> None:
        """Sets entries, removes those that are None; other processes may do so at the same time."""
        with file_lock(self.path.with_name(f".{LEDGER}.lock")):
            entries = {**self.read(), **changed}
            kept = {document: asdict(entry) for document, entry in sorted(entries.items()) if entry}
            write_json(self.path, {"model": model or self.model(), "documents": kept})

    def file(self, document: str) -> Path:
        """The file that the document was made of.

        Raises:
            UserError: it is not known, or not there any more.
        """
        entry = self.entries().get(document)
        if entry is None:
            raise UserError(f"The index has no file for the document {document!r}; index it again.")
        if not Path(entry.file).is_file():
            raise UserError(
                f"{entry.file}, the file of {document!r}, no longer exists; restore it, or index it from its new path."
            )
        return Path(entry.file)


def named(files: Iterable[SourceFile], known: Mapping[str, Entry]) -> dict[str, SourceFile]:
    """Files by what their documents are called: the path below the folder that was named, with as many of that folder's
    own names before it as no other document needs. A file that is known keeps its name."""
    names = {entry.file: document for document, entry in known.items()}
    # a name whose file is gone is free: a folder that was moved keeps its documents
    taken = {nfc(document) for document, entry in known.items() if Path(entry.file).is_file()}
    found: dict[str, SourceFile] = {}
    for source in files:
        name = names.get(str(source.path))
        if name is None or name in found:
            name = next(one for one in _candidates(source) if one not in taken and one not in found)
        found[name] = source
    return found


def _candidates(source: SourceFile) -> Iterator[str]:
    below = source.path.relative_to(source.root)
    yield written(below)
    for place in source.root.parents:
        yield written(source.path.relative_to(place))
    yield written(source.path)
    # names that differ in bytes alone
    for number in itertools.count(2):
        yield f"{written(below)} ({number})"


def written(path: Path) -> str:
    """A path as it is shown and compared: in NFC, U+FFFD for what is not UTF-8."""
    return nfc(os.fsencode(path.as_posix()).decode(errors="replace"))


def gone(places: Iterable[str | Path], known: Mapping[str, Entry], found: Mapping[str, SourceFile]) -> list[str]:
    """Documents whose file lay in one of the places and is not there any more."""
    roots = [Path(os.path.abspath(Path(place).expanduser())) for place in places]
    return [
        document
        for document, entry in known.items()
        if document not in found
        and not entry.attached_to
        and any(Path(entry.file).is_relative_to(root) for root in roots)
    ]
