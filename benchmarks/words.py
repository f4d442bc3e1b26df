"""Our words beside pdftotext's, by script: the share of its terms that a page's words here have, too.

apt-get download debian-refcard texlive-lang-arabic …; for deb in *.deb; do dpkg-deb -x $deb FOLDER; done
python benchmarks/words.py FOLDER             every PDF below, its first pages
python benchmarks/words.py FOLDER --missing   and the terms that are missed most

Terms are compared, as search does; those with characters that are none (controls, private use, U+FFFD) are no words of
pdftotext's either, and are left out.
"""

import argparse
import subprocess
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

from collotype.runtime import pdf
from collotype.runtime.errors import UserError
from collotype.runtime.terms import terms

SCRIPTS = "LATIN GREEK CYRILLIC HEBREW ARABIC DEVANAGARI BENGALI TAMIL TELUGU MALAYALAM KANNADA GUJARATI THAI LAO KHMER"
SCRIPTS += " MYANMAR TIBETAN GEORGIAN ARMENIAN ETHIOPIC HANGUL HIRAGANA KATAKANA CJK COPTIC MONGOLIAN SYRIAC SINHALA"
TOGETHER = {"HIRAGANA": "JAPANESE", "KATAKANA": "JAPANESE", "CJK": "HAN"}
NO_CHARACTERS = ("Cc", "Co", "Cn", "Cs")


def script(term: str) -> str | None:
    """By the Unicode name of its first letter; None of numbers, and of what is no text."""
    if any(unicodedata.category(character) in NO_CHARACTERS or character == "\ufffd" for character in term):
        return None
    letter = next((character for character in term if character.isalpha()), "")
    name = unicodedata.name(letter, "").split(" ")[0] if letter else ""
    return TOGETHER.get(name, name) if name in SCRIPTS.split() else None


def theirs(file: Path, pages: int) -> list[Counter[str]]:
    command = ["pdftotext", "-l", str(pages), file, "-"]
    text = subprocess.run(command, capture_output=True, check=False).stdout.decode(errors="replace")
    return [Counter(terms(page)) for page in text.split("\f")]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=8, help="of each file")
    parser.add_argument("--missing", action="store_true")
    asked = parser.parse_args()
    all_terms, shared = Counter[str](), Counter[str]()
    missed: dict[str, Counter[str]] = defaultdict(Counter)
    on: dict[str, set[tuple[Path, int]]] = defaultdict(set)
    for file in sorted(asked.folder.rglob("*.pdf")):
        try:
            number = min(asked.pages, pdf.num_pages(file))
            for page, wanted in zip(range(1, number + 1), theirs(file, number), strict=False):
                ours = Counter(term for word in pdf.words(file, page) for term in terms(word[0]))
                for term, count in wanted.items():
                    if of := script(term):
                        all_terms[of] += count
                        shared[of] += min(count, ours[term])
                        on[of].add((file, page))
                        if count > ours[term]:
                            missed[of][f"{term} ({file.name}, page {page})"] += count - ours[term]
        except UserError as error:
            print(error)
    pages = len(set().union(*on.values()))
    print(f"| script | pages of {pages:,} | terms of pdftotext | share that ours have |\n| --- | ---: | ---: | ---: |")
    for of, count in all_terms.most_common():
        print(f"| {of.capitalize()} | {len(on[of])} | {count:,} | {shared[of] / count:.3f} |")
        if asked.missing:
            print(*(f"    {times} × {term}" for term, times in missed[of].most_common(12)), sep="\n")


if __name__ == "__main__":
    main()
