"""The language of each page, detected from its words.

A side file keeps what was found, because it follows from the table: an index of any age gets one from the next
`collotype index`, which neither reads nor encodes its files again.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from collotype.runtime.errors import UserError
from collotype.runtime.language import language_of
from collotype.search import sidecar
from collotype.search.sidecar import Sidecar
from collotype.search.store import Catalogue, Version

KIND = "languages"
ROWS_AT_ONCE = 256
CODE = re.compile(r"[a-z]{2,3}")


def build(folder: Path, version: Version) -> None:
    """Writes the side file of this version: of pages that the one before has, as they are there.

    Raises:
        UserError: py3langid is not installed.
    """
    old = sidecar.newest(folder, KIND)
    if old and old.version == version.number:
        return
    found = before(old, version.catalogue)
    new = np.flatnonzero(found == None)  # noqa: E711 - of each
    try:
        for first in range(0, len(new), ROWS_AT_ONCE):
            rows = new[first : first + ROWS_AT_ONCE]
            found[rows] = [language_of(" ".join(words)) for words in words_of(version, rows)]
    except ImportError as error:
        raise UserError(
            f"Detecting languages needs py3langid, which cannot be imported ({error}); install it with `pip install "
            "'collotype[search]'`."
        ) from error

    def fill(scratch: Path) -> None:
        np.save(scratch / "keys.npy", version.catalogue.keys)
        np.save(scratch / "codes.npy", found.astype("U3"))

    sidecar.write(folder, KIND, version.number, fill)


def words_of(version: Version, rows: np.ndarray) -> list[list[str]]:
    words: list[list[str]] = version.take(rows, ["words"])["words"].to_pylist()
    return words


def before(old: Sidecar | None, catalogue: Catalogue) -> np.ndarray:
    """What a side file says of each page of a catalogue: object [P], None of those that it does not have."""
    found = np.full(len(catalogue), None, object)
    if old:
        rows = sidecar.rows_in(old, catalogue)
        there = rows >= 0
        found[there] = np.asarray(old.arrays["codes"])[rows[there]].astype(object)
    return found


def of_pages(old: Sidecar | None, catalogue: Catalogue) -> np.ndarray:
    """The language of each page, U3 [P]; empty where nobody knows it.

    A page whose words do not say it (a listing, a figure) has the one that most pages of its document have.
    """
    codes, number_of = np.unique(before(old, catalogue).astype("U4"), return_inverse=True)
    unknown = np.isin(codes, ("", "None"))
    counts = np.zeros((len(catalogue.names), len(codes)), int)
    np.add.at(counts, (catalogue.documents, number_of), 1)
    counts[:, unknown] = 0
    common = np.where(counts.any(axis=1), codes[counts.argmax(axis=1)], "") if counts.size else np.empty(0, "U3")
    return np.where(unknown[number_of], common[catalogue.documents], codes[number_of]).astype("U3")


def counted(languages: np.ndarray) -> dict[str, int]:
    """How many pages are in which language, the most common first; of those that are known."""
    codes, counts = np.unique(languages[languages != ""], return_counts=True)
    return dict(sorted(zip(codes.tolist(), counts.tolist(), strict=True), key=lambda one: (-one[1], one[0])))


class UnknownLanguageError(UserError):
    """No page of an index is in a language that was asked for, or nobody knows in which its pages are."""


def wanted(asked: Sequence[str], known: Sequence[str]) -> list[str]:
    """Codes to filter by, as an index has them: de-AT asks for de.

    Raises:
        UnknownLanguageError: no page has one of them, or the language of no page is known.
    """
    codes = [one.strip().lower().replace("_", "-").partition("-")[0] for one in asked]
    if codes and not known:
        raise UnknownLanguageError(
            "The languages of the pages in the index are not known yet; repeat the `collotype index` (or `index "
            "push`) that made it, which encodes nothing again."
        )
    if strange := [shown for shown, one in zip(asked, codes, strict=True) if one not in known]:
        raise UnknownLanguageError(
            f"No page in the index is in the language {strange[0][:40]!r}; its languages are {', '.join(known)}."
        )
    return codes
