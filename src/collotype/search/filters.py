"""Filters the pages of a search: documents by name, metadata by value."""

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from collotype.runtime.errors import UserError
from collotype.runtime.texts import nfc
from collotype.search.store import Catalogue, Version

DOCUMENT = "document"
"""The key of `where` that is not metadata: patterns such as reports/*.pdf."""


def allowed(version: Version, where: Mapping[str, Any] | None, documents: Sequence[str] | None) -> np.ndarray:
    """Which of the catalogue's pages may be found, bool [P]; a page without vectors never is.

    Args:
        where: metadata that a page must have: a value, or a list of them of which one is enough; under `document` a
            pattern (or several) of the document's name.
        documents: names, of which a page's document must be one.
    """
    catalogue = version.catalogue
    mask = catalogue.counts > 0
    patterns, wanted = [], {}
    for name, value in (where or {}).items():
        check(name, value)
        if name == DOCUMENT:
            patterns = several(value)
        else:
            wanted[name] = several(value)
    if documents is not None:
        kept = {nfc(name) for name in documents}
        mask &= by_name(catalogue, lambda name: nfc(name) in kept)
    if patterns:
        mask &= by_name(catalogue, lambda name: matches(name, patterns))
    if wanted and mask.any():
        mask &= by_metadata(version, wanted)
    return mask


def by_name(catalogue: Catalogue, keep: Any) -> np.ndarray:
    kept = np.array([keep(name) for name in catalogue.names], bool)
    return kept[catalogue.documents] if len(kept) else np.zeros(len(catalogue), bool)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Is a document's name of one of the patterns, however its accents are written?"""
    return any(fnmatchcase(nfc(name), nfc(pattern)) for pattern in patterns)


def by_metadata(version: Version, wanted: Mapping[str, Sequence[Any]]) -> np.ndarray:
    texts, of_page = version.metadata
    kept = np.array([matching(json.loads(text), wanted) for text in texts], bool)
    pages: np.ndarray = kept[of_page]
    return pages


def matching(metadata: Mapping[str, Any], wanted: Mapping[str, Sequence[Any]]) -> bool:
    """Equal, as text too: a command line knows no types."""
    return all(
        name in metadata and any(metadata[name] == one or str(metadata[name]) == str(one) for one in values)
        for name, values in wanted.items()
    )


def several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]


def check(name: Any, value: Any) -> None:
    if not isinstance(name, str) or not all(isinstance(one, str | int | float | bool | None) for one in several(value)):
        raise UserError(
            f"The filter {name!r}: {value!r} is not a text, a number or a list of them; "
            'filter as {"document": "reports/*.pdf", "year": 2024}.'
        )
