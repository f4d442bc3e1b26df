"""Words as search compares them: case-folded, of any script."""

import re
import unicodedata
from collections.abc import Iterator

CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Han, kana and Hangul: written without spaces, or with few."""
RUN = re.compile(rf"(?P<cjk>[{CJK}]+)|[^\W{CJK}]+")


def normalised(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def terms(text: str) -> list[str]:
    """Words; runs of Chinese, Japanese and Korean as overlapping pairs of characters.

    Pairs are what Lucene's CJKAnalyzer makes. No stop words and no stemming, which go with one language.
    """
    folded = normalised(text)
    return [folded[start:end] for start, end in spans(folded)]


def spans(folded: str) -> Iterator[tuple[int, int]]:
    """Where the terms of a normalised text begin and end."""
    for run in RUN.finditer(folded):
        start, end = run.span()
        if run["cjk"] and end - start > 1:
            yield from ((place, place + 2) for place in range(start, end - 1))
        else:
            yield start, end
