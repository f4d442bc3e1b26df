"""A step of CLIP RN50 with captions of ten words: ours beside open_clip 3.3.0, of the same weights.

python benchmarks/clip_step.py               32 images
python benchmarks/clip_step.py --batch 8

open_clip is installed by pip into a temporary folder, without torchvision, which has no build for this torch and of
which a step needs nothing. Both go forward and backward through both towers and their own symmetric loss, in training
mode and float32 on one thread. They take turns, and the ratio is the median over pairs, of processor time, which other
work on the machine changes less.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from types import ModuleType
from unittest.mock import MagicMock

import torch
from torch import Tensor

from collotype.families.clip.config import sized
from collotype.families.clip.model import Clip
from collotype.families.clip.tokenizer import bpe_tokenizer
from collotype.losses.registry import make_loss

VERSION = "3.3.0"
PAIRS, TOLERANCE = 3, 1e-5
WORDS = "dog cat tree house river woman man child street red small old sits stands on near under with the a".split()


def import_open_clip(folder: str) -> ModuleType:
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", folder]
    subprocess.run([*install, f"open_clip_torch=={VERSION}"], check=True, stdout=sys.stderr)
    # first: it asks once whether torchvision is here
    import transformers  # noqa: F401

    for name in (
        "torchvision",
        "torchvision.transforms",
        "torchvision.transforms.functional",
        "torchvision.ops",
        "torchvision.ops.misc",
    ):
        sys.modules[name] = MagicMock()
    sys.path.append(folder)
    import open_clip

    return open_clip


def step(model: torch.nn.Module, loss: Callable[..., Tensor], pixels: Tensor, ids: Tensor) -> tuple[float, Tensor]:
    """Processor seconds of a step, and what both towers gave."""
    began = time.process_time()
    images, texts, *_ = model(pixels, ids)
    loss(images, texts, model.logit_scale.exp()).backward()
    seconds = time.process_time() - began
    model.zero_grad(set_to_none=True)
    return seconds, torch.stack([images, texts]).detach()


def main() -> list[dict]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=32)
    batch = parser.parse_args().batch
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Clip(sized("RN50"), bpe_tokenizer()).train()
    for block in model.visual.blocks():  # these start at zero, where a block is left out
        torch.nn.init.uniform_(block.bn3.weight, 0.1, 0.3)
    pixels = torch.randn(batch, 3, 224, 224)
    places = torch.randint(len(WORDS), (batch, 10))
    captions = [" ".join(WORDS[place] for place in row) for row in places]
    own_loss = make_loss("symmetric-infonce", temperature=1.0)
    with tempfile.TemporaryDirectory() as folder:
        open_clip = import_open_clip(folder)
        other = open_clip.create_model("RN50").train()
        other.load_state_dict(model.state_dict())
        ids = open_clip.get_tokenizer("RN50")(captions)
        other_loss = open_clip.ClipLoss()
    ways = {
        "ours": (model, lambda images, texts, scale: own_loss.in_batch(scale * images @ texts.T), pixels, ids),
        "reference": (other, other_loss, pixels, ids),
    }
    taken, outputs = {name: [] for name in ways}, {}
    for _ in range(1 + PAIRS):
        for name, way in ways.items():
            seconds, outputs[name] = step(*way)
            taken[name].append(seconds)
    difference = (outputs["ours"] - outputs["reference"]).abs().max().item()
    assert difference <= TOLERANCE, f"outputs differ by {difference}"
    ratios = [ours / other for ours, other in zip(taken["ours"][1:], taken["reference"][1:], strict=True)]
    reference = statistics.median(taken["reference"][1:])
    row = {
        "what": f"CLIP RN50, a step of {batch} images and captions of ten words, paired",
        "ours": statistics.median(ratios) * reference,
        "reference": reference,
        "against": f"open_clip {VERSION}, same outputs within {TOLERANCE:g}",
        "unit": "CPU s",
    }
    limit = {"ours": difference, "reference": TOLERANCE, "against": "allowed", "unit": ""}
    return [row, {"what": "the same: largest difference of an output", **limit}]


if __name__ == "__main__":
    print(json.dumps(main()))
