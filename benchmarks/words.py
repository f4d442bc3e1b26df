"""Our words beside pdftotext's, by script: the share of its terms that a page's words here have, too.

apt-get download debian-refcard texlive-lang-arabic …; for deb in *.deb; do dpkg-deb -x $deb FOLDER; done
python benchmarks/words.py FOLDER             every PDF below, its first pages
python benchmarks/words.py FOLDER --missing   and the terms that are missed most

Terms are compared, as search does. Where pdftotext itself is not right is left out: beside a PDF of `words_made.py`
lies its text (`.txt`), all its pages are read, and a term counts as often as the text has it; of others, pages are left
out for a script of which pdftotext tears words at their vowel points, gives characters that are none (controls, private
use, U+FFFD), or of which either reader mixes words with letters of other scripts: the file names glyphs wrongly, and
pdftotext leaves out the letters it can make nothing of. Words that it glues to numbers or foreign words do not count.
"""

import argparse
import subprocess
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    "THAI",
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
    of = TOGETHER.get(name, name) if name in SCRIPTS.split() else None
    from_right = any(unicodedata.bidirectional(one) in ("R", "AL") for one in term)
    return None if (of in WITH_MARKS or from_right) and is_glued(term, name) else of


def is_glued(term: str, name: str) -> bool:
    """A word of one of these scripts with a number or a foreign word at it, where pdftotext sees no space (between
    right-to-left and left-to-right text, mostly)."""
    return any(one.isdigit() or (one.isalpha() and not unicodedata.name(one).startswith(name)) for one in term)


def theirs(file: Path, pages: int) -> list[str]:
    command = ["pdftotext", "-l", str(pages), file, "-"]
    return subprocess.run(command, capture_output=True, check=False).stdout.decode(errors="replace").split("\f")


def torn(text: str) -> dict[str, float]:
    """Of each script, the part of pdftotext's words that are none: a letter by itself, or one that begins with a mark,
    where it took vowel points for ends of words; or those with a character that is none."""
    of_all, of_torn = Counter[str](), Counter[str]()
    for word in text.split():
        letters = [character for character in word if unicodedata.category(character)[0] in "LMC"]
        if of := first_script(letters):
            of_all[of] += 1
            no_text = any(one == "\ufffd" or unicodedata.category(one) in NO_CHARACTERS for one in word)
            alone = of in WITH_MARKS and len([one for one in letters if one.isalpha()]) == 1
            of_torn[of] += no_text or alone or is_mixed(of, letters) or unicodedata.category(word[0])[0] == "M"
    return {of: of_torn[of] / count for of, count in of_all.items()}


def first_script(letters: Sequence[str]) -> str | None:
    return next((of for one in letters if one.isalpha() and (of := script(one))), None)


def is_mixed(of: str, letters: Sequence[str]) -> bool:
    return of in WITH_MARKS and any(
        script(one) not in (of, None) if one.isalpha() else "LATIN" in unicodedata.name(one, "") for one in letters
    )


def mixed_up(text: str) -> dict[str, float]:
    """Of each script, the part of words that have letters of another one, too."""
    of_all, mixed = Counter[str](), Counter[str]()
    for word in text.split():
        letters = [character for character in word if unicodedata.category(character)[0] in "LM"]
        if of := first_script(letters):
            of_all[of] += 1
            mixed[of] += is_mixed(of, letters)
    return {of: mixed[of] / count for of, count in of_all.items()}


def said(file: Path) -> Counter[str] | None:
    """The terms that the file was made of, if that is known."""
    source = file.parent.parent / f"{file.stem}.txt"
    return Counter(terms(source.read_text(encoding="utf-8"))) if source.exists() else None


@dataclass
class Tally:
    """What was counted of each script."""

    right: Counter[str] = field(default_factory=Counter)
    """Terms of pdftotext, where it is right."""
    shared: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    """Terms that the files were made of, and how many of them each reader has."""
    said_ours: Counter[str] = field(default_factory=Counter)
    said_theirs: Counter[str] = field(default_factory=Counter)
    missed: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    on: dict[str, set[tuple[Path, int]]] = field(default_factory=lambda: defaultdict(set))

    def file(self, file: Path, most: int) -> None:
        source = said(file)
        number = pdf.num_pages(file) if source else min(most, pdf.num_pages(file))
        texts = theirs(file, number)[:number]
        pages = [
            Counter(term for word in pdf.words(file, page + 1) for term in terms(word[0])) for page in range(number)
        ]
        if not source:
            for page, text in enumerate(texts):
                mixed = mixed_up(" ".join(word[0] for word in pdf.words(file, page + 1)))
                wrong = {of for part in (torn(text), mixed) for of, share in part.items() if share > TORN}
                self.left_out.update(wrong)
                right = {term: count for term, count in Counter(terms(text)).items() if script(term) not in wrong}
                self.compare(file, [page + 1], right, pages[page])
            return
        ours, right = sum(pages, Counter[str]()), Counter(terms("\n".join(texts))) & source
        self.compare(file, range(1, number + 1), right, ours)
        for counts, found in ((self.said, source), (self.said_ours, ours & source), (self.said_theirs, right)):
            for term, count in found.items():
                if of := script(term):
                    counts[of] += count

    def compare(self, file: Path, pages: Sequence[int], right: Mapping[str, int], ours: Counter[str]) -> None:
        for term, count in right.items():
            if of := script(term):
                self.right[of] += count
                self.shared[of] += min(count, ours[term])
                self.on[of].update((file, page) for page in pages)
                if count > ours[term]:
                    self.missed[of][f"{term} ({file.name}, page {pages[0]})"] += count - ours[term]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=8, help="of each file")
    parser.add_argument("--missing", action="store_true")
    asked = parser.parse_args()
    tally = Tally()
    for file in sorted(asked.folder.rglob("*.pdf")):
        try:
            tally.file(file, asked.pages)
        except UserError as error:
            print(error)
    pages = len(set().union(*tally.on.values()))
    print(
        f"| script | pages of {pages:,} | left out | terms of pdftotext | share in ours | of the text: ours | theirs |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for of, count in tally.right.most_common():
        about = f"{len(tally.on[of])} | {tally.left_out[of]} | {count:,} | {tally.shared[of] / count:.3f}"
        whole = [
            f"{found[of] / tally.said[of]:.3f}" if tally.said[of] else ""
            for found in (tally.said_ours, tally.said_theirs)
        ]
        print(f"| {of.capitalize()} | {about} | {' | '.join(whole)} |")
        if asked.missing:
            print(*(f"    {times} × {term}" for term, times in tally.missed[of].most_common(12)), sep="\n")


if __name__ == "__main__":
    main()
