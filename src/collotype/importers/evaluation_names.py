"""The meaning of other tools' names of models, benchmarks and tasks in evaluation commands."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from collotype.importers.mapping import shown
from collotype.runtime.errors import UserError

VIDORE = Path(__file__).parents[1] / "assets" / "vidore.yaml"
COLLECTIONS = {
    "vidore/vidore-benchmark-667173f98e70a1c0fa4db00d": "vidore-v1",
    "vidore/vidore-benchmark-v2-67ae03e3924e85b36e7f53b0": "vidore-v2",
}
BENCHMARKS = {
    "ViDoRe(v1)": ("vidore-v1",),
    "ViDoRe(v2)": ("vidore-v2",),
    "ViDoRe(v3)": ("vidore-v3",),
    "ViDoRe(v3.1)": ("vidore-v3.1",),
    "ViDoRe(v1&v2)": ("vidore-v1", "vidore-v2"),
    "VisualDocumentRetrieval": ("vidore-v1", "vidore-v2"),
}
"""Of mteb 2.26."""


@dataclass(frozen=True)
class KnownRetriever:
    """A published model by its name.

    Args:
        precision: as mteb loads it.
        preset: its own, where no version of a tool changes how it is framed.
    """

    backbone: str
    interaction: str = "late"
    dim: int | None = 128
    precision: str = "bf16"
    preset: str | None = None


RETRIEVERS: tuple[tuple[str, KnownRetriever], ...] = (
    # the first that is found in a model's name, in small letters; (mteb 2.26's loaders)
    ("bipali", KnownRetriever("paligemma", "single", None)),
    (r"colpali-v1\.[123]", KnownRetriever("paligemma", precision="fp16")),
    ("colpali", KnownRetriever("paligemma")),
    (r"evie-8b", KnownRetriever("qwen3.5", dim=4096, preset="evie")),
    (r"evie-(preview-)?4\.5b", KnownRetriever("qwen3.5", dim=2048, preset="evie")),
    (r"pplx-embed-v2-late", KnownRetriever("qwen3.5", preset="pplx-late-v2")),
    (r"vultron|colqwen3[._]5.*v3", KnownRetriever("qwen3.5", dim=320, preset="colqwen3.5-v3")),
    (r"(?<!argus-)colqwen3[._]5", KnownRetriever("qwen3.5", dim=320, preset="colqwen3.5-engine-0.3.18")),
    ("nemotron-colembed-vl", KnownRetriever("qwen3-vl", dim=None, preset="nemotron-colembed-v2")),
    ("ops-colqwen3", KnownRetriever("qwen3-vl", dim=2560, precision="fp16", preset="ops-colqwen3")),
    ("tomoro-colqwen3", KnownRetriever("qwen3-vl", dim=320, preset="tomoro-colqwen3")),
    ("(?<!sauerkrautlm-)colqwen3|colturk", KnownRetriever("qwen3-vl", dim=320, preset="colqwen2-engine-0.3.13")),
    (r"colqwen2[._]5", KnownRetriever("qwen2.5-vl", precision="fp16")),
    ("biqwen2", KnownRetriever("qwen2-vl", "single", None)),
    ("colqwen2", KnownRetriever("qwen2-vl", precision="fp16")),
    ("colsmol|colidefics3", KnownRetriever("idefics3", precision="fp16")),
    ("colgemma3", KnownRetriever("gemma3")),
    ("colmodernvbert", KnownRetriever("modernvbert", precision="fp32", preset="colmodernvbert-engine-0.3.18")),
    (
        "bimodernvbert",
        KnownRetriever("modernvbert", "single", None, precision="fp32", preset="colmodernvbert-engine-0.3.18"),
    ),
)

CLASSES = {
    "colpali": "vidore/colpali-v1.3",
    "colqwen2": "vidore/colqwen2-v1.0",
    "colqwen2_5": "vidore/colqwen2.5-v0.2",
    "colidefics3": "vidore/colSmol-256M",
    "biqwen2": "biqwen2",
}
"""vidore-benchmark's --model-class, and the model it loads without --model-name."""

FRAMED: dict[str, str] = {
    "paligemma": "colpali-engine-0.3.11",
    "qwen2-vl": "colqwen2-engine-0.3.4",
    "qwen2.5-vl": "colqwen2-engine-0.3.4",
    "idefics3": "colidefics3-engine-0.3.11",
}
"""The preset whose query text mteb's wrapper makes: "Query: " and ten augmentation tokens (colpali_models.py)."""


FLASH = "flash_attention_2 where it is installed"


def retriever_named(name: str) -> KnownRetriever:
    """
    Raises:
        UserError: nothing in the name is known.
    """
    for pattern, model in RETRIEVERS:
        if re.search(pattern, name.lower().rpartition("/")[2]):
            return model
    raise UserError(
        f"The command evaluates {shown(name)}, which is not a known retriever (ColPali, ColQwen2 to 3.5, EVIE, "
        "ColSmol, ColGemma3, ColModernVBERT and similar), so its numbers cannot be checked."
    )


@cache
def datasets() -> dict[str, tuple[str, str]]:
    """(suite, dataset) by mteb's name of the task and by the repositories of the hub."""
    found = {}
    for suite, facts in yaml.safe_load(VIDORE.read_text()).items():
        for dataset, about in facts["datasets"].items():
            for key in ("task", "qa", "beir"):
                if key in about:
                    found[about[key]] = (suite, dataset)
    return found


def entries(names: list[tuple[str, str | None]]) -> list[dict[str, Any]]:
    """`evaluate` of these (suite, dataset); a suite's datasets together, none stands for all of them."""
    suites: dict[str, list[str]] = {}
    for suite, dataset in names:
        suites.setdefault(suite, [])
        if dataset:
            suites[suite].append(dataset)
    return [{"suite": suite, **({"only": only} if only else {})} for suite, only in suites.items()]


def of_benchmark(name: str) -> list[tuple[str, str | None]]:
    if name not in BENCHMARKS:
        raise UserError(f"mteb's benchmark is {shown(name)}; the supported benchmarks are {', '.join(BENCHMARKS)}.")
    return [(suite, None) for suite in BENCHMARKS[name]]


def of_task(name: str) -> tuple[str, str]:
    """v3.1's tasks are v3's with `.v2`."""
    suite, dataset = datasets().get(name.removesuffix(".v2"), ("", ""))
    if not suite:
        raise UserError(
            f"mteb's task is {shown(name)}; only the ViDoRe tasks are supported (VidoreDocVQARetrieval, …)."
        )
    return (f"{suite}.1" if name.endswith(".v2") else suite), dataset
