"""What a GPU is for: encoding, a LoRA step, MaxSim and images, with random weights of published shapes.

    python benchmarks/gpu.py --out gpu.json             about 12 minutes on one GPU
    python benchmarks/gpu.py --out gpu.json --tiny      small shapes on whatever is there, in a minute

Writes every cell to the JSON as soon as it is measured, and a table to standard output; what fails, or is not
installed, is a cell that says so. Throughput is of the median of the rounds, after one that warms up; memory is the
peak of the cell. With --tiny there is one round, and the figures mean nothing.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel

from collotype.families.beit3.config import sized as beit3_sized
from collotype.families.beit3.model import Beit3
from collotype.families.clip.config import sized
from collotype.families.clip.model import Clip
from collotype.families.retriever.backbones import BACKBONES
from collotype.families.retriever.config import Lora, RetrieverConfig
from collotype.families.retriever.lora import add_lora, linear_layers
from collotype.families.retriever.lora_targets import find_targets
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.preset import find_preset
from collotype.families.retriever.processor import make_processor
from collotype.families.retriever.tokenizer import word_tokenizer
from collotype.losses.maxsim import maxsim
from collotype.losses.registry import make_loss
from collotype.runtime.files import write_json

MODELS = {
    "ColPali 3B": ("paligemma", "3b-448", "colpali-engine-0.3.13"),
    "ColQwen2 2B": ("qwen2-vl", "2b", "colqwen2-engine-0.3.13"),
    "ColQwen3.5 0.8B": ("qwen3.5", "0.8b", "colqwen3.5-engine-0.3.18"),
}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
KERNELS = {
    "math": [SDPBackend.MATH],
    "sdpa": [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
}
PAGE, QUERY, ROUNDS = (1240, 1754), "how much was it in the last quarter", 3
Cell = dict[str, Any]


class Shapes:
    """How large everything is: as published, or so that a CPU is done in a minute."""

    def __init__(self, tiny: bool):
        self.tiny, self.pages = tiny, 1 if tiny else 8
        self.rounds = 1 if tiny else ROUNDS
        self.page = (96, 128) if tiny else PAGE
        self.batches = (4,) if tiny else (32, 256)
        self.micro_batch = 2 if tiny else 4
        self.maxsim = (4, 16, 8, 32) if tiny else (128, 32, 512, 1024)
        self.images = (2, "tiny-rn") if tiny else (256, "RN50")


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def measure(work: Callable[[], Any], rounds: int) -> Cell:
    """Seconds of a round and the peak of memory, on the GPU if there is one."""
    there = torch.cuda.is_available()
    work()
    if there:
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        if there:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    peak = round(torch.cuda.max_memory_allocated() / 2**20) if there else None
    return {"seconds": statistics.median(seconds), "peak_mib": peak}


def retriever(name: str, shapes: Shapes, dtype: torch.dtype, interaction: str = "late") -> Retriever:
    backbone, size, preset_name = MODELS[name]
    row, preset = BACKBONES[backbone], find_preset(preset_name)
    size = row.sizes["tiny" if shapes.tiny else size]
    tokenizer = word_tokenizer([QUERY, preset.query(""), preset.page_prompt], row.special_tokens)
    config = row.configure(size, tokenizer.get_vocab())
    config["text_config"]["vocab_size"] = size["text_config"].get("vocab_size", config["text_config"]["vocab_size"])
    settings = RetrieverConfig(row.name, config, interaction, 128 if interaction == "late" else None, preset)
    torch.manual_seed(0)
    with torch.device(device()):
        model = Retriever(settings, make_processor(settings, tokenizer))
    return model.to(dtype).eval()


def encoding(shapes: Shapes) -> Iterator[tuple[str, Callable[[], Cell]]]:
    for name in MODELS:
        for precision, dtype in PRECISIONS.items():
            for interaction in ("late", "single"):
                for kernel, backends in KERNELS.items():
                    what = f"{name}, {interaction}, {precision}, {kernel}"
                    yield what, lambda a=(name, dtype, interaction, backends): encode(shapes, *a)


def encode(shapes: Shapes, name: str, dtype: torch.dtype, interaction: str, backends: list[SDPBackend]) -> Cell:
    model, pages = retriever(name, shapes, dtype, interaction), [Image.new("RGB", shapes.page, "white")] * shapes.pages
    with sdpa_kernel(backends):
        cell = measure(lambda: model.encode_pages(pages), shapes.rounds)
    return cell | {"pages_per_s": shapes.pages / cell["seconds"]}


def steps(shapes: Shapes) -> Iterator[tuple[str, Callable[[], Cell]]]:
    for batch in shapes.batches:
        for how in ("gradient cache", "whole batch, one einsum"):
            yield f"LoRA step, ColQwen2 2B, batch {batch}, {how}", lambda a=(batch, how): lora_step(shapes, *a)


def lora_step(shapes: Shapes, batch: int, how: str) -> Cell:
    """The cached step runs every micro-batch twice and keeps one's activations; the other keeps the whole batch's."""
    model = retriever("ColQwen2 2B", shapes, torch.bfloat16 if torch.cuda.is_available() else torch.float32)
    targets = find_targets(linear_layers(model), "language-model")
    add_lora(model, Lora(rank=32, alpha=32, targets=targets)).to(device()).train()
    size = shapes.micro_batch if how == "gradient cache" else batch
    page = Image.new("RGB", shapes.page, "white")
    inputs = [(model.processor.queries([QUERY] * size), model.processor.pages([page] * size))] * (batch // size)
    inputs = [[{n: t.to(device()) for n, t in side.items()} for side in pair] for pair in inputs]
    loss = make_loss("infonce", temperature=0.02).in_batch
    score = maxsim if how == "gradient cache" else einsum

    def step() -> None:
        if len(inputs) == 1:
            return loss(score(*(model(side)[0].float() for side in inputs[0]))).backward()
        with torch.no_grad():
            sides = [torch.cat([model(pair[side])[0].float() for pair in inputs]) for side in (0, 1)]
        sides = [side.requires_grad_() for side in sides]
        loss(score(*sides)).backward()
        for number, pair in enumerate(inputs):
            for side, given in enumerate(pair):
                model(given)[0].float().backward(sides[side].grad[number * size : (number + 1) * size])

    cell = measure(step, shapes.rounds)
    return cell | {"pairs_per_s": batch / cell["seconds"]}


def einsum(queries: torch.Tensor, pages: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bnd,csd->bcns", queries, pages).amax(dim=3).sum(dim=2)


def scores(shapes: Shapes) -> Iterator[tuple[str, Callable[[], Cell]]]:
    queries, tokens, pages, vectors = shapes.maxsim
    for how in ("ours", "einsum", "late-interaction-kernels"):
        yield (
            f"MaxSim, {queries} queries of {tokens} x {pages} pages of {vectors}, {how}",
            lambda how=how: max_similarities(shapes, how),
        )


def max_similarities(shapes: Shapes, how: str) -> Cell:
    queries, tokens, pages, vectors = shapes.maxsim
    q, p = (torch.randn(*size, 128, device=device()) for size in ((queries, tokens), (pages, vectors)))
    if how == "late-interaction-kernels":
        from late_interaction_kernels import maxsim as theirs

        return measure(lambda: theirs(q, p), shapes.rounds)
    score = maxsim if how == "ours" else einsum
    with torch.no_grad():
        return measure(lambda: score(q, p), shapes.rounds)


def images(shapes: Shapes) -> Iterator[tuple[str, Callable[[], Cell]]]:
    yield f"CLIP {shapes.images[1]}, images", lambda: clip_images(shapes)
    yield f"BEiT-3 {'tiny' if shapes.tiny else 'base'}, images with a question", lambda: beit3_images(shapes)


def clip_images(shapes: Shapes) -> Cell:
    batch, size = shapes.images
    config = sized(size)
    model = Clip(config, None).to(device()).eval()
    pixels = torch.zeros(batch, 3, *[config.vision_cfg.image_size] * 2, device=device())
    with torch.no_grad():
        cell = measure(lambda: model.image_features(pixels), shapes.rounds)
    return cell | {"images_per_s": batch / cell["seconds"]}


def beit3_images(shapes: Shapes) -> Cell:
    batch = shapes.images[0]
    config = beit3_sized("tiny" if shapes.tiny else "base")
    model = Beit3(config, None).to(device()).eval()
    pixels = torch.zeros(batch, 3, *[config.image_size] * 2, device=device())
    ids = torch.ones(batch, 16, dtype=torch.long, device=device())
    with torch.no_grad():
        cell = measure(lambda: model(pixels, ids, ids.bool()), shapes.rounds)
    return cell | {"images_per_s": batch / cell["seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    shapes, cells = Shapes(given.tiny), {}
    hardware = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"| {hardware} | seconds | a second | peak MiB |\n| --- | --- | --- | --- |")
    for part in (encoding, steps, scores, images):
        for what, work in part(shapes):
            try:
                cells[what] = work()
            except (ImportError, RuntimeError) as error:
                cells[what] = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
            cell = cells[what]
            rate = next((f"{value:.1f}" for name, value in cell.items() if name.endswith("_per_s")), "")
            seconds = cell.get("failed") or f"{cell['seconds']:.4f}"
            print(f"| {what} | {seconds} | {rate} | {cell.get('peak_mib') or ''} |", flush=True)
            write_json(
                given.out, {"hardware": hardware, "torch": torch.__version__, "tiny": given.tiny, "cells": cells}
            )


if __name__ == "__main__":
    main()
