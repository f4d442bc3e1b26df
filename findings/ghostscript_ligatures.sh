#!/bin/bash
# Ghostscript 9.56.0 (and 10.00.0), pdfwrite: where a glyph stands for several characters (ToUnicode <00660069> of the
# ligature fi), the copy says <66006900>: "find" is 昀椀nd in it, of three characters some are lost, and nothing in the file
# marks them as unknown.
set -euo pipefail
place=$(mktemp -d); trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "fpdf2==2.8.9" "pikepdf==10.18.0" "reportlab==5.1.0" "pypdfium2==5.15.2"
npm install --silent --prefix "$place" "@jspawn/ghostscript-wasm@0.0.2" >/dev/null
cd "$place"
cat > make.py <<'END_OF_PYTHON'
import pathlib

import pikepdf
import reportlab
from fpdf import FPDF

document = FPDF(format=(100, 40))
document.add_page()
document.add_font("Vera", fname=pathlib.Path(reportlab.__file__).parent / "fonts" / "Vera.ttf")
document.set_font("Vera", size=16)
document.cell(text="\ufb01nd")
document.output("plain.pdf")
with pikepdf.open("plain.pdf") as pdf:
    for one in pdf.objects:
        if isinstance(one, pikepdf.Dictionary) and "/ToUnicode" in one:
            # as most producers name the ligature: by its letters
            one.ToUnicode = pdf.make_stream(one.ToUnicode.read_bytes().replace(b"<FB01>", b"<00660069>"))
    pdf.save("in.pdf")
END_OF_PYTHON
cat > copy.mjs <<'END_OF_SCRIPT'
import fs from "fs";
import { createRequire } from "module";
delete globalThis.fetch; // the package's own way to read its file, which takes addresses only
const make = createRequire(import.meta.url)("@jspawn/ghostscript-wasm/gs.js");
const gs = await make({ print: () => {}, printErr: () => {} });
gs.FS.writeFile("in.pdf", fs.readFileSync("in.pdf"));
await gs.callMain(["-q", "-sDEVICE=pdfwrite", "-o", "out.pdf", "in.pdf"]);
fs.writeFileSync("out.pdf", gs.FS.readFile("out.pdf"));
END_OF_SCRIPT
cat > read.py <<'END_OF_PYTHON'
import sys

import pypdfium2
from pypdfium2 import raw

found = []
for name in ("in.pdf", "out.pdf"):
    document = pypdfium2.PdfDocument(name)
    text = document[0].get_textpage()
    unknown = sum(raw.FPDFText_HasUnicodeMapError(text, place) == 1 for place in range(text.count_chars()))
    found.append((text.get_text_range().strip(), unknown))
    print(name, document.get_metadata_value("Producer"), ascii(found[-1][0]), "unknown characters:", unknown)
if found != [("find", 0), ("\u6600\u6900nd", 0)]:
    sys.exit("the behaviour has changed")
END_OF_PYTHON
"$place/venv/bin/python" make.py
node copy.mjs
"$place/venv/bin/python" read.py
