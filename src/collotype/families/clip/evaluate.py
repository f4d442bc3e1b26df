"""Zero-shot classification, and retrieval between images and captions."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from collotype.evaluation.results import GalleryWriter, Measured
from collotype.families.clip.benchmarks import CUTOFFS, DIRECTIONS, Benchmark, CaptionedImages, Classification
from collotype.families.clip.model import Clip
from collotype.runtime.device import peak_memory, reset_peak_memory
from collotype.runtime.errors import UserError
from collotype.runtime.process import gathered, on_main, over_blocks
from collotype.runtime.shards.names import some
from collotype.runtime.shards.samples import Fault
from collotype.runtime.world import ALONE, World
from collotype.training.bad_examples import BadExampleError

BLOCK = 256
"""Images that a process reads, encodes and scores at a time; texts, too."""
TOP, NONE = 5, -1
SHOWN_ROWS, SHOWN_COLUMNS, SHOWN_PX = 4, 6, 96


def evaluate(
    model: Clip,
    benchmarks: Sequence[Benchmark],
    examples_to: Path | None = None,
    world: World = ALONE,
) -> list[Measured]:
    """Each dataset measured.

    Args:
        examples_to: a folder for images of the first classification and what they were taken for.
        world: the processes that share the work; all of them call this, and all get the result.
    """
    measured, digest = list[Measured](), model.digest()
    for benchmark in benchmarks:
        reset_peak_memory(model.device)
        started = time.perf_counter()
        events = [*model.events, *benchmark.events()]
        if isinstance(benchmark, Classification):
            found, faults = classify(model, benchmark, world)
            events += unread(faults, "count as misses")
            metrics, headline = accuracy(found, benchmark), "top1"
            if not any(one.headline == "top1" for one in measured):
                on_main(world, partial(illustrate, benchmark, found, examples_to))
        else:
            metrics, faults = retrieve(model, benchmark, world)
            events += unread(faults, "are left out with their captions")
            headline = "image_to_text_recall_at_1"
        facts = {
            "model": {"sha256": digest, "activation": model.config.activation},
            "data": benchmark.sizes(),
            "timing": {"total_s": round(time.perf_counter() - started, 2), "processes": world.size},
            "peak_memory_mib": gathered(round(peak_memory(model.device) / 2**20, 1), world),
            "events": events,
        }
        measured.append(Measured(benchmark.name, metrics, headline, facts=facts))
    return measured


def classify(model: Clip, benchmark: Classification, world: World = ALONE) -> tuple[Tensor, list[Fault]]:
    """Each image's TOP classes, best first: int64 [images, TOP]; NONE where the image cannot be read, and why.

    Raises:
        UserError: none can be read.
    """
    weights = classifier(model, benchmark.captions, world)
    top = min(TOP, len(weights))

    def work(block: range) -> tuple[Tensor, list[Fault]]:
        read = read_all(benchmark.images.image, block)
        found = torch.full((len(block), top), NONE)
        found[read.sound] = similarities(model.encode_images(read.images), weights).topk(top).indices
        return found, read.faults

    found, faults = zip(*over_blocks(len(benchmark.labels), world, work, BLOCK), strict=True)
    return torch.cat(found), require_some(benchmark.name, len(benchmark.labels), faults)


def classifier(model: Clip, captions: Sequence[Sequence[str]], world: World = ALONE) -> Tensor:
    """The embedding of each class, float32 [classes, D]: the mean of its captions', brought to length one (arXiv
    2103.00020, section 3.1.4)."""
    texts = [*chain.from_iterable(captions)]
    blocks = over_blocks(len(texts), world, lambda block: model.encode_texts([texts[at] for at in block]), BLOCK)
    means = [own.mean(0) for own in torch.cat(blocks).split([len(own) for own in captions])]
    return functional.normalize(torch.stack(means), dim=-1)


def accuracy(found: Tensor, benchmark: Classification) -> dict[str, float]:
    """Parts of the images whose class is the first, or among the first five; and the mean of the first over
    classes. An image that cannot be read is a miss."""
    labels = torch.tensor(list(benchmark.labels))
    hits = found == labels[:, None]
    first = hits[:, 0].double()
    per_class, counts = (torch.bincount(labels, weights) for weights in (first, None))
    there = counts > 0
    return {
        "top1": float(first.mean()),
        "top5": float(hits.any(1).double().mean()),
        "mean_per_class": float((per_class[there] / counts[there]).mean()),
    }


def retrieve(model: Clip, benchmark: CaptionedImages, world: World = ALONE) -> tuple[dict[str, float], list[Fault]]:
    """Where an image's own caption ranks among all captions, and the other way round, a chunk of scores at a time; and
    why images cannot be read, which are left out.

    Raises:
        UserError: none can be read.
    """

    def work(block: range) -> tuple[Tensor, Tensor, list[Fault]]:
        read = read_all(benchmark.image, block)
        captions = [benchmark.caption(row) for row, sound in zip(block, read.sound, strict=True) if sound]
        return model.encode_images(read.images), model.encode_texts(captions, cut=True), read.faults

    *parts, unread_of = zip(*over_blocks(benchmark.rows, world, work, BLOCK), strict=True)
    faults = require_some(benchmark.name, benchmark.rows, unread_of)
    images, texts = map(torch.cat, parts)
    metrics = {}
    for direction, (queries, answers) in zip(DIRECTIONS, ((images, texts), (texts, images)), strict=True):
        ranks = torch.cat([*ranks_of_own(queries, answers)])
        for k in CUTOFFS:
            metrics[f"{direction}_recall_at_{k}"] = float((ranks <= k).double().mean())
        metrics[f"{direction}_mean_rank"] = float(ranks.double().mean())
        metrics[f"{direction}_median_rank"] = float(ranks.double().quantile(0.5))
    return metrics, faults


def ranks_of_own(queries: Tensor, answers: Tensor) -> Iterator[Tensor]:
    """From 1; answers that score the same as the right one come before it."""
    for start in range(0, len(queries), BLOCK):
        scores = similarities(queries[start : start + BLOCK], answers)
        own = scores.diagonal(start)[:, None]
        yield (scores >= own).sum(1)


def similarities(queries: Tensor, answers: Tensor) -> Tensor:
    """Scores are float32, also where the model computes in half precision.

    Raises:
        UserError: some are not finite.
    """
    with torch.autocast(queries.device.type, enabled=False):
        scores = queries @ answers.T
    if not scores.isfinite().all():
        raise UserError("The scores of images and texts are not finite; the model's weights are damaged.")
    return scores


class ReadImage(NamedTuple):
    """The images of some rows that can be read, which of the rows these are, and what is wrong with the others."""

    images: list[Image.Image]
    sound: list[bool]
    faults: list[Fault]


def read_all(read: Callable[[int], Image.Image], rows: Sequence[int]) -> ReadImage:
    """Decoded by several threads: Pillow leaves the interpreter to others meanwhile."""

    def attempt(row: int) -> Image.Image | Fault:
        try:
            return read(row)
        except BadExampleError as error:
            return Fault(error.cause, error.place, 1)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = list(pool.map(attempt, rows))
    sound = [not isinstance(one, Fault) for one in found]
    images = [one for one in found if not isinstance(one, Fault)]
    return ReadImage(images, sound, [one for one in found if isinstance(one, Fault)])


def require_some(name: str, images: int, of_blocks: Iterable[Sequence[Fault]]) -> list[Fault]:
    """The faults of all blocks.

    Raises:
        UserError: there is one for each of the images.
    """
    faults = [*chain.from_iterable(of_blocks)]
    if len(faults) == images:
        first = faults[0]
        raise UserError(
            f"None of the {images} images of {name} can be read (the first: {first.cause}, in {first.place}); "
            "correct their paths, or copy them again."
        )
    return faults


def unread(faults: Sequence[Fault], consequence: str) -> list[dict[str, Any]]:
    """What to tell of images that cannot be read, by cause and place."""
    events = []
    for cause, count in Counter(fault.cause for fault in faults).most_common():
        places = some(dict.fromkeys(fault.place for fault in faults if fault.cause == cause))
        events.append({"kind": cause, "count": count, "note": f"they {consequence}; in {places}"})
    return events


def illustrate(benchmark: Classification, found: Tensor, folder: Path | None) -> None:
    """Some images, spread over the set, and what each was taken for, where there is a folder for them."""
    if folder is None:
        return
    legend = "Wrong first guesses: right name → guess. A green frame marks a hit."
    writer, count = GalleryWriter(folder, "Images and what they were taken for", legend), SHOWN_ROWS * SHOWN_COLUMNS
    places = [round(place * (len(found) - 1) / (count - 1)) for place in range(count)]
    shown = []
    for place in dict.fromkeys(places):
        if found[place, 0] == NONE:
            continue
        image, right = benchmark.images.image(place), benchmark.classes[benchmark.labels[place]]
        image.thumbnail((SHOWN_PX, SHOWN_PX))
        first = benchmark.classes[int(found[place, 0])]
        hit = first == right
        shown.append(writer.image(image, right if hit else f"{right} → {first}", hit))
    rows = [list(row) for _, row in groupby(shown, key=lambda picture: shown.index(picture) // SHOWN_COLUMNS)]
    writer.add(benchmark.name, f"{len(shown)} of {len(found):,} images, spread over the set", rows)
    writer.write()
