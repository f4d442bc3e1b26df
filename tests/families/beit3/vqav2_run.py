"""From raw files to a fine-tuned model: what several tests of this folder start from."""

from pathlib import Path

import torch

import collotype
from collotype.families.beit3.tokenizer import SENTENCE_PIECES
from collotype.runner.result import Run
from tests.families.beit3.made_vqa import write_vqav2
from tests.families.beit3.small import make, pieces_tokenizer, trained_pieces

IMAGES = 40
"""Of each part: two blocks of an evaluation, so that two processes have something to do."""


def pretrained(folder: Path) -> Path:
    """A checkpoint as it is published before fine-tuning: a backbone, another head, beit3.spm beside it."""
    folder.mkdir(parents=True)
    (folder / SENTENCE_PIECES).write_bytes(trained_pieces())
    weights = {
        name: tensor
        for name, tensor in make(tokenizer=pieces_tokenizer()).state_dict().items()
        if name.startswith("beit3.")
    }
    file = folder / "beit3_tiny_patch8_32.pth"
    torch.save({"model": {**weights, "mlm_head.weight": torch.zeros(50, 32)}}, file)
    return file


def overrides(root: Path, weights: Path, **changes) -> dict:
    return {
        "model": {"weights": str(weights), "new_head": True, "drop_path": 0.1},
        "data": {"train": {"source": "vqav2", "path": str(root), "num_held_out": 10}, "fewest_questions": 3},
        "train.batch": 16,
        "train.steps": 4,
        "train.schedule.warmup_steps": 1,
        "train.checkpoint_every": 2,
        "evaluate": [{"suite": "vqav2", "path": str(root)}],
        "expect": [],
        **changes,
    }


def fine_tuned(folder: Path, **changes) -> tuple[Path, Run]:
    """The raw files' folder, and a run on them."""
    root = write_vqav2(folder / "data", IMAGES)
    weights = pretrained(folder / "pretrained")
    return root, collotype.run("desk-vqa", out=folder / "run", overrides=overrides(root, weights, **changes))
