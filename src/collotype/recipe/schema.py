"""The recipe's schema: every key, its type, unit and default.

A recipe states the science: nothing here depends on the number of processes. Keys the recipe does not know are errors
that name the nearest known one.
"""

import difflib
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(gt=0)]
NotNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of a recipe: strict types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def name_the_nearest_key(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            raise ValueError(f"expected keys ({', '.join(cls.model_fields)}), found {values!r}")
        for key in values:
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.0)[0]
                known = ", ".join(cls.model_fields)
                raise ValueError(f"unknown key {key!r}; the nearest known key is {near!r} (known: {known})")
        return values


class Lora(Section):
    """Low-rank updates of a frozen model (arXiv 2106.09685)."""

    rank: PositiveInt
    alpha: PositiveFloat
    dropout: Fraction = 0.0
    targets: str = "language-model"
    """language-model, all, or a regular expression on whole names of linear layers of the backbone."""
    init: Literal["gaussian", "kaiming"] = "gaussian"
    """Of the first of the two matrices; the second is zero."""
    projection: Literal["lora", "full", "frozen"] = "lora"
    """How the projection to vectors is trained."""
    rank_stabilised: bool = False


class Model(Section):
    """The retriever's architecture."""

    backbone: str
    size: str | None = None
    """A named configuration with random weights."""
    weights: str | None = None
    """A folder, or a repository of the hub, to start from: a retriever in any published layout, or a plain model."""
    base: str | None = None
    """Where the base of an adapter in `weights` lies, if not where the adapter says."""
    lora: Lora | None = None
    """Train low-rank updates only; none trains every weight. An adapter in `weights` is merged first."""
    quantize: Literal["none", "nf4"] = "none"
    """nf4: the backbone's frozen weights in 4 bits (QLoRA, arXiv 2305.14314); needs the extra `bitsandbytes`."""
    interaction: Literal["late", "single"]
    dim: PositiveInt | None = None
    """Width of the projection; none leaves the backbone's own vectors (BiPali)."""
    pooling: Literal["mean", "last"] = "mean"
    """What a single vector is made of: all tokens, or the last one (BiQwen2)."""
    preset: str
    init_seed: int | None = None
    """Seed of the random initialisation; none takes train.seed."""
    max_query_tokens: Annotated[int, Field(ge=16)] = 512
    """Tokens of a query's own text; training cuts a longer one and records it, encoding refuses it."""

    @model_validator(mode="after")
    def start_somewhere(self) -> "Model":
        if (self.size is None) == (self.weights is None):
            found = "neither" if self.size is None else "both"
            raise ValueError(f"found {found} of size (random weights) and weights (where they lie); give one of them")
        if self.quantize != "none" and self.lora is None:
            raise ValueError(f"quantize is {self.quantize}, and such weights cannot be trained; give lora, too")
        return self


class SheetSource(Section):
    """Pages of 3 x 3 small pictures, drawn on demand."""

    source: Literal["sheets"]
    queries: PositiveInt
    """Number of (query, page) pairs."""
    negatives: NotNegativeInt = 0
    """Explicit (hard) negatives of each query."""
    seed: int = 0
    pictures: str | None = None
    """Folder with twitter.tar and google.tar; none takes the pictures that come with the package."""
    weight: PositiveFloat | None = None
    """Part of the examples that come from this source, relative to the other sources' weights; none: its size."""


class SlideSource(Section):
    """Lines of text on the slides that come with the package, each with its slide in four languages."""

    source: Literal["slides"]
    page_px: PositiveInt = 448
    """Longest edge of a rendered slide."""
    weight: PositiveFloat | None = None
    """As of sheets."""

    @property
    def negatives(self) -> int:
        return 0


class PairSource(Section):
    """A table of queries and pages: parquet, JSON lines, or a dataset of the Hugging Face hub."""

    source: Literal["pairs"]
    path: str
    """A .parquet or .jsonl file, a folder of either, or a dataset of the hub (`vidore/colpali_train_set`)."""
    split: str = "train"
    """Which files of a folder, where they are named by split."""
    subset: str | None = None
    """A folder of the dataset to stay in, as `en` of llamaindex/vdr-multilingual-train."""
    query_column: str = "query"
    image_column: str = "image"
    negatives_column: str = "negatives"
    negatives: NotNegativeInt = 0
    """Explicit negatives of each query: this many of its list, others in every epoch."""
    corpus: str | None = None
    """A table as `path`, whose rows the image and negatives columns name by id instead of holding pictures."""
    corpus_id_column: str | None = None
    """The corpus's column of ids; none: ids are row numbers, from 0."""
    corpus_image_column: str = "image"
    limit: PositiveInt | None = None
    """Take the first rows only."""
    page_px: PositiveInt = 1536
    """Longest edge of a rendered PDF page."""
    weight: PositiveFloat | None = None
    """As of sheets."""


class PdfOutlineSource(Section):
    """Weak labels from PDFs themselves: outline entries and captions, each with its page."""

    source: Literal["pdf-outline"]
    path: str
    """A PDF, or a folder of them."""
    outline: bool = True
    """Take the bookmarks' titles as queries."""
    captions: bool = True
    """Take the captions of figures and tables as queries."""
    min_chars: PositiveInt = 6
    """Leave shorter titles and captions out."""
    limit: PositiveInt | None = None
    """Take the first rows only."""
    page_px: PositiveInt = 1536
    """Longest edge of a rendered page."""
    weight: PositiveFloat | None = None
    """As of sheets."""

    @property
    def negatives(self) -> int:
        return 0


SOURCES = {"sheets": SheetSource, "slides": SlideSource, "pairs": PairSource, "pdf-outline": PdfOutlineSource}


def several(value: Any) -> Any:
    """One source stands for a list of one."""
    return value if isinstance(value, list) else [value]


def name_the_nearest_source(value: Any) -> Any:
    known = ", ".join(SOURCES)
    if isinstance(value, Section):
        return value
    if not isinstance(value, dict) or "source" not in value:
        raise ValueError(f"expected keys with a `source` among them ({known}), found {value!r}")
    if str(value["source"]) not in SOURCES:
        near = difflib.get_close_matches(str(value["source"]), SOURCES, n=1, cutoff=0.0)[0]
        raise ValueError(f"unknown source {value['source']!r}; the nearest known source is {near!r} (known: {known})")
    return value


TrainSource = Annotated[
    SheetSource | SlideSource | PairSource | PdfOutlineSource,
    Field(discriminator="source"),
    BeforeValidator(name_the_nearest_source),
]


class Data(Section):
    train: Annotated[list[TrainSource], BeforeValidator(several), Field(min_length=1)]
    """One source, or a list of them."""
    mixing: Literal["by-example", "one-per-batch"] = "by-example"
    """How several sources share the batches: each batch holds all of them, or every batch one."""
    distinct: bool = False
    """Keep a query or page from standing twice in a batch, where its double would count as a negative."""

    @model_validator(mode="after")
    def weigh_all_or_none(self) -> "Data":
        if len({source.weight is None for source in self.train}) > 1:
            raise ValueError("some sources of data.train have a weight and some have none; give all of them one")
        return self


class Loss(Section):
    """The objective on the scores; what is none keeps the named loss's own default."""

    name: str
    """infonce, symmetric-infonce, pairwise, sigmoid, or a class of colpali-engine (`collotype list losses`)."""
    dialect: str | None = None
    """For a class of colpali-engine: whose defaults (paper, colpali-engine<=0.3.10, colpali-engine>=0.3.11)."""
    temperature: PositiveFloat | None = None
    normalize: bool | None = None
    """Divide a late-interaction score by the number of query vectors."""
    smooth_max: PositiveFloat | None = None
    """tau of a smooth maximum in MaxSim; none takes the maximum."""
    filter_threshold: PositiveFloat | None = None
    """Damp in-batch negatives that score above this part of the positive's score."""
    filter_factor: PositiveFloat | None = None
    in_batch_weight: Fraction | None = None
    """With explicit negatives: the weight of the in-batch objective; theirs is one minus it."""
    share_negatives: bool | None = None
    """Push every query from all queries' explicit negatives, not from its own only."""


class Negatives(Section):
    """Which other pages of the batch are a query's negatives, on any hardware."""

    scope: Literal["global", "process"] = "global"
    """`process`: only those of the same block of `processes` equal blocks, as per-device negatives would have it."""
    processes: PositiveInt = 1


class Optimizer(Section):
    name: Literal["adamw", "paged_adamw_8bit"] = "adamw"
    """paged_adamw_8bit needs the extra `bitsandbytes` and a GPU."""
    lr: PositiveFloat
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    eps: PositiveFloat = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """On matrices; biases and norms have none."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning rate of a layer relative to the layer above it."""
    head_lr_multiplier: PositiveFloat = 1.0
    """Learning rate of the head relative to the rest."""


class Schedule(Section):
    name: Literal["linear", "cosine", "constant"] = "linear"
    warmup_fraction: Fraction = 0.0
    """Part of all steps over which the learning rate rises from zero."""
    warmup_steps: NotNegativeInt | None = None
    """The same in optimiser steps; it and warmup_fraction exclude each other."""

    @model_validator(mode="after")
    def state_the_warmup_once(self) -> "Schedule":
        if self.warmup_steps is not None and self.warmup_fraction:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps} and warmup_fraction {self.warmup_fraction}; give one of them"
            )
        return self


class Train(Section):
    batch: PositiveInt
    """Queries per optimiser step over all processes."""
    micro_batch: PositiveInt | Literal["auto"] | None = None
    """Queries per forward pass of one process; auto: the most that fit into memory; none: a process's whole share."""
    micro_batch_tokens: PositiveInt | None = None
    """Instead of micro_batch, for pages of many sizes: tokens per forward pass, padding included."""
    steps: PositiveInt
    seed: int = 42
    precision: Literal["auto", "fp32", "bf16", "fp16", "fp64"] = "auto"
    """auto: bf16 where the device has it, else fp16 on a GPU and fp32 on the CPU."""
    shard: Literal["none", "fsdp"] = "none"
    """fsdp: weights, gradients and optimiser state are divided among the processes."""
    gradient_checkpointing: bool = False
    """Compute a layer's activations again on the way back instead of keeping them."""
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    clip_grad_norm: PositiveFloat | None = None
    checkpoint_every: PositiveInt = 100
    """In optimiser steps."""
    keep_checkpoints: PositiveInt = 2
    keep_best: bool = False
    """Keep the checkpoint with the best first metric of the evaluations during training, too."""
    workers: NotNegativeInt = 0
    """Loader processes beside each training process."""

    @model_validator(mode="after")
    def cut_one_way(self) -> "Train":
        if self.micro_batch_tokens and (self.micro_batch is not None or self.shard != "none"):
            raise ValueError(
                f"micro_batch_tokens is {self.micro_batch_tokens} with micro_batch {self.micro_batch} and shard "
                f"{self.shard}; it stands for micro_batch, and sharded processes must cut alike: leave one of them out"
            )
        return self


class Evaluate(Section):
    suite: str
    """A suite's name (`collotype list suites`); `qa:PATH` and `beir:PATH` stand for the suite and its path."""
    path: str | None = None
    """The suites qa and beir: the folder of parquet files that holds the dataset."""
    name: str | None = Field(None, pattern=r"^[\w-][\w.-]*$")
    """The suites qa and beir: what results call the dataset; none: the last part of `path`."""
    data_dir: str | None = None
    """ViDoRe: the folder with local copies of the datasets, each in a folder of its own; none asks the hub."""
    only: list[str] = []
    """ViDoRe: leave out the suite's other datasets."""
    split: str = "test"
    counting: Literal["mteb", "vidore-benchmark"] = "mteb"
    """How duplicates are merged and pages ranked; published tables are of one or the other."""
    every_steps: PositiveInt | None = None
    """Also evaluate during training; none evaluates at the end only."""

    @model_validator(mode="before")
    @classmethod
    def take_the_path_out(cls, values: Any) -> Any:
        suite, colon, path = str(values.get("suite") if isinstance(values, dict) else "").partition(":")
        if not colon or suite not in SUITES_OF_PATHS:
            return values
        if values.get("path") is not None:
            raise ValueError(f"the suite {suite}:{path} names a path, and path is {values['path']!r}; give one of them")
        return {**values, "suite": suite, "path": path}

    @property
    def own_name(self) -> str:
        """Of the user's own dataset in results."""
        return self.name or Path(self.path or "").resolve().stem

    @property
    def folder(self) -> str:
        """The name of the folder for its examples."""
        return self.suite if self.path is None else f"{self.suite}-{self.own_name}"

    def contradicts(self, other: "Evaluate") -> bool:
        """Do both measure different things under one name?"""
        if self.suite != other.suite or (self.suite in SUITES_OF_PATHS and self.own_name != other.own_name):
            return False
        if self.only and other.only and not set(self.only) & set(other.only):
            return False
        measured = {"path", "data_dir", "split", "counting"}
        return self.model_dump(include=measured) != other.model_dump(include=measured)

    @model_validator(mode="after")
    def ask_nothing_in_vain(self) -> "Evaluate":
        own, vidore = self.suite in SUITES_OF_PATHS, self.suite.startswith("vidore-")
        given = {
            "path": not own,
            "name": not own,
            "data_dir": not vidore,
            "only": not vidore,
            "counting": not (own or vidore),
        }
        for key, in_vain in given.items():
            if in_vain and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} does nothing to the suite {self.suite}; leave it out")
        return self


SUITES_OF_PATHS = ("qa", "beir")
"""The suites whose data is the user's own."""


class Expect(Section):
    dataset: str
    metric: str
    value: float
    tolerance: Annotated[float, Field(ge=0)]
    source: str


class Recipe(Section):
    """One run: model, data, loss, schedule, evaluation, and what is expected of it."""

    name: str
    family: Literal["retriever"]
    model: Model
    data: Data
    loss: Loss
    negatives: Negatives = Negatives()
    train: Train
    evaluate: list[Evaluate] = []
    expect: list[Expect] = []

    @model_validator(mode="after")
    def shard_what_can_be(self) -> "Recipe":
        if self.model.quantize != "none" and self.train.shard != "none":
            raise ValueError(
                f"model.quantize is {self.model.quantize} and train.shard {self.train.shard}, which do not go together "
                "(weights in 4 bits are not divided among processes); leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def name_results_apart(self) -> "Recipe":
        for first, second in combinations(self.evaluate, 2):
            if first.contradicts(second):
                own, suite = first.suite in SUITES_OF_PATHS, second.suite
                called = f"{suite}/{first.own_name}" if own else f"the suite {suite}"
                mend = f"give one a name, {{suite: {suite}, path: {second.path}, name: …}}" if own else "leave one out"
                raise ValueError(f"two entries of evaluate would both give the results of {called}; {mend}")
        return self

    @property
    def warmup_steps(self) -> int:
        schedule = self.train.schedule
        if schedule.warmup_steps is not None:
            return schedule.warmup_steps
        return round(schedule.warmup_fraction * self.train.steps)
