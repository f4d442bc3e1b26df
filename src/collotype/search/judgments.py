"""Judged queries: each with the pages that answer it.

A line is a query, and after it, each behind a tab, pages as hits name them: `report.pdf#page=7`. A document without a
page stands for all of its pages. A line without a tab is a query that nobody has judged.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from collotype.evaluation.ranking import query_metrics
from collotype.runtime.errors import UserError
from collotype.runtime.texts import nfc
from collotype.search.pages import PageKey

METRIC = "ndcg_at_5"


@dataclass(frozen=True)
class JudgedQuery:
    text: str
    right: frozenset[tuple[str, int | None]] = frozenset()
    """Pages that answer it, by document and number; None for every page of the document."""

    def answered_by(self, page: PageKey) -> bool:
        return page in self.right or (page[0], None) in self.right


def read(file: Path, documents: Mapping[str, Collection[int]]) -> list[JudgedQuery]:
    """
    Args:
        documents: of the index, with the numbers of their pages.

    Raises:
        UserError: the file cannot be read, has no query, or names a page that the index has not.
    """
    try:
        content = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The queries {file} cannot be read ({error}); give a text file with one query a line."
        ) from error
    by_name = {nfc(name): name for name in documents}
    found: dict[str, set[tuple[str, int | None]]] = {}
    for number, line in enumerate(content.split("\n"), start=1):
        query, *right = (part.strip() for part in line.split("\t"))
        if not query and any(right):
            raise UserError(f"Line {number} of {file} names pages but no query; write the query before the first tab.")
        if query:
            of = found.setdefault(query, set())
            of.update(page(one, documents, by_name, f"Line {number} of {file}") for one in right if one)
    if not found:
        raise UserError(f"{file} has no query; write one per line, or leave --queries out.")
    return [JudgedQuery(query, frozenset(right)) for query, right in found.items()]


def page(
    given: str, documents: Mapping[str, Collection[int]], by_name: Mapping[str, str], where: str
) -> tuple[str, int | None]:
    """A page by its link, percent-encoded or not."""
    for text in (given, unquote(given)):
        link = re.fullmatch(r"(.*)#page=(\d+)", text)
        name = by_name.get(nfc(link[1] if link else text))
        if name is None:
            continue
        if link and int(link[2]) not in documents[name]:
            raise UserError(f"{where} names page {link[2]} of {name!r}, which is not in the index; correct the number.")
        return name, int(link[2]) if link else None
    raise UserError(
        f"{where} names {given!r}, which is not in the index; write a page as search results do: report.pdf#page=7."
    )


def ndcg(query: JudgedQuery, ranked: Sequence[PageKey], pages_of: Mapping[str, Collection[int]]) -> float:
    """nDCG@5 of pages, the best first."""
    right = {
        f"{document}#page={number}": 1
        for document, given in query.right
        for number in ([given] if given else pages_of[document])
    }
    scores = {f"{name}#page={number}": -float(at) for at, (name, number) in enumerate(ranked)}
    return query_metrics(right, scores)[METRIC]
