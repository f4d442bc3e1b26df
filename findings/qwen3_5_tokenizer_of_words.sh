#!/usr/bin/env bash
# transformers' AutoTokenizer and the folder of a Qwen3.5 model whose tokenizer.json is a vocabulary of words: the class that
# tokenizer_config.json names is not used, the vocabulary is read as byte-level BPE, and every text becomes no tokens at all,
# without a word. The same files beside a config.json of Qwen3-VL are read as they are.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q transformers==5.23.0 tokenizers==0.23.3 2>/dev/null
"$folder/venv/bin/python" - "$folder" <<'PY' 2>/dev/null
import json
import sys
from pathlib import Path

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

print("transformers", transformers.__version__)
found = {}
for kind in ("qwen3_vl", "qwen3_5"):
    folder = Path(sys.argv[1]) / kind
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "red": 1, "apple": 2, "<|endoftext|>": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    names = {"tokenizer_class": "TokenizersBackend", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    theirs = AutoTokenizer.from_pretrained(folder)
    found[kind] = theirs("red apple")["input_ids"]
    print(f"{kind}: {type(theirs).__name__} makes {found[kind]} of 'red apple'; tokenizers itself makes [1, 2]")
sys.exit(0 if found == {"qwen3_vl": [1, 2], "qwen3_5": []} else 1)
PY
