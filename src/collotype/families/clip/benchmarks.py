"""The evaluation suites of CLIP: images with classes, images with captions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Protocol

from PIL import Image

from collotype.families.clip.data import is_on_hub, open_captions, open_labelled
from collotype.families.clip.data.captions import CaptionSource, decode
from collotype.families.clip.data.classes import IMAGENET, named_templates
from collotype.families.clip.data.labelled import LabelledImages
from collotype.families.clip.recipe import CaptionTableSource, ClipEvaluate, ShardSource
from collotype.families.shared.suites import need_path, require_suite
from collotype.runtime.hub import Need
from collotype.runtime.shards.names import is_shards
from collotype.runtime.shards.reader import Shards
from collotype.runtime.shards.samples import Fault, SampleLayout
from collotype.runtime.tables import needs_of


class ImageRows(Protocol):
    """Images by row."""

    digest: str

    @property
    def faults(self) -> Sequence[Fault]:
        """What is left out, or doubtful."""

    def __len__(self) -> int: ...

    def image(self, row: int) -> Image.Image:
        """In RGB."""


CUTOFFS = (1, 5, 10)
DIRECTIONS = ("image_to_text", "text_to_image")
METRICS = (
    "top1",
    "top5",
    "mean_per_class",
    *(f"{direction}_recall_at_{k}" for direction in DIRECTIONS for k in CUTOFFS),
    *(f"{direction}_{mean}_rank" for direction in DIRECTIONS for mean in ("mean", "median")),
)


@dataclass(frozen=True)
class Classification:
    """Images, and classes of which each has one.

    Args:
        name: SUITE/DATASET.
        captions: of each class; their embeddings' mean stands for it.
        labels: the class of each image.
    """

    name: str
    images: ImageRows
    classes: Sequence[str]
    captions: Sequence[Sequence[str]]
    labels: Sequence[int]

    @cached_property
    def fingerprint(self) -> str:
        facts = f"{self.images.digest} {list(self.classes)} {self.captions} {list(self.labels)}"
        return sha256(facts.encode()).hexdigest()

    def sizes(self) -> dict[str, int | str]:
        return {"pictures": len(self.labels), "classes": len(self.classes), "sha256": self.fingerprint}

    def events(self) -> list[dict[str, Any]]:
        return events_of(self.images.faults)


@dataclass(frozen=True)
class CaptionedImages:
    """Images with a caption each, to be found by each other.

    Args:
        name: SUITE/DATASET.
        rows: how many are used, from the first on.
    """

    name: str
    source: CaptionSource
    rows: int

    def image(self, row: int) -> Image.Image:
        return decode(self.source.read(row)[0], self.source.place(row))

    def caption(self, row: int) -> str:
        return self.source.texts(row)[0]

    @property
    def fingerprint(self) -> str:
        return sha256(f"{self.source.digest} {self.rows}".encode()).hexdigest()

    def sizes(self) -> dict[str, int | str]:
        return {"pictures": self.rows, "captions": self.rows, "sha256": self.fingerprint}

    def events(self) -> list[dict[str, Any]]:
        return events_of(self.source.faults)


def events_of(faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """What was wrong with the data, as result files and the terminal have it."""
    return [{"kind": fault.cause, "count": fault.count, "note": f"in {fault.place}"} for fault in faults]


class ShardRows:
    """The images of tar shards, as they lie there."""

    def __init__(self, shards: Shards):
        self.shards, self.digest, self.faults = shards, shards.digest, shards.faults

    def __len__(self) -> int:
        return len(self.shards)

    def image(self, row: int) -> Image.Image:
        return decode(self.shards.read(row)[0], self.shards.place(row))


SECOND_HAND = "collotype:pictures/google.tar"


def drawn_images(choice: ClipEvaluate) -> list[Classification]:
    """The second artist's images that come with the package, by name and by subcategory. A subcategory is what the
    names of its images have in common: the mean of theirs stands for it."""
    shards = Shards(SECOND_HAND)
    images = ShardRows(shards)
    # two of the images have one name
    name_of = [shards.texts(row)[0] for row in range(len(shards))]
    names = list(dict.fromkeys(name_of))
    kinds = Shards(SECOND_HAND, SampleLayout(text="json:subcategory"))
    kind_of = [kinds.texts(row)[0] for row in range(len(kinds))]
    known = sorted(set(kind_of))
    captions = [[name for name, own in zip(name_of, kind_of, strict=True) if own == kind] for kind in known]
    return [
        Classification(
            "pictures/names", images, names, [[name] for name in names], [names.index(name) for name in name_of]
        ),
        Classification("pictures/subcategories", images, known, captions, [known.index(kind) for kind in kind_of]),
    ]


def own_labelled(choice: ClipEvaluate) -> list[Classification]:
    labelled = open_labelled(
        need_path(choice, "images"), IMAGENET if choice.suite == IMAGENET else choice.names, choice.split
    )
    name = f"{choice.suite}/{choice.own_name}"
    templates = named_templates(choice.templates) if choice.templates else labelled.templates()
    return [with_templates(name, labelled, templates, choice.limit)]


def with_templates(name: str, labelled: LabelledImages, templates: Sequence[str], limit: int | None) -> Classification:
    names = labelled.classes.names
    captions = [[template.replace("{}", one) for template in templates] for one in names]
    rows = range(len(labelled))[: limit or None]
    return Classification(name, labelled, names, captions, [labelled.label(row) for row in rows])


def own_captions(choice: ClipEvaluate) -> list[CaptionedImages]:
    path = need_path(choice, "images")
    if is_shards(path):
        source = open_captions(ShardSource(source="shards", path=path))
    else:
        source = open_captions(CaptionTableSource(source="captions", path=path, split=choice.split or "validation"))
    return [CaptionedImages(f"captions/{choice.own_name}", source, min(len(source), choice.limit or len(source)))]


Benchmark = Classification | CaptionedImages
SUITES: dict[str, Callable[[ClipEvaluate], Sequence[Benchmark]]] = {
    "pictures": drawn_images,
    "imagenet": own_labelled,
    "labelled": own_labelled,
    "captions": own_captions,
}
"""Suites by name."""


def find_suite(choice: ClipEvaluate) -> list[Benchmark]:
    """
    Raises:
        UserError: no such suite, or its data is not there.
    """
    require_known(choice)
    return [*SUITES[choice.suite](choice)]


def require_known(choice: ClipEvaluate) -> None:
    require_suite(choice, SUITES, "a CLIP")


def suite_needs(choice: ClipEvaluate) -> list[Need]:
    """What `find_suite` will fetch of the hub, if it will."""
    require_known(choice)
    if choice.suite not in ("labelled", "captions") or not is_on_hub(path := need_path(choice, "images")):
        return []
    return needs_of(path, choice.split or ("validation" if choice.suite == "captions" else "test"))


def facts_of(benchmarks: Sequence[Benchmark]) -> dict[str, Any]:
    """Sizes and digests by dataset."""
    return {benchmark.name: benchmark.sizes() for benchmark in benchmarks}
