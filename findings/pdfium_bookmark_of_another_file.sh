#!/bin/bash
# PDFium's FPDFBookmark_GetDest: an outline's entry whose action leads into another file (GoToR) has a destination all the
# same, with a page number that counts in this file, if it has as many pages. pypdfium2's get_toc()/get_dest() shows
# "Volume 2, chapter 1" as page 4 of volume 1; only the action's type tells.
set -euo pipefail
place=$(mktemp -d); trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "pypdfium2==5.15.2" "pikepdf==10.18.0"
"$place/venv/bin/python" - <<'END'
import io
import sys

import pikepdf
import pypdfium2
from pikepdf import Array, Dictionary, Name, OutlineItem, String

pdf, made = pikepdf.new(), io.BytesIO()
for _ in range(5):
    pdf.add_blank_page()
elsewhere = Dictionary(S=Name.GoToR, F=String("volume2.pdf"), D=Array([3, Name.Fit]))
with pdf.open_outline() as outline:
    outline.root.append(OutlineItem("Volume 2, chapter 1", action=elsewhere))
pdf.save(made)

print("pypdfium2", pypdfium2.PYPDFIUM_INFO, "PDFium", pypdfium2.PDFIUM_INFO)
entry = next(pypdfium2.PdfDocument(made.getvalue()).get_toc())
index = entry.get_dest().get_index()
kind = pypdfium2.raw.FPDFAction_GetType(pypdfium2.raw.FPDFBookmark_GetAction(entry.raw))
print(f"{entry.get_title()!r} of another file: get_dest() gives page index {index} of this one; the action's type is {kind}")
if (index, kind) != (3, pypdfium2.raw.PDFACTION_REMOTEGOTO):
    sys.exit("the behaviour has changed")
END
