"""Words as search compares them: case-folded, of any script."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import pairwise

FORMER_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
CJK = FORMER_CJK + r"\u3005-\u3007\u31f0-\u31ff\U00020000-\U0003ffff"
"""Han, kana and Hangul: written without spaces, or with few."""
UNSPACED = CJK + r"\u0e00-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff\u19e0-\u19ff"
"""And Thai, Lao, Burmese and Khmer."""
WORD = r"\p{L}\p{N}_"
RUN = rf"(?P<unspaced>[{UNSPACED}][{UNSPACED}\p{{M}}]*)|[[{WORD}]--[{UNSPACED}]][[{WORD}\p{{M}}]--[{UNSPACED}]]*"
"""Letters, digits and the marks on them, in the language of the package `regex`."""
JOINERS = r"\u00ad\u200c-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef"
"""Hyphens that are not there, marks of direction, variants of a character."""
UNSEEN = rf"[[\p{{M}}&&[\p{{Hebrew}}\p{{Arabic}}\u064b-\u0655\u0670]]\u0640{JOINERS}]"
"""What makes no other word: those, vowel points, and the stroke that makes an Arabic word longer."""
UNIT = r"\P{M}\p{M}*|\p{M}+"
K1, B = 1.5, 0.75
"""BM25's, as bm25s has them by default."""
PLAIN_RUN = re.compile(r"\w+")
NOT_PLAIN = re.compile(rf"[\u0300-\u036f\u0483-\u0489\u0590-\u1dff\u20d0-\u20ff\u2c00-\U0010ffff{JOINERS}]")
"""Text without these (Latin, Greek, Cyrillic) needs none of the above: `regex` takes 0.1 s to import."""


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    import regex

    compiled: re.Pattern[str] = regex.compile(pattern, regex.V1)
    return compiled


def normalised(text: str) -> str:
    if NOT_PLAIN.search(text):
        text = _compiled(UNSEEN).sub("", unicodedata.normalize("NFKC", text))
    return unicodedata.normalize("NFKC", text).casefold()


def terms(text: str) -> list[str]:
    """Words; runs of the scripts that are written without spaces as overlapping pairs of characters.

    Pairs are what Lucene's CJKAnalyzer makes. No stop words and no stemming, which go with one language.
    """
    folded = normalised(text)
    return [folded[start:end] for start, end in spans(folded)]


@lru_cache(maxsize=2**15)
def folded_and_cut(word: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """A word as it is compared, and the spans of its terms: of pages, most words come again."""
    folded = normalised(word)
    return folded, tuple(spans(folded))


def spans(folded: str) -> Iterator[tuple[int, int]]:
    """Where the terms of a normalised text begin and end."""
    if not NOT_PLAIN.search(folded):
        yield from (run.span() for run in PLAIN_RUN.finditer(folded))
        return
    for run in _compiled(RUN).finditer(folded):
        start, end = run.span()
        units = [unit.span() for unit in _compiled(UNIT).finditer(folded, start, end)] if run["unspaced"] else []
        if len(units) > 1:
            yield from ((first, last) for (first, _), (_, last) in pairwise(units))
        else:
            yield start, end


def origins(text: str, folded: str) -> list[tuple[int, int]]:
    """The part of a text, from and to, that each character of its normalised form comes from."""
    if len(text) == len(folded):
        return [(place, place + 1) for place in range(len(text))]
    parts = [unit.span() for unit in _compiled(UNIT).finditer(text)]
    found = [part for part in parts for _ in normalised(text[slice(*part)])]
    # what is composed of several letters (Hangul's) has no place of its own: all of them together have one
    return found if len(found) == len(folded) else [(0, len(text))] * len(folded)


def are_cut_anew(text: str) -> bool:
    """Whether the terms are others than those of the first indexes (before marks were a part of words)."""
    former = rf"[[\p{{M}}\p{{Cf}}{UNSPACED}\u0640\ufb1d-\ufb4f]--[{FORMER_CJK}]]"
    return bool(NOT_PLAIN.search(text) and _compiled(former).search(text))
