"""Measures whether a model's scores depend on batch, padding, precision or attention kernel.

Pages and queries of a suite are encoded under each setting, and their scores compared with those of one at a time in
the same precision; in bf16 (weights and all) these themselves with those in float32.
"""

import importlib.util
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from collotype.evaluation.ranking import Qrels, ranking_metrics
from collotype.families.retriever.benchmarks import RetrievalBenchmark
from collotype.families.retriever.model import Retriever
from collotype.runtime.device import DTYPES

BATCHES = (1, 4, 16, 32)
PAGES = 32
SLACK = 8
"""Tokens of padding beyond the longest page or query."""
CUTS = ((1, 1), (1, 0.625), (0.66, 1), (0.5, 0.5))
"""Parts of (width, height) that pages of one size are cut to."""
SDPA = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
}
FLASH_2 = "FlashAttention-2"


@dataclass(frozen=True)
class Sample:
    """Some of a dataset's pages, and queries that they answer."""

    dataset: str
    queries: Sequence[str]
    pages: Sequence[Image.Image]
    qrels: Qrels
    """Queries and pages by their numbers."""
    metric: str
    cut: bool = False
    """Are pages, all of one size, cut to several?"""


def sample(benchmark: RetrievalBenchmark, limit: int = PAGES) -> Sample:
    """At most `limit` right pages, from the smallest to the largest, and as many queries that they answer."""
    ids, size = benchmark.pages.ids, benchmark.pages.size
    right = {page for grades in benchmark.qrels.values() for page, grade in grades.items() if grade > 0}
    by_size = sorted((n for n, page in enumerate(ids) if page in right), key=lambda n: math.prod(size(n)))
    count = min(limit, len(by_size))
    chosen = [by_size[number * len(by_size) // count] for number in range(count)]
    place = {ids[page]: str(number) for number, page in enumerate(chosen)}
    judged = {
        query: {place[page]: grade for page, grade in benchmark.qrels[query].items() if page in place}
        for query in benchmark.queries
    }
    asked = [query for query, grades in judged.items() if any(grade > 0 for grade in grades.values())][:limit]
    pages, cut = [benchmark.pages.image(page) for page in chosen], len({size(page) for page in chosen}) == 1
    if cut:
        pages = [part(page, *CUTS[number % len(CUTS)]) for number, page in enumerate(pages)]
    qrels = {str(number): judged[query] for number, query in enumerate(asked)}
    return Sample(benchmark.name, [benchmark.queries[query] for query in asked], pages, qrels, benchmark.headline, cut)


def part(page: Image.Image, wide: float, high: float) -> Image.Image:
    return page.crop((0, 0, max(1, round(page.width * wide)), max(1, round(page.height * high))))


@dataclass(frozen=True)
class Setting:
    """How pages and queries go through a model."""

    batch: int = 1
    padded: bool = False
    """Are all batches in the given order and filled up beyond the longest, or of equal lengths and without padding?"""
    precision: str = "fp32"
    kernel: str = ""
    """Of attention; empty: the one torch chooses."""

    def __str__(self) -> str:
        many = "one at a time" if self.batch == 1 else f"batches of {self.batch}"
        how = f"attention kernel {self.kernel}" if self.kernel else many + (", padded" if self.padded else "")
        return f"{self.precision}, {how}"


def settings(kernels: Sequence[str]) -> list[Setting]:
    """All of them, float32's first."""
    return [
        one
        for precision in ("fp32", "bf16")
        for one in (
            *(Setting(batch, padded, precision) for padded in (False, True) for batch in BATCHES),
            *(Setting(BATCHES[0], precision=precision, kernel=kernel) for kernel in kernels),
        )
    ]


def kernels_of(device: torch.device) -> list[str]:
    """The kernels of attention that may run there."""
    if device.type != "cuda":
        return ["math", "flash"]
    return [*SDPA, *([FLASH_2] if importlib.util.find_spec("flash_attn") else [])]


def stability(model: Retriever, of: Sample) -> Iterator[dict[str, Any]]:
    """What each setting changes; of one that this device cannot compute, why. The model is in bf16 afterwards."""
    references: dict[str, tuple[Setting, Tensor]] = {}
    for setting in settings(kernels_of(model.device)):
        model.to(DTYPES[setting.precision])
        try:
            with attending(model, setting.kernel):
                found = scores(model, of, setting)
        except (RuntimeError, ImportError, ValueError) as error:
            if not setting.kernel:
                raise
            yield {"setting": str(setting), "not_measured": str(error).splitlines()[0]}
            continue
        before, reference = references.get(setting.precision) or references.get("fp32") or (setting, found)
        references.setdefault(setting.precision, (setting, found))
        yield {"setting": str(setting), "compared_with": str(before), **differences(found, reference, of)}


@contextmanager
def attending(model: Retriever, kernel: str) -> Iterator[None]:
    if kernel in SDPA:
        with sdpa_kernel(SDPA[kernel]):
            yield
    elif kernel:
        backbone: Any = model.backbone
        backbone.set_attn_implementation("flash_attention_2")
        try:
            yield
        finally:
            backbone.set_attn_implementation("sdpa")
    else:
        yield


@torch.inference_mode()
def scores(model: Retriever, of: Sample, setting: Setting) -> Tensor:
    """float32 [num_queries, num_pages]."""
    processor = model.processor
    asked = [len(processor.query_ids(query, cut=True)[0]) for query in of.queries]
    shown = [processor.page_length(page.size) for page in of.pages]
    queries = encoded(model, of.queries, asked, lambda some: processor.queries(some, cut=True), setting)
    return model.score(queries, encoded(model, of.pages, shown, processor.pages, setting))


def encoded(
    model: Retriever, things: Sequence[Any], lengths: Sequence[int], make: Callable[..., Any], setting: Setting
) -> list[Tensor]:
    found: dict[int, Tensor] = {}
    longest = max(lengths) + SLACK if setting.padded else 0
    for batch in batches(lengths, setting):
        inputs = lengthened(model, make([things[place] for place in batch]), longest)
        found |= zip(batch, model.vectors(inputs), strict=True)
    return [found[place] for place in range(len(things))]


def batches(lengths: Sequence[int], setting: Setting) -> Iterator[list[int]]:
    """Places, in their order; without padding those of one length go together."""
    groups: dict[int, list[int]] = defaultdict(list)
    for place, length in enumerate(lengths):
        groups[0 if setting.padded else length].append(place)
    for group in groups.values():
        yield from (group[start : start + setting.batch] for start in range(0, len(group), setting.batch))


def lengthened(model: Retriever, inputs: Mapping[str, Tensor], length: int) -> dict[str, Tensor]:
    """Texts padded to a length, if they are shorter."""
    processor, more = model.processor, max(0, length - inputs["input_ids"].shape[1])
    sides = (more, 0) if processor.preset.padding_side == "left" else (0, more)
    ids = functional.pad(inputs["input_ids"], sides, value=processor.pad_id)
    return {**inputs, "input_ids": ids, "attention_mask": functional.pad(inputs["attention_mask"], sides, value=False)}


def differences(found: Tensor, reference: Tensor, of: Sample) -> dict[str, Any]:
    """Of scores [num_queries, num_pages] from others of the same pairs."""
    ndcg, before = (ranking_metrics(of.qrels, run_of(one))[0][of.metric] for one in (found, reference))
    best, best_before = (one.topk(min(10, one.shape[1]), dim=1).indices for one in (found, reference))
    return {
        "largest_score_difference": float((found - reference).abs().max()),
        "metric": of.metric,
        "metric_difference": ndcg - before,
        "queries_with_other_order": int((best != best_before).any(1).sum()),
        "distinct_scores": min(len(row.unique()) for row in found),
    }


def run_of(scores: Tensor) -> dict[str, dict[str, float]]:
    return {str(q): {str(p): score for p, score in enumerate(row)} for q, row in enumerate(scores.tolist())}
