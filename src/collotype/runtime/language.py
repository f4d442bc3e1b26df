"""Detects the language of a text: py3langid's model of 139 languages, in one file."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

MOST_CHARACTERS = 4000
LEAST_SURE = 0.3
"""Below this probability nothing is said: titles of a few names are taken for Javanese with 0.08."""
NO_LANGUAGE = "zxx"
"""Listings, tables of numbers."""
WRITTEN_AS = {"yue": "zh", "wuu": "zh", "nn": "no", "nb": "no", "arz": "ar", "ary": "ar", "sdh": "ku"}
"""Varieties that the model tells apart by a few words of a page, by the language that a person asks for."""


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(text: str) -> str:
    """Its ISO 639 code, as de; empty where it has none, or too little of one.

    Raises:
        ImportError: py3langid is not installed.
    """
    part = text[:MOST_CHARACTERS]
    if not any(character.isalpha() for character in part):
        return ""
    code, probability = _identifier().classify(part.encode(errors="replace"))
    return "" if code == NO_LANGUAGE or probability < LEAST_SURE else WRITTEN_AS.get(code, code)
