#!/bin/bash
# rapidocr 3.10.0 (onnxruntime 1.31.1), its defaults: of eight upright lines of clean black text, 16 pixels high, the
# classifier of text lines calls one upside down with more than its threshold of 0.9, turns it round, and letters in no
# order are read, with no sign of it but a low score; use_cls=False reads all eight. The classifier sees a line squeezed
# to 192 x 48 pixels, so a long one is hardly there. A whole page can be lost where most of its lines are long.
set -euo pipefail
place=$(mktemp -d); trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "rapidocr==3.10.0" "onnxruntime==1.31.1" "opencv-python-headless==5.0.0.93" \
    "pillow==12.0.0" "numpy==2.4.6"
"$place/venv/bin/pip" install -q --no-deps --target "$place/fonts" "matplotlib==3.10.7"
cat > "$place/run.py" <<'END'
import glob, logging, sys
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rapidocr import RapidOCR

logging.disable(logging.INFO)
TEXT = """The municipal archive keeps the correspondence of the harbour commission between
1871 and 1904. Letters are bound in volumes by year and the index of senders was
written by hand in green ink. The commission met in the customs house every second
Tuesday and discussed pilotage fees, dredging contracts and the quarantine station. In
the winter of 1879 the breakwater was damaged by ice and the engineer Halvorsen
proposed caissons of granite instead of timber cribs. His estimate amounted to 48,250
crowns, of which the merchants offered to pay a third. The lighthouse keeper
complained about the quality of colza oil and asked for two spare lamps.""".splitlines()
font = ImageFont.truetype(glob.glob(f"{sys.argv[1]}/**/DejaVuSerif.ttf", recursive=True)[0], 16)
image = Image.new("RGB", (80 + int(max(map(font.getlength, TEXT))), 336), "white")
for number, line in enumerate(TEXT):
    ImageDraw.Draw(image).text((40, 40 + 25 * number), line, fill="black", font=font)
engine, right = RapidOCR(), {}
for use_cls in (True, False):
    found = engine(np.array(image), use_cls=use_cls)
    right[use_cls] = sum(any(line.split() == text.split() for text in found.txts) for line in TEXT)
    print(f"use_cls={use_cls}: {right[use_cls]} of 8 lines; the third is {found.txts[2]!r}, score {found.scores[2]:.2f}")
if right[False] != 8 or right[True] == 8:
    sys.exit("the behaviour has changed")
END
echo "rapidocr 3.10.0, onnxruntime 1.31.1"
"$place/venv/bin/python" "$place/run.py" "$place/fonts" 2>/dev/null
