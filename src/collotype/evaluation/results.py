"""The files of an evaluation: `evaluation/SUITE/DATASET.json`, the curve during training, illustrated examples."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from collotype.evaluation import per_query
from collotype.runtime.files import atomic_folder, write_bytes, write_json, write_text

Results = dict[str, dict[str, float]]
"""Metrics by "SUITE/DATASET"; a dataset's first is its headline, which curves, cards and one-line summaries show."""

SHOWN = (
    *("ndcg_at_5", "ndcg_at_10", "recall_at_5", "mrr"),
    *("top1", "top5"),
    *(
        "image_to_text_recall_at_1",
        "image_to_text_recall_at_5",
        "text_to_image_recall_at_1",
        "text_to_image_recall_at_5",
    ),
    *("vqa_accuracy", "vqa_accuracy_yes_no", "vqa_accuracy_number", "vqa_accuracy_other", "beit3_score", "answered"),
)
"""The columns of tables, where datasets have them."""


def headline(metrics: Mapping[str, Any]) -> str:
    """The name of the metric that stands for a dataset."""
    return next(iter(metrics))


def columns(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a table of these datasets' metrics shows."""
    there = dict.fromkeys(name for metrics in results.values() for name in metrics)
    return [name for name in SHOWN if name in there] or list(there)


def cells(metrics: Mapping[str, float], names: Sequence[str]) -> list[str]:
    """A table's row: empty where the dataset has no such metric."""
    return [f"{metrics[name]:.3f}" if name in metrics else "" for name in names]


SPELLED = {
    "_at_": "@",
    "ndcg": "nDCG",
    "mrr": "MRR",
    "map@": "MAP@",
    "top": "top-",
    "_to_": " → ",
    "vqa": "VQA",
    "beit3": "BEiT-3",
    "yes_no": "yes/no",
    "_": " ",
}


def display_name(metric: str) -> str:
    """As papers write it: nDCG@5, MRR, top-1, image → text recall@1."""
    for written, shown in SPELLED.items():
        metric = metric.replace(written, shown)
    return metric


@dataclass(frozen=True)
class MtebTask:
    """What mteb calls a dataset, so that result files can be exchanged."""

    name: str
    revision: str
    """Of the dataset on the hub."""
    split: str
    languages: Mapping[str, str]
    """Language subset -> mteb's code of the language (eng-Latn)."""


@dataclass(frozen=True)
class Measured:
    """One dataset's metrics, and their circumstances."""

    dataset: str
    """SUITE/DATASET."""
    metrics: dict[str, float]
    """The mean over its language subsets."""
    headline: str
    subsets: dict[str, dict[str, float]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    """Sizes, digests, model, times, memory, events."""
    task: MtebTask | None = None
    queries: per_query.PerQuery | None = None
    """What each query scored, of retrieval."""


def results_of(measured: Sequence[Measured]) -> Results:
    return {one.dataset: {one.headline: one.metrics[one.headline], **one.metrics} for one in measured}


def write_results(folder: Path, measured: Sequence[Measured]) -> None:
    """One JSON a dataset, `folder`/SUITE/DATASET.json: dataset, headline, metrics, subsets, and the facts' keys; of
    retrieval the intervals over queries, too, and beside it each query's values."""
    for one in measured:
        values = {"dataset": one.dataset, "headline": one.headline, "metrics": one.metrics, "subsets": one.subsets}
        if one.queries:
            values["intervals"] = per_query.intervals(one.queries)
            per_query.write(folder, one.dataset, one.queries)
        write_json(folder / f"{one.dataset}.json", {**values, **one.facts})


@dataclass
class Picture:
    """One image of an example; `file` is relative to the examples' folder."""

    label: str
    file: str
    right: bool | None = None
    """Is this a right answer, where that can be said?"""


@dataclass
class Example:
    """One query or question with the images that show what the model did with it; rows of images."""

    title: str
    note: str
    rows: list[list[Picture]] = field(default_factory=list)


@dataclass
class Gallery:
    """Examples under a heading, with a legend of what the images show."""

    heading: str
    legend: str
    examples: list[Example] = field(default_factory=list)


class GalleryWriter:
    """Collects examples and their images in a folder that appears whole."""

    def __init__(self, folder: Path, heading: str, legend: str):
        self.folder, self.gallery, self.images = folder, Gallery(heading, legend), dict[str, bytes]()

    def image(self, image: Image.Image, label: str, right: bool | None = None) -> Picture:
        name = f"{len(self.images):03d}.png"
        content = io.BytesIO()
        image.save(content, "png")
        self.images[name] = content.getvalue()
        return Picture(label, name, right)

    def add(self, title: str, note: str, rows: Sequence[Sequence[Picture]]) -> None:
        self.gallery.examples.append(Example(title, note, [list(row) for row in rows]))

    def write(self) -> None:
        with atomic_folder(self.folder) as folder:
            for name, content in self.images.items():
                write_bytes(folder / name, content)
            write_text(folder / "examples.json", json.dumps(asdict(self.gallery), indent=1))


def read_gallery(folder: Path) -> Gallery:
    """The examples of a folder that a GalleryWriter wrote, images' `file` as it is there."""
    found = json.loads((folder / "examples.json").read_text())
    examples = [
        Example(e["title"], e["note"], [[Picture(**p) for p in row] for row in e["rows"]]) for e in found["examples"]
    ]
    return Gallery(found["heading"], found["legend"], examples)
