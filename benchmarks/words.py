"""Our words beside pdftotext's, by script: the share of its terms that a page's words here have, too.

apt-get download debian-refcard texlive-lang-arabic …; for deb in *.deb; do dpkg-deb -x $deb FOLDER; done
python benchmarks/words.py FOLDER             every PDF below, its first pages
python benchmarks/words.py FOLDER --missing   and the terms that are missed most

Terms are compared, as search does. Where pdftotext itself is not right is left out: beside a PDF of `words_made.py`
lies its text (`.txt`), and terms that it has not are none; of others, pages are left out for a script of which
pdftotext tears words at their vowel points, mixes them with letters of other scripts (fonts that name their glyphs
wrongly), or gives characters that are none (controls, private use, U+FFFD).
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
WITH_MARKS = {
    "HEBREW",
    "ARABIC",
    "SYRIAC",
    "DEVANAGARI",
    "BENGALI",
    "TAMIL",
    "TELUGU",
    "MALAYALAM",
    "KANNADA",
    "GUJARATI",
}
TORN = 0.1
"""Of a page's words of one script that may be none, before the page is left out for it."""
NO_CHARACTERS = ("Cc", "Co", "Cn", "Cs")


def script(term: str) -> str | None:
    """By the Unicode name of its first letter; None of numbers, and of what is no text."""
    if any(unicodedata.category(character) in NO_CHARACTERS or character == "\ufffd" for character in term):
        return None
    letter = next((character for character in term if character.isalpha()), "")
    name = unicodedata.name(letter, "").split(" ")[0] if letter else ""
    return TOGETHER.get(name, name) if name in SCRIPTS.split() else None


def theirs(file: Path, pages: int) -> list[str]:
    command = ["pdftotext", "-l", str(pages), file, "-"]
    return subprocess.run(command, capture_output=True, check=False).stdout.decode(errors="replace").split("\f")


def torn(text: str) -> dict[str, float]:
    """Of each script, the part of pdftotext's words that are none: a letter by itself, or one that begins with a mark,
    where it took vowel points for ends of words; or those with a character that is none."""
    of_all, of_torn = Counter[str](), Counter[str]()
    for word in text.split():
        letters = [character for character in word if unicodedata.category(character)[0] in "LMC"]
        if letters and (of := script("".join(one for one in letters if one.isalpha()))):
            of_all[of] += 1
            no_text = any(one == "\ufffd" or unicodedata.category(one) in NO_CHARACTERS for one in word)
            alone = of in WITH_MARKS and len([one for one in letters if one.isalpha()]) == 1
            mixed = of in WITH_MARKS and any(script(one) not in (of, None) for one in letters)
            of_torn[of] += no_text or alone or mixed or unicodedata.category(word[0])[0] == "M"
    return {of: of_torn[of] / count for of, count in of_all.items()}


def said(file: Path) -> set[str] | None:
    """The terms that the file was made of, if that is known."""
    source = file.parent.parent / f"{file.stem}.txt"
    return set(terms(source.read_text(encoding="utf-8"))) if source.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=8, help="of each file")
    parser.add_argument("--missing", action="store_true")
    asked = parser.parse_args()
    all_terms, shared, left_out = Counter[str](), Counter[str](), Counter[str]()
    missed: dict[str, Counter[str]] = defaultdict(Counter)
    on: dict[str, set[tuple[Path, int]]] = defaultdict(set)
    for file in sorted(asked.folder.rglob("*.pdf")):
        try:
            number = min(asked.pages, pdf.num_pages(file))
            for page, text in zip(range(1, number + 1), theirs(file, number), strict=False):
                ours = Counter(term for word in pdf.words(file, page) for term in terms(word[0]))
                right = said(file)
                wrong = set() if right else {of for of, part in torn(text).items() if part > TORN}
                left_out.update(wrong)
                for term, count in Counter(terms(text)).items():
                    if (of := script(term)) and of not in wrong and (right is None or term in right):
                        all_terms[of] += count
                        shared[of] += min(count, ours[term])
                        on[of].add((file, page))
                        if count > ours[term]:
                            missed[of][f"{term} ({file.name}, page {page})"] += count - ours[term]
        except UserError as error:
            print(error)
    pages = len(set().union(*on.values()))
    print(f"| script | pages of {pages:,} | left out | terms of pdftotext | share that ours have |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for of, count in all_terms.most_common():
        print(f"| {of.capitalize()} | {len(on[of])} | {left_out[of]} | {count:,} | {shared[of] / count:.3f} |")
        if asked.missing:
            print(*(f"    {times} × {term}" for term, times in missed[of].most_common(12)), sep="\n")


if __name__ == "__main__":
    main()
