#!/usr/bin/env bash
# huggingface_hub: an allow pattern without a slash also matches files in subfolders.
# `snapshot_download(repo, allow_patterns="*.safetensors")` reads like "the safetensors at the top", as a glob
# means it; it also fetches the copies in checkpoint-500/ and original/, and no pattern says "at the top only".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "huggingface_hub==2.4.0"
"$work/venv/bin/python" - <<'END'
import fnmatch, glob, os, sys, tempfile
import huggingface_hub
from huggingface_hub.utils import filter_repo_objects

files = ["model.safetensors", "checkpoint-500/model.safetensors", "original/consolidated.safetensors"]
there = tempfile.mkdtemp()
for name in files:
    os.makedirs(os.path.dirname(os.path.join(there, name)), exist_ok=True)
    open(os.path.join(there, name), "w").close()
by_shell = glob.glob("*.safetensors", root_dir=there)
by_hub = list(filter_repo_objects(files, allow_patterns="*.safetensors"))
print("huggingface_hub", huggingface_hub.__version__)
print("a glob of *.safetensors at the top:   ", by_shell)
print("allow_patterns='*.safetensors' fetches:", by_hub)
sys.exit(0 if by_shell == files[:1] and by_hub == files else 1)
END
