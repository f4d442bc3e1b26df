"""PDFs of many scripts, as browsers, office programs and pango write them: for `words.py`, where packages have none.

apt-get install chromium libreoffice-writer pango1.0-tools fonts-noto-core; apt-get download iso-codes
dpkg-deb -x iso-codes_*.deb NAMES; python benchmarks/words_made.py NAMES --to FOLDER

The text is what the package iso-codes calls countries, languages and places in each language.
"""

import argparse
import gettext
import html
import subprocess
from pathlib import Path

LANGUAGES = "he yi ar fa ur ckb ug dv hi mr bn ta te kn ml gu pa or si th lo km my dz ka hy am ti el ru".split()
RIGHT_TO_LEFT = "he yi ar fa ur ckb ug dv".split()
DOMAINS = "iso_3166-1 iso_3166-3 iso_639-2 iso_3166-2 iso_639-3".split()
NAMES = 500
"""Of a language: four to eight pages."""
STYLE = "font: 16px/1.6 'Noto Sans', sans-serif; text-align: justify"


def names(folder: Path, language: str) -> list[str]:
    found: dict[str, None] = {}
    for domain in DOMAINS:
        file = folder / f"usr/share/locale/{language}/LC_MESSAGES/{domain}.mo"
        if file.exists():
            with file.open("rb") as opened:
                catalog = gettext.GNUTranslations(opened)._catalog  # it has no public way to list its messages
            found |= {own: None for message, own in catalog.items() if message and own.strip() and own != message}
    return list(found)[:NAMES]


def page(language: str, of: list[str]) -> str:
    direction = "rtl" if language in RIGHT_TO_LEFT else "ltr"
    parts = [" · ".join(of[start : start + 25]) for start in range(0, len(of), 25)]
    body = "".join(f"<p>{html.escape(part)}</p>" for part in parts)
    head = f'<html lang="{language}" dir="{direction}"><meta charset="utf-8"><title>{language}</title>'
    return f'<!doctype html>{head}<body style="{STYLE}">{body}</body></html>\n'


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    asked = parser.parse_args()
    for producer in ("chromium", "libreoffice", "pango"):
        (asked.to / producer).mkdir(parents=True, exist_ok=True)
    for language in LANGUAGES:
        of = names(asked.names, language)
        source = asked.to / f"{language}.html"
        source.write_text(page(language, of), encoding="utf-8")
        target = (asked.to / "chromium" / f"{language}.pdf").absolute()
        command = ["chromium", "--headless", "--no-sandbox", "--no-pdf-header-footer", f"--print-to-pdf={target}"]
        subprocess.run([*command, source.absolute().as_uri()], check=True, capture_output=True)
        plain = asked.to / f"{language}.txt"
        plain.write_text("\n".join(of), encoding="utf-8")
        target = asked.to / "pango" / f"{language}.pdf"
        command = ["pango-view", "--no-display", "--width=450", "--font=Noto Sans 9", f"--output={target}", plain]
        subprocess.run(command, check=True, capture_output=True)
    sources = [asked.to / f"{language}.html" for language in LANGUAGES]
    command = ["soffice", "--headless", "--convert-to", "pdf:writer_web_pdf_Export"]
    subprocess.run([*command, "--outdir", asked.to / "libreoffice", *sources], check=True, capture_output=True)


if __name__ == "__main__":
    main()
