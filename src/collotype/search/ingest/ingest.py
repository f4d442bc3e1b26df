"""Updates an index from sources: encodes new and changed pages, deletes those that no longer exist."""

import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from collotype.search.ingest.attachments import names_of, taken_out
from collotype.search.ingest.encoding import BATCH, Encoded, Encoding, as_page
from collotype.search.ingest.limits import Limits, ReadingSettings
from collotype.search.ingest.reading import Closed, Event, Lost, Opened, PageRead, Unchanged, read_all
from collotype.search.ingest.sources import READING, Entry, SourceFile, SourceLedger, find_files, gone, named
from collotype.search.pages import EncodedPage, Encoder, Page

if TYPE_CHECKING:
    from collotype.search.index import Index
    from collotype.search.ingest.on_ray import OnRay

COMMIT_PAGES, COMMIT_S = 64, 20.0
"""What is encoded is written when there is as much of it, or when it has waited as long."""

Progress = Callable[[str, int, int], None]
"""Called with ("pages", how many are done, of how many as it looks now)."""


@dataclass
class Report:
    """What an ingestion did."""

    documents: int = 0
    """That are in the index now, of those that were named."""
    added: int = 0
    """Pages that were encoded, new or changed."""
    unchanged: int = 0
    """Pages that the index had."""
    removed: int = 0
    """Pages that are gone: of deleted files, and of documents that became shorter."""
    without_words: int = 0
    """Of those that were added, where the model looks at words."""
    read_by_ocr: int = 0
    """Of those that were added: some or all of their words."""
    skipped: list[Lost] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    """How many files in the folders are none that can be indexed, by their ending."""
    attachments: dict[str, list[str]] = field(default_factory=dict)
    """Names of the files attached to documents, by document, that are not indexed."""

    def causes(self) -> dict[str, int]:
        """How often what was skipped was for what, the most common first."""
        return dict(Counter(one.cause for one in self.skipped).most_common())


def ingest(
    sources: Sequence[str | Path],
    index: "Index",
    encoder: Encoder,
    *,
    names: Sequence[str] | None = None,
    prune: bool = True,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    workers: int | None = None,
    ray: "OnRay | None" = None,
    progress: Progress = lambda what, done, total: None,
    passwords: Sequence[str] = (),
    attachments: bool = False,
) -> Report:
    """Brings the index up to what lies in the sources; stopped at any moment, the next call goes on.

    Args:
        sources: PDFs, images, folders of them.
        names: what the documents are called, one for each source, which then are files; else by their path.
        prune: delete documents whose file lay in one of the folders and is gone.
        workers: processes that read files; one less than there are cores, if nothing else is said.
        ray: reads and encodes in place of this process, which then only writes.
        passwords: to be tried on PDFs that have one.
        attachments: index the files attached to PDFs, as documents of their own.

    Raises:
        UserError: a source is not there, or has nothing that could be indexed; the index is another encoder's.
    """
    index.manifest.belongs_to(encoder, index.folder)
    found = find_files(sources)
    ledger = SourceLedger(index.folder)
    known = ledger.read()
    if names is None:
        documents = named(found.files, known)
    else:
        # two documents may have one file: attachments of the same content
        documents = dict(zip(names, (find_files([source]).files[0] for source in sources), strict=True))
    workers = workers or max(1, (os.cpu_count() or 2) - 1)
    threads = 1 if ray else max(1, (os.cpu_count() or 1) // workers)
    settings = ReadingSettings(limits=limits, looks_at=encoder.looks_at, passwords=tuple(passwords), threads=threads)
    work = Ingestion(index, encoder, ledger, known, progress, Report(left_out=found.left_out))

    def read(documents: dict[str, SourceFile], attached_to: dict[str, str]) -> None:
        complete = work.begin(documents, attached_to)
        if ray:
            work.take_all(ray.events(index, encoder, documents, complete, settings))
        else:
            work.take_all(read_all(documents, complete, index.pages_of, settings, workers))

    read(documents, {})
    if prune:
        work.delete(gone(sources, known, documents))
    parents = work.with_attachments(attachments)
    files, attached_to = taken_out(parents, index.folder, settings, work.lose)
    if files:
        read(files, attached_to)
    work.delete(names_of(ledger.read(), gone_from=parents, now=files))
    return work.report


@dataclass
class Reading:
    """A document while its pages come in."""

    before: dict[int, str]
    """Digests by number, of the pages that the index has."""
    waiting: int = 0
    """Pages that are not written yet."""
    numbers: set[int] = field(default_factory=set)
    """Pages that it has now."""
    lost: bool = False
    """Has it pages that were skipped? Then it is read again the next time, when OCR may be there, or more memory."""
    digest: str | None = None
    """Of its file, when all of it was read."""
    attached: list[str] = field(default_factory=list)
    """Names of the files attached to it."""


class Ingestion:
    """
    Args:
        known: the ledger's entries.
    """

    def __init__(
        self,
        index: "Index",
        encoder: Encoder,
        ledger: SourceLedger,
        known: dict[str, Entry],
        progress: Progress,
        report: Report,
    ):
        self.index, self.encoding, self.ledger = index, Encoding(encoder), ledger
        self.known, self.progress, self.report = known, progress, report
        self.documents, self.attached_to = dict[str, SourceFile](), dict[str, str]()
        self.reading = dict[str, Reading]()
        self.to_encode: list[Page] = []
        self.to_write: list[tuple[Page, EncodedPage]] = []
        self.written_at = time.monotonic()
        self.done = self.read = self.seen = 0

    def begin(self, documents: dict[str, SourceFile], attached_to: dict[str, str]) -> dict[str, Entry]:
        """Makes ready for these files by name; those entries whose pages the index has all.

        Args:
            attached_to: which other document a document is attached to.
        """
        self.documents |= documents
        self.attached_to |= attached_to
        have = {document.name: document.pages for document in self.index.documents()}
        return {name: entry for name, entry in self.known.items() if have.get(name, 0) == entry.pages}

    def take_all(self, events: Generator[Event | Encoded]) -> None:
        try:
            for event in events:
                self.take(event)
            self.commit()
        finally:
            events.close()

    def take(self, event: Event | Encoded) -> None:
        match event:
            case Opened():
                self.reading[event.document] = Reading(self.index.pages_of(event.document), attached=event.attached)
                self.seen += event.pages
            case PageRead():
                self.page(event)
            case Unchanged():
                self.reading[event.document].numbers.add(event.number)
                self.unchanged()
            case Encoded():
                reading = self.reading[event.page.document]
                reading.numbers.add(event.page.number)
                reading.waiting += 1
                self.to_write.append((event.page, event.encoded))
                self.step(1)
            case Lost():
                self.lose(event)
            case Closed():
                self.closed(event)
        if len(self.to_encode) >= BATCH:
            self.encode()
        waited = time.monotonic() - self.written_at > COMMIT_S
        if len(self.to_write) >= COMMIT_PAGES or (waited and (self.to_write or self.to_encode)):
            self.commit()

    def page(self, read: PageRead) -> None:
        reading = self.reading[read.document]
        reading.numbers.add(read.number)
        reading.waiting += 1
        self.to_encode.append(as_page(read))

    def unchanged(self) -> None:
        self.report.unchanged += 1
        self.step(1)

    def closed(self, event: Closed) -> None:
        if event.unchanged:
            entry = self.known[event.document]
            self.report.unchanged += entry.pages
            self.report.documents += 1
            self.seen += entry.pages
            self.step(entry.pages)
            if entry.file != (path := str(self.documents[event.document].path)):
                self.ledger.update({event.document: replace(entry, file=path)})
        elif event.digest and (reading := self.reading.get(event.document)):
            reading.digest = event.digest
            if not reading.waiting:
                self.finish(event.document, reading)
        self.read += 1
        self.step(0)

    def finish(self, document: str, reading: Reading) -> None:
        """All pages of a document are written: what else the index has of it is gone."""
        stale = set(reading.before) - reading.numbers
        if stale:
            self.index.update(document, [], sorted(reading.numbers))
            self.report.removed += len(stale)
        self.report.documents += bool(reading.numbers)
        digest = "" if reading.lost else reading.digest or ""
        self.ledger.update(
            {
                document: Entry(
                    str(self.documents[document].path),
                    digest,
                    len(reading.numbers),
                    READING,
                    reading.attached,
                    self.attached_to.get(document, ""),
                )
            }
        )
        del self.reading[document]

    def encode(self) -> None:
        pages, self.to_encode = self.to_encode, []
        for one in self.encoding.encode(pages):
            if isinstance(one, Lost):
                self.reading[one.document].waiting -= 1
                self.lose(one)
            else:
                self.to_write.append((one.page, one.encoded))
                self.step(1)

    def lose(self, lost: Lost) -> None:
        self.report.skipped.append(lost)
        if reading := self.reading.get(lost.document):
            reading.lost = True
            if not lost.kept:
                reading.numbers.discard(lost.page)
        self.step(1 if lost.page and not lost.kept else 0)

    def commit(self) -> None:
        self.encode()
        self.index.add(self.to_write)
        for page, _ in self.to_write:
            self.reading[page.document].waiting -= 1
            self.report.read_by_ocr += page.words_from in ("ocr", "both")
            self.report.without_words += not page.words and self.encoding.encoder.looks_at == "words"
        self.report.added += len(self.to_write)
        self.to_write, self.written_at = [], time.monotonic()
        for document, reading in list(self.reading.items()):
            if reading.digest and not reading.waiting:
                self.finish(document, reading)

    def with_attachments(self, wanted: bool) -> dict[str, Entry]:
        """Entries of the documents just read whose attached files are to be indexed: of all, if it is wanted, else of
        those whose are; the names of the others are reported."""
        entries = self.ledger.read()
        have = {entry.attached_to for entry in entries.values()}
        with_some = {name: entries[name] for name in self.documents if name in entries and entries[name].attached}
        parents = {name: entry for name, entry in with_some.items() if wanted or name in have}
        self.report.attachments = {name: entry.attached for name, entry in with_some.items() if name not in parents}
        return parents

    def delete(self, documents: Sequence[str]) -> None:
        for document in documents:
            self.report.removed += self.index.delete(document)
        if documents:
            self.ledger.update(dict.fromkeys(documents))

    def step(self, pages: int) -> None:
        """Tells how far it is; documents that are not opened yet count as the others do on average."""
        self.done += pages
        opened = self.read + len([one for one in self.reading.values() if one.digest is None])
        guess = self.seen * len(self.documents) / opened if opened else 0
        self.progress("pages", self.done, max(round(guess), self.seen, self.done))
