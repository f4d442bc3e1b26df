"""The index of page vectors: add, update and delete pages, and search."""

from collections.abc import Callable, Container, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from collotype.runtime.errors import UserError
from collotype.runtime.files import file_lock
from collotype.runtime.threads import Together
from collotype.search import languages as spoken
from collotype.search import manifest, sidecar
from collotype.search.filters import allowed
from collotype.search.manifest import Manifest
from collotype.search.match_regions import places, text_around
from collotype.search.page_cache import PageCache
from collotype.search.pages import EncodedPage, EncodedQuery, Encoder, Hit, Page, PageFacts, PageKey
from collotype.search.quantization import in_float32
from collotype.search.scoring import ivf
from collotype.search.scoring.plan import Explanation, Plan, named
from collotype.search.snapshot import IndexSnapshot, SparseSnapshot
from collotype.search.store import OLD_VERSIONS_KEPT, WRITING, Catalogue, Store

SIDE = "side"
NEWER_AT_LEAST, NEWER_PART = 300, 0.1
"""The sidecar files are rebuilt when they lack this many pages, and this fraction of all."""


@dataclass(frozen=True, kw_only=True)
class Document:
    name: str
    pages: int


@dataclass(frozen=True, kw_only=True)
class StoredPage(PageFacts):
    """A page as the index stores it."""

    encoded: EncodedPage
    word_boxes: np.ndarray
    """Of its words, float32 [w, 4]."""


class Index:
    """Pages of documents with their vectors, in a folder. Any number of processes and threads may read and write it.

    Usually an `Encoder` (`collotype.search.encoders`) makes the vectors, and `collotype.search.ingest.ingest` reads the
    documents; the example writes both by hand.

    Examples:
        >>> import numpy as np
        >>> from collotype import Index
        >>> from collotype.search.pages import EncodedPage, EncodedQuery, Page
        >>> index = Index.create("library", encoder_name="by hand", identity="0", dim=2, interaction="late")
        >>> page = Page(document="a.pdf", number=1, digest="d", size=(10, 20), image=lambda: None)
        >>> vectors = np.array([[1, 0], [0, 1]], np.float32)  # [num_vectors, dim], of unit length
        >>> boxes = np.array([[0, 0, 1, 0.5], [0, 0.5, 1, 1]], np.float32)  # left, top, right, bottom as parts
        >>> index.add([(page, EncodedPage(vectors, boxes))])
        >>> query = EncodedQuery(vectors[1:], words=("low",), word_of=(0,))
        >>> [(hit.link, hit.score) for hit in index.search(query, k=5)]
        [('a.pdf#page=1', 1.0)]
        >>> index.search(query)[0].places[0].box  # where on the page
        (0.0, 0.5, 1.0, 1.0)
        >>> index.delete("a.pdf"), len(index)
        (1, 0)
    """

    def __init__(self, folder: Path, about_it: Manifest):
        """Use `create` or `open`."""
        self.folder, self.manifest = folder, about_it
        self._store = Store(folder, about_it.width, about_it.precision)
        # asking the table takes a change of threads, so those who wait are told together
        self._looked = Together(self._look)
        self._held = PageCache()
        self._view: IndexSnapshot | None = None
        self._seen: tuple[tuple[str, ...], int] = ((), 0)

    @classmethod
    def create(cls, path: str | Path, **described: Any) -> "Index":
        """Creates an empty index in a folder that does not exist or is empty.

        Args:
            described: the fields of `Manifest`: encoder_name, identity, dim, interaction ("late", "single" or
                "sparse"); and precision ("fp16", or "int8" for half the bytes), pool_factor.

        Raises:
            UserError: the folder has an index already, or other files.
        """
        folder, about_it = Path(path), Manifest(**described)
        manifest.check_free(folder)
        with file_lock(folder / WRITING):
            # again, because another process may have had its turn before; a table alone is what a kill has left
            manifest.check_free(folder)
            Store.create(folder, about_it.width, about_it.precision)
            about_it.write(folder)
        return cls(folder, about_it)

    @classmethod
    def open(cls, path: str | Path, encoder: Encoder | None = None) -> "Index":
        """Opens the index in a folder.

        Args:
            encoder: the encoder that must have made its vectors.

        Raises:
            UserError: there is no index, it has another format, or it was made by another encoder.
        """
        folder = Path(path)
        index = cls(folder, manifest.read(folder))
        if encoder:
            index.manifest.belongs_to(encoder, folder)
        return index

    # --- what is in it

    def view(self) -> IndexSnapshot:
        """The newest version there is when it is called; what is looked up in it does not change."""
        return self._looked(None)

    def _look(self, asked: Sequence[None]) -> list[IndexSnapshot]:
        # side files may be made without a new version; asked for first, so that none is missed
        now = sidecar.names(self.folder / SIDE), self._store.newest_version()
        if self._view is None or self._seen != now:
            kind = SparseSnapshot if self.manifest.is_sparse else IndexSnapshot
            self._view, self._seen = kind(self._store.snapshot(), self.folder / SIDE, self._held), now
        return [self._view] * len(asked)

    def __len__(self) -> int:
        """Pages."""
        return len(self.view().version.catalogue)

    def documents(self) -> list[Document]:
        """By name."""
        catalogue = self.view().version.catalogue
        counts = np.bincount(catalogue.documents, minlength=len(catalogue.names))
        return [
            Document(name=name, pages=int(count)) for name, count in sorted(zip(catalogue.names, counts, strict=True))
        ]

    def pages_of(self, document: str) -> dict[int, str]:
        """The digest of each of a document's pages, by number; empty if it is not in the index."""
        catalogue = self.view().version.catalogue
        rows = catalogue.of_document(document)
        digests = catalogue.digests.take(rows).to_pylist()
        return dict(sorted(zip(catalogue.numbers[rows].tolist(), digests, strict=True)))

    def page(self, document: str, number: int) -> StoredPage:
        """One page with everything that is stored of it.

        Raises:
            UserError: it is not in the index.
        """
        view = self.view()
        catalogue = view.version.catalogue
        rows = [row for row in catalogue.of_document(document) if catalogue.numbers[row] == number]
        if not rows:
            raise UserError(f"Page {number} of {document!r} is not in the index in {self.folder}.")
        return stored_pages(view, np.array(rows))[0]

    def languages(self) -> dict[str, int]:
        """Number of pages per language (ISO 639 code), the most common first, without pages of unknown language."""
        return spoken.counted(self.view().languages)

    def pages_in(self, languages: Sequence[str]) -> set[PageKey]:
        """
        Raises:
            UserError: no page is in one of them.
        """
        view = self.view()
        return set(view.version.catalogue.page_keys(np.flatnonzero(self._in_languages(view, languages))))

    # --- changing it

    def add(self, pages: Sequence[tuple[Page, EncodedPage]]) -> None:
        """Adds pages in one commit; a page replaces the one with the same document and number.

        When it returns, every reader finds them, and they survive a kill.

        Raises:
            UserError: a page is given twice, or its vectors do not match the index.
        """
        if pages:
            self._write(pages, None)

    def update(self, document: str, changed: Sequence[tuple[Page, EncodedPage]], numbers: Sequence[int]) -> None:
        """Writes the `changed` pages of a document and deletes all that are not in `numbers`, in one commit.

        A reader sees the document before or after it. With all pages as `changed`, the document is replaced.
        """
        kept = set(numbers)
        if strange := [page.id for page, _ in changed if page.document != document or page.number not in kept]:
            raise UserError(f"{strange[0]} is not one of the pages given for {document!r}.")
        self._write(changed, lambda catalogue: outside(catalogue, document, kept))

    def delete(self, document: str) -> int:
        """Deletes a document.

        Returns:
            The number of its pages.
        """
        return self._write([], lambda catalogue: catalogue.of_document(document))

    def _write(self, pages: Sequence[tuple[Page, EncodedPage]], gone: Callable[[Catalogue], np.ndarray] | None) -> int:
        self._check(pages)
        deleted = self._store.write([(page, self._pooled(encoded)) for page, encoded in pages], gone)
        if len(self.view().newer) >= max(NEWER_AT_LEAST, NEWER_PART * len(self)):
            self._make_side_files(with_lists=False)
        return deleted

    def _check(self, pages: Sequence[tuple[Page, EncodedPage]]) -> None:
        seen: set[str] = set()
        for page, encoded in pages:
            vectors, boxes, of = encoded.vectors, encoded.boxes, encoded.vector_of
            had = np.arange(len(vectors)) if of is None else of
            if page.id in seen:
                raise UserError(f"{page.id} occurs twice in one batch.")
            width = self.manifest.width
            if vectors.ndim != 2 or vectors.shape[1] != width or boxes.shape != (len(had), 4):
                raise UserError(
                    f"{page.id} has vectors {list(vectors.shape)} and boxes {list(boxes.shape)}, and the index in "
                    f"{self.folder} takes [n, {width}] and [n, 4] (or a box for each of vector_of); "
                    f"encode it with {self.manifest.encoder_name}."
                )
            self._check_tokens(page.id, encoded)
            if len(had) and not 0 <= had.min() <= had.max() < len(vectors):
                raise UserError(
                    f"{page.id} has {len(vectors)} vectors, but a box for vector {had.max()}; encode it again."
                )
            if not np.isfinite(vectors).all():
                raise UserError(f"The vectors of {page.id} have numbers that are not finite; it was not indexed.")
            if page.document.encode(errors="replace").decode() != page.document:
                raise UserError(f"The name {page.document!r} is not valid text; rename the file.")
            seen.add(page.id)

    def _check_tokens(self, what: str, of: EncodedPage | EncodedQuery) -> None:
        """
        Raises:
            UserError: weights without their tokens where the index is sparse, or tokens where it is not.
        """
        ids = of.token_ids
        if ids is None and not self.manifest.is_sparse:
            return
        if ids is None or not self.manifest.is_sparse or ids.shape != (len(of.vectors),):
            raise UserError(
                f"{what} is {'not ' if ids is None else ''}sparse, or not one token a weight, and the index in "
                f"{self.folder} is {self.manifest.interaction}; encode it with {self.manifest.encoder_name}."
            )
        if len(ids) and (len(np.unique(ids)) < len(ids) or not 0 <= ids.min() <= ids.max() < self.manifest.dim):
            raise UserError(
                f"{what} has a token twice, or one outside the vocabulary of {self.manifest.dim:,}; encode it again."
            )

    def _pooled(self, encoded: EncodedPage) -> EncodedPage:
        """Fewer vectors, each with the box of the one it stands for best."""
        if self.manifest.pool_factor == 1 or len(encoded.vectors) < 2:
            return encoded
        import torch

        from collotype.families.retriever.token_pooling import pool_tokens

        pooled = pool_tokens(torch.from_numpy(encoded.vectors), self.manifest.pool_factor, "fast").numpy()
        best = (pooled @ encoded.vectors.T).argmax(axis=1)
        if encoded.vector_of is None:
            return EncodedPage(pooled, encoded.boxes[best])
        own = [np.flatnonzero(encoded.vector_of == one) for one in best]
        vector_of = np.repeat(np.arange(len(own), dtype=np.int32), [len(boxes) for boxes in own])
        return EncodedPage(pooled, encoded.boxes[np.concatenate(own)], vector_of)

    def count_words(self) -> None:
        """Makes the side file that BM25 has of all pages; without one it counts them when it is first asked."""
        from collotype.search.hybrid import bm25

        with file_lock(self.folder / ".side"):
            bm25.build(self.folder / SIDE, self.view().version)

    def find_languages(self) -> None:
        """Builds the sidecar file of the pages' languages; without it, those of newer pages are unknown.

        Raises:
            UserError: py3langid is not installed.
        """
        with file_lock(self.folder / ".side"):
            spoken.build(self.folder / SIDE, self.view().version)

    def optimize(self, keep_versions: timedelta = OLD_VERSIONS_KEPT) -> None:
        """Rebuilds the sidecar files and merges small files; useful after many additions."""
        self._store.compact(keep_versions)
        self._make_side_files(with_lists=True)

    def _make_side_files(self, with_lists: bool) -> None:
        with file_lock(self.folder / ".side"):
            view = self.view()
            if view.signs_differ:
                view.scanned.build(self.folder / SIDE, view.version)
            if (
                with_lists
                and not self.manifest.is_sparse
                and view.version.catalogue.counts.sum(dtype=np.int64) >= ivf.MADE_FROM
            ):
                ivf.build(self.folder / SIDE, view.version)

    # --- asking

    def search(
        self,
        query: EncodedQuery,
        k: int = 10,
        *,
        where: Mapping[str, Any] | None = None,
        documents: Sequence[str] | None = None,
        languages: Sequence[str] = (),
        group: bool = False,
        plan: Plan | str | None = None,
    ) -> list[Hit]:
        """The k best pages, best first; pages of equal score keep the same order.

        Args:
            where: metadata that a page must have: a value, or a list of allowed values; `document` is a pattern for the
                document's name: {"document": "reports/*.pdf", "year": 2024}.
            documents: search only in the documents of these names.
            languages: search only pages in these languages (ISO 639 codes).
            group: only the best page of each document.
            plan: "exact", "bits" or "lists"; None: chosen by the size.

        Returns:
            Hits with document, page, exact MaxSim score, and the best region on the page for each word of the query.

        Raises:
            UserError: the query's vectors are not such as the index has, `where` names what pages do not have, or no
                page is in one of the languages.
        """
        return self.explained(query, k, where=where, documents=documents, languages=languages, group=group, plan=plan)[
            0
        ]

    def explained(
        self,
        query: EncodedQuery,
        k: int = 10,
        *,
        where: Mapping[str, Any] | None = None,
        documents: Sequence[str] | None = None,
        languages: Sequence[str] = (),
        group: bool = False,
        plan: Plan | str | None = None,
    ) -> tuple[list[Hit], Explanation]:
        """As `search`, with an explanation of how the pages were found."""
        view, pages, scores, explanation = self._ranked(
            query, k, group, plan, where=where, documents=documents, languages=languages
        )
        if group:
            first = np.sort(np.unique(view.version.catalogue.documents[pages], return_index=True)[1])
            pages, scores = pages[first], scores[first]
        return [
            hit(query, page, float(score))
            for page, score in zip(stored_pages(view, pages[:k]), scores[:k], strict=True)
        ], explanation

    def ranked(
        self,
        query: EncodedQuery,
        k: int = 10,
        *,
        documents: Sequence[str] | None = None,
        among: Container[PageKey] | None = None,
    ) -> tuple[list[PageKey], np.ndarray, Explanation]:
        """The document and number of every page that a search for k scores exactly, the best first, and the scores."""
        view, pages, scores, explanation = self._ranked(query, k, False, None, documents=documents, among=among)
        return view.version.catalogue.page_keys(pages), scores, explanation

    def hits(self, query: EncodedQuery, pages: Sequence[PageKey]) -> dict[PageKey, Hit]:
        """These pages, where the index has them, as hits with their score for a query."""
        view = self.view()
        row_of = view.version.catalogue.row_of
        there = [page for page in pages if page in row_of]
        found = stored_pages(view, np.array([row_of[page] for page in there], int)) if there else []
        return {page: hit(query, one, query.score(one.encoded)) for page, one in zip(there, found, strict=True)}

    def sees(self) -> Callable[[PageKey], bool]:
        """Tells of a page whether the index has anything of it that a search could find."""
        catalogue = self.view().version.catalogue
        return lambda page: (row := catalogue.row_of.get(page)) is not None and bool(catalogue.counts[row])

    def _ranked(
        self,
        query: EncodedQuery,
        k: int,
        group: bool,
        plan: Plan | str | None,
        *,
        where: Mapping[str, Any] | None = None,
        documents: Sequence[str] | None = None,
        languages: Sequence[str] = (),
        among: Container[PageKey] | None = None,
    ) -> tuple[IndexSnapshot, np.ndarray, np.ndarray, Explanation]:
        self._check_query(query, k)
        view = self.view()
        mask = allowed(view.version, where, documents)
        if languages:
            mask &= self._in_languages(view, languages)
        if among is not None:
            pages = view.version.catalogue.page_keys(np.arange(len(mask)))
            mask &= np.fromiter((page in among for page in pages), bool, len(mask))
        return view, *view.search(query, mask, k, named(plan, k) if plan else None, group)

    def _in_languages(self, view: IndexSnapshot, asked: Sequence[str]) -> np.ndarray:
        return np.isin(view.languages, spoken.wanted(asked, list(spoken.counted(view.languages))))

    def _check_query(self, query: EncodedQuery, k: int) -> None:
        if k < 1:
            raise UserError(f"k is {k}; ask for at least one hit.")
        if query.vectors.ndim != 2 or not len(query.vectors) or query.vectors.shape[1] != self.manifest.width:
            raise UserError(
                f"The query has vectors of shape {list(query.vectors.shape)}, but the index in {self.folder} takes [m, "
                f"{self.manifest.width}]; encode it with {self.manifest.encoder_name}."
            )
        if not np.isfinite(query.vectors).all():
            raise UserError("The query's vectors have numbers that are not finite; rephrase the query.")
        self._check_tokens("The query", query)


def outside(catalogue: Catalogue, document: str, kept: set[int]) -> np.ndarray:
    """The rows of a document's pages with other numbers."""
    rows = catalogue.of_document(document)
    return rows[[number not in kept for number in catalogue.numbers[rows].tolist()]]


def hit(query: EncodedQuery, page: StoredPage, score: float) -> Hit:
    found = places(query, page.encoded)
    text = text_around(found, page.words, page.word_boxes)
    return Hit(
        document=page.document,
        page=page.number,
        score=score,
        places=found,
        text=text,
        label=page.label,
        words_from=page.words_from,
        metadata=page.metadata,
    )


def stored_pages(view: IndexSnapshot, rows: np.ndarray) -> list[StoredPage]:
    """The pages at these places of the view's catalogue."""
    return [
        StoredPage(
            **{**vars(facts), "metadata": deepcopy(facts.metadata)},
            encoded=EncodedPage(in_float32(vectors) * np.float32(scale), boxes, vector_of, token_ids),
            word_boxes=word_boxes,
        )
        for (facts, word_boxes, boxes, vector_of, token_ids), (vectors, scale) in zip(
            view.details(rows), view.pages(rows), strict=True
        )
    ]
