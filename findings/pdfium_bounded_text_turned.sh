#!/bin/bash
# PDFium's FPDFText_GetBoundedText (pypdfium2's get_text_bounded, also of the whole page): of text that runs upwards or
# downwards all line breaks after the first are lost and words are glued over line ends, whatever the page's /Rotate;
# FPDFText_GetText (get_text_range) has all of them. A landscape table in a portrait file is such text.
set -euo pipefail
place=$(mktemp -d); trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "pypdfium2==5.15.2" "reportlab==5.1.0"
"$place/venv/bin/python" - <<'END'
import io
import sys

import pypdfium2
from reportlab.pdfgen import canvas

print("pypdfium2", pypdfium2.PYPDFIUM_INFO, "PDFium", pypdfium2.PDFIUM_INFO)
found = {}
for turn in (0, 90, 180, 270):
    made = io.BytesIO()
    page = canvas.Canvas(made, pagesize=(600, 600))
    page.translate(300, 300)
    page.rotate(turn)
    for line in range(6):
        page.drawString(-200, 200 - 30 * line, f"line {line}")
    page.save()
    text = pypdfium2.PdfDocument(made.getvalue())[0].get_textpage()
    bounded = text.get_text_bounded()
    found[turn] = len(bounded.splitlines()), len(text.get_text_range().splitlines())
    print(f"text turned by {turn}: {found[turn][0]} lines bounded, {found[turn][1]} by range:", repr(bounded))
if found != {0: (6, 6), 90: (2, 6), 180: (6, 6), 270: (2, 6)}:
    sys.exit("the behaviour has changed")
END
