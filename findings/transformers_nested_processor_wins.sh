#!/bin/bash
# transformers 5: where a model's folder has both files, the image processor nested in processor_config.json wins over
# preprocessor_config.json without a word. Editing preprocessor_config.json, which holds a page's budget of pixels in every
# published ColQwen2 folder, changes nothing once a run of transformers 5 was saved over the folder.
set -euo pipefail
place=$(mktemp -d); trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "transformers==5.23.0" "torch==2.13.0" "numpy==2.3.5" "pillow==12.1.0"
"$place/venv/bin/python" - "$place" 2>&1 <<'END'
import json
import sys
from pathlib import Path

import transformers
from transformers import AutoImageProcessor

print("transformers", transformers.__version__)


def budget(tokens):
    return {"image_processor_type": "Qwen2VLImageProcessor", "size": {"shortest_edge": 3136, "longest_edge": tokens * 784}}


found = {}
for nested in (False, True):
    folder = Path(sys.argv[1]) / f"nested-{nested}"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2_vl"}))
    (folder / "preprocessor_config.json").write_text(json.dumps(budget(20)))
    if nested:
        both = {"processor_class": "Qwen2VLProcessor", "image_processor": budget(50)}
        (folder / "processor_config.json").write_text(json.dumps(both))
    found[nested] = AutoImageProcessor.from_pretrained(folder).size["longest_edge"] // 784
    print(f"preprocessor_config.json says 20 tokens, processor_config.json {50 if nested else 'is not there'}: {found[nested]}")
if found != {False: 20, True: 50}:
    sys.exit("the behaviour has changed")
END
