"""What a fresh process takes, in processor time: `import collotype` beside one that does nothing, `check` beside
`import torch`.

The recipes are one of each family whose weights are not here, and those that read the most data of their own; the
commands are other tools'. Modules are compiled before, as an installation's are.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile

CHECKED = ("colpali-paper", "clip-rn50-cc3m", "beit3-large-vqav2", "desk-colpali", "desk-slides", "desk-vqa")
COMMANDS = {
    "an open_clip command": "torchrun --nproc_per_node 8 -m open_clip_train.main --model RN50 --train-data cc3m.csv "
    "--batch-size 128 --epochs 30 --lr 1e-3",
    "a BEiT-3 command": "python -m torch.distributed.launch --nproc_per_node=8 run_beit3_finetuning.py "
    "--data_path /data/vqa --model beit3_base_patch16_480 --input_size 480 --task vqav2 --batch_size 16 --lr 3e-5 "
    "--sentencepiece_model /data/beit3.spm --finetune /data/beit3_base_patch16_224.pth",
}


def seconds(*arguments: str) -> float:
    """Of the processor, by the process and those that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def beside(what: str, arguments: tuple[str, ...], reference: str) -> dict[str, str | float]:
    """Medians of runs that take turns, after one that compiles."""
    seconds(*arguments)
    pairs = [(seconds(*arguments), seconds("-c", reference)) for _ in range(OPTIONS.runs)]
    ours, theirs = map(statistics.median, zip(*pairs, strict=True))
    return {"what": what, "ours": ours, "reference": theirs, "against": f"`python -c '{reference}'`", "unit": "CPU s"}


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("recipes", nargs="*", default=CHECKED)
parser.add_argument("--runs", type=int, default=5)
OPTIONS = parser.parse_args()
with tempfile.TemporaryDirectory() as compiled:
    ENVIRONMENT = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    rows = [beside("`python -c 'import collotype'`", ("-c", "import collotype"), "pass")]
    for named, of_check in [*((f"`{recipe}`", recipe) for recipe in OPTIONS.recipes), *COMMANDS.items()]:
        rows.append(beside(f"`collotype check` of {named}", ("-m", "collotype", "check", of_check), "import torch"))
print(json.dumps(rows))
