"""Token pooling of pages of 1,030 × 128 at factor 3: `fast` beside `hierarchical`, the published computation.

A page is 150 directions, each in several vectors with noise of half their length. One thread, both methods by turns on
the same pages, medians: CPU time, and the mean similarity of a page's vectors to their best pooled one.
"""

import json
import statistics
import time

import torch
from torch import Tensor
from torch.nn import functional

from collotype.families.retriever.token_pooling import pool_tokens

PAGES, VECTORS, DIM, DIRECTIONS, NOISE, FACTOR = 12, 1030, 128, 150, 0.5, 3
METHODS = ("fast", "hierarchical")


def clustered_page(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    directions = functional.normalize(torch.randn(DIRECTIONS, DIM, generator=generator), dim=-1)
    noise = functional.normalize(torch.randn(VECTORS, DIM, generator=generator), dim=-1)
    picked = directions[torch.randint(DIRECTIONS, (VECTORS,), generator=generator)]
    return functional.normalize(picked + NOISE * noise, dim=-1)


def measure(method: str, page: Tensor) -> tuple[float, float]:
    """Seconds of CPU, and the mean similarity that is kept."""
    started = time.process_time()
    pooled = pool_tokens(page, FACTOR, method)
    seconds = time.process_time() - started
    return seconds, float((page @ pooled.T).amax(1).mean())


if __name__ == "__main__":
    torch.set_num_threads(1)
    rounds = [{method: measure(method, clustered_page(seed)) for method in METHODS} for seed in range(PAGES + 1)][1:]
    names = (("CPU time", "s"), ("mean similarity to the best pooled vector", ""))
    rows = [
        {
            "what": f"fast token pooling, a page of 1,030 × 128, factor {FACTOR}: {name}",
            "ours": statistics.median(found["fast"][place] for found in rounds),
            "reference": statistics.median(found["hierarchical"][place] for found in rounds),
            "against": "hierarchical, as published",
            "unit": unit,
        }
        for place, (name, unit) in enumerate(names)
    ]
    print(json.dumps(rows))
