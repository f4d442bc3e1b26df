"""`source: pdf-outline`: weak labels from PDFs: the title of a bookmark or a caption, with its page."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from collotype.families.retriever.data.pages import PageRef, PdfPage
from collotype.families.retriever.data.pairs import RefPairs
from collotype.families.retriever.recipe import PdfOutlineSource
from collotype.runtime import pdf
from collotype.runtime.errors import UserError

CAPTION = re.compile(
    r"(?:fig(?:ure|\.)|figura|abb(?:ildung|\.)|table(?:au)?|tab(?:elle|ella|ela|la|\.)|diagram|chart|exhibit|scheme)"
    r"\s*[A-Z]?\d+(?:[.\-–]\d+)*(?:\s*[.:]\s*|\s+[–—-]\s+)(?P<text>\S.*)",
    re.IGNORECASE,
)
"""A line such as "Figure 3: …", "Table 2. …", "Abbildung 4-1 – …"."""
LEADER = re.compile(r"(?:\.\s*){4,}")
"""The dots of a list of figures, whose lines name another page."""


class OutlinePairs(RefPairs):
    """Titles and captions, the captions without their number; a text that names several pages is left out, and so are
    copies of a file.

    Raises:
        UserError: there is no PDF, one cannot be read, or none has a usable title or caption.
    """

    def __init__(self, source: PdfOutlineSource):
        self.source, self.root = source, Path(source.path).expanduser()
        self.files = without_copies(find_pdfs(self.root))
        places: dict[str, list[tuple[str, Path, int]]] = defaultdict(list)
        for file in self.files:
            for text, page in labels(file, source):
                query = " ".join(text.split())
                if len(query) >= source.min_chars:
                    places[query.casefold()].append((query, file, page))
        kept = [found[0] for found in places.values() if len({place[1:] for place in found}) == 1]
        kept = sorted(kept, key=lambda place: (self.name(place[1]), place[2], place[0]))[: source.limit]
        if not kept:
            raise UserError(
                f"The {len(self.files)} PDFs in {self.root} have no outline title or caption of at least "
                f"{source.min_chars} characters that belongs to one page; use PDFs with bookmarks or a text layer, "
                "lower min_chars, or write a pairs.jsonl."
            )
        self.queries = [query for query, _, _ in kept]
        self.refs = [PdfPage(file, page, source.page_px) for _, file, page in kept]

    def name(self, file: Path) -> str:
        return file.name if file == self.root else file.relative_to(self.root).as_posix()

    def pages(self, row: int) -> tuple[PageRef, ...]:
        return (self.refs[row],)

    def where(self, row: int) -> str:
        return f"{self.refs[row].path}, page {self.refs[row].page}"

    def fingerprint(self) -> str:
        """Of the settings, the names and sizes of the PDFs, and every (query, file, page)."""
        facts = [
            str(self.source.model_dump(exclude={"path", "weight"})),
            *(f"{self.name(file)} {file.stat().st_size}" for file in self.files),
            *(
                f"{query}\0{self.name(ref.path)}\0{ref.page}"
                for query, ref in zip(self.queries, self.refs, strict=True)
            ),
        ]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def labels(file: Path, source: PdfOutlineSource) -> Iterator[tuple[str, int]]:
    """(text, page) of a PDF's bookmarks and captions."""
    if source.outline:
        yield from ((title, page) for _, title, page in pdf.outline(file))
    if source.captions:
        for page in range(1, pdf.num_pages(file) + 1):
            for line in pdf.text(file, page).splitlines():
                if (caption := CAPTION.match(line.strip())) and not LEADER.search(line):
                    yield caption["text"], page


def find_pdfs(root: Path) -> list[Path]:
    """The PDF itself, or those of a folder and below it, by name.

    Raises:
        UserError: there is none.
    """
    if root.is_file():
        return [root]
    files = sorted(file for file in root.rglob("*") if file.suffix.lower() == ".pdf" and file.is_file())
    if not files:
        raise UserError(f"There is no PDF in {root}; set `path` to a PDF or a folder of them.")
    return files


def without_copies(files: list[Path]) -> list[Path]:
    """The files whose content no earlier one has."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for file in files:
        by_size[file.stat().st_size].append(file)
    first: dict[str, Path] = {}
    for file in files:
        alike = by_size[file.stat().st_size]
        first.setdefault(hashlib.sha256(file.read_bytes()).hexdigest() if len(alike) > 1 else str(file), file)
    return list(first.values())
