"""The recipe's schema: the keys that every family has, their types, units and defaults.

A recipe states the science: nothing here depends on the number of processes. Keys the recipe does not know are errors
that name the nearest known one.
"""

import difflib
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from collotype.runtime.hub import plain

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


class Model(Section):
    """What training starts from: random weights of a named size, or weights that are there."""

    size: str | None = None
    """A named configuration with random weights (`collotype list models`)."""
    weights: str | None = None
    """A file, a folder or a repository of the hub to start from, in any published layout."""
    init_seed: int | None = None
    """Seed of the random initialisation; None takes train.seed."""

    @model_validator(mode="after")
    def start_somewhere(self) -> "Model":
        if (self.size is None) == (self.weights is None):
            found = "neither" if self.size is None else "both"
            raise ValueError(
                f"found {found} of size (for random weights) and weights (a path or hub name); give one of them"
            )
        return self


Interval = Annotated[list[PositiveFloat], Field(min_length=2, max_length=2)]


class Crops(Section):
    """Which part of a training image is cut out."""

    scale: Interval
    """Share of the image's area that is cut out."""
    ratio: Interval = Field(default_factory=lambda: [3 / 4, 4 / 3])
    """Width / height of what is cut out."""

    @model_validator(mode="after")
    def be_possible(self) -> "Crops":
        for name, (low, high), most in (("scale", self.scale, 1), ("ratio", self.ratio, float("inf"))):
            if low > high or high > most:
                raise ValueError(
                    f"{name} is [{low}, {high}]; give [low, high], for scale with high at most 1 (the whole image)"
                )
        return self

    def values(self) -> dict[str, Any]:
        """The keys and values, lists as tuples, as transforms take them."""
        return {name: tuple(value) if isinstance(value, list) else value for name, value in self.model_dump().items()}


class TrainSourceSection(Section):
    """A source of training data."""

    source: str
    weight: PositiveFloat | None = None
    """Part of the examples that come from this source, relative to the other sources' weights; None: its size."""


def several(value: Any) -> Any:
    """One source stands for a list of one."""
    return value if isinstance(value, list) else [value]


def nearest_source(*kinds: type[TrainSourceSection]) -> BeforeValidator:
    """Refuses what is not a source of these kinds, and names the one that is meant."""
    known = [get_args(kind.model_fields["source"].annotation)[0] for kind in kinds]
    names = ", ".join(known)

    def look(value: Any) -> Any:
        if isinstance(value, Section):
            return value
        if not isinstance(value, dict) or "source" not in value:
            raise ValueError(f"expected keys with a `source` among them ({names}), found {value!r}")
        if str(value["source"]) not in known:
            near = difflib.get_close_matches(str(value["source"]), known, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"unknown source {value['source']!r}; the nearest known source is {near!r} (known: {names})"
            )
        return value

    return BeforeValidator(look)


class Data(Section):
    train: Annotated[list[TrainSourceSection], BeforeValidator(several), Field(min_length=1)]
    """One source, or a list of them."""
    mixing: Literal["by-example", "one-per-batch"] = "by-example"
    """How several sources share the batches: each batch holds all of them, or every batch one."""
    distinct: bool = False
    """Keep an input from standing twice in a batch, where its double would count as a negative."""
    shuffle_window: PositiveInt | None = None
    """Shards whose examples are mixed at a time, so that few of them need be at hand; None mixes all."""
    max_bad_examples: Fraction = 0.0
    """Part of the examples that may be unreadable: others take their places, and the record counts them."""

    @model_validator(mode="after")
    def weigh_all_or_none(self) -> "Data":
        if len({source.weight is None for source in self.train}) > 1:
            raise ValueError("some sources of data.train have a weight and others do not; give one to each, or to none")
        return self


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
    final_lr: Annotated[float, Field(ge=0)] = 0.0
    """What the learning rate falls to, before multipliers."""
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
    """Queries per forward pass of one process; auto: the most that fit into memory; None: a process's whole share."""
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
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Also keep an exponential moving average of the weights, evaluate it and save it; None keeps none."""
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
                f"{self.shard}; it replaces micro_batch and does not work with shard; leave one of them out"
            )
        return self


class Evaluate(Section):
    suite: str
    """A suite's name (`collotype list suites`); `SUITE:PATH` stands for the suite and its path."""
    path: str | None = None
    """Of the suites that measure the user's own data: where it lies."""
    name: str | None = Field(None, pattern=r"^[\w-][\w.-]*$")
    """Of these suites: what results call the dataset; None: the last part of `path`."""
    every_steps: PositiveInt | None = None
    """Also evaluate during training; None evaluates at the end only."""

    OF_PATHS: ClassVar[tuple[str, ...]] = ()
    """The suites whose data is the user's own."""

    @model_validator(mode="before")
    @classmethod
    def take_the_path_out(cls, values: Any) -> Any:
        suite, colon, path = str(values.get("suite") if isinstance(values, dict) else "").partition(":")
        if not colon or suite not in cls.OF_PATHS:
            return values
        if values.get("path") is not None:
            raise ValueError(
                f"the suite {suite}:{path} contains a path, and path is {values['path']!r}; give only one of them"
            )
        return {**values, "suite": suite, "path": path}

    @property
    def own_name(self) -> str:
        """Of the user's own dataset in results: the end of its path, of which a pattern (`*.tar`) may leave nothing."""
        place = Path(plain(self.path) or "").resolve()
        names = (re.sub(r"-*[^\w.-]+-*", "-", part).strip("-.") for part in (place.stem, place.parent.name))
        return self.name or next(filter(None, names), self.suite)

    def measures(self, dataset: str) -> bool:
        """Does it give a result of that SUITE/DATASET?"""
        if self.suite in self.OF_PATHS:
            return dataset == f"{self.suite}/{self.own_name}"
        return dataset.startswith(f"{self.suite}/")

    @property
    def folder(self) -> str:
        """The name of the folder for its examples."""
        return self.suite if self.path is None else f"{self.suite}-{self.own_name}"

    def contradicts(self, other: "Evaluate") -> bool:
        """Do both measure different things under one name?"""
        if self.suite != other.suite or (self.suite in self.OF_PATHS and self.own_name != other.own_name):
            return False
        return self.model_dump(exclude={"every_steps"}) != other.model_dump(exclude={"every_steps"})

    def require_use(self, **of_use: bool) -> None:
        """
        Raises:
            ValueError: a key is given that does nothing to the suite.
        """
        for key, does_something in of_use.items():
            if not does_something and getattr(self, key) != type(self).model_fields[key].get_default(
                call_default_factory=True
            ):
                raise ValueError(f"{key} is not supported by the suite {self.suite}; leave it out")


class Expect(Section):
    dataset: str
    metric: str
    value: float
    tolerance: Annotated[float, Field(ge=0)]
    source: str
    measured_by: str | None = None
    """Who measures it, where no run can: the verdict then leaves it open."""
    published: str | None = None
    """The published result it was taken from (`collotype list published`)."""


class PublishedResult(Section):
    """Expectations that stand in a published result; `published:NAME` stands for it."""

    published: str


def published_by_name(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    kind, _, name = value.partition(":")
    if kind != "published" or not name:
        raise ValueError(f"expected keys, or published:NAME (`collotype list published`), found {value!r}")
    return {"published": name}


def kind_of_expectation(value: Any) -> str:
    keys = value if isinstance(value, dict) else value.model_dump() if isinstance(value, Section) else {}
    return "published" if set(keys) == {"published"} else "expect"


Expected = Annotated[
    Annotated[Expect, Tag("expect")] | Annotated[PublishedResult, Tag("published")],
    Discriminator(kind_of_expectation),
    BeforeValidator(published_by_name),
]


class Study(Section):
    """One thing varied, and each of its values run over several seeds."""

    vary: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict, max_length=1)
    """A dotted key and its values, {train.batch: [8, 32, 128]}; the first is what the others are held against."""
    variants: dict[Annotated[str, Field(pattern=r"^\w[\w.+-]*$")], dict[str, Any]] = Field(default_factory=dict)
    """Instead of vary, where a value takes several keys: a name for each, with its changes by dotted key."""
    seeds: PositiveInt = 5
    """Consecutive training seeds of each, from train.seed on."""

    @model_validator(mode="after")
    def vary_in_one_way(self) -> "Study":
        if bool(self.vary) == bool(self.variants):
            found = "both" if self.vary else "neither"
            raise ValueError(f"found {found} of vary (a key and its values) and variants (named changes); give one")
        values = next(iter(self.vary.values()), [])
        if structured := [value for value in values if isinstance(value, dict | list)]:
            raise ValueError(
                f"vary has the value {structured[0]!r}, which is a list or has keys; give it a name in variants"
            )
        if len({str(value) for value in values}) < len(values):
            raise ValueError(f"vary has a value twice: {', '.join(map(str, values))}")
        return self

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """By the variant's name, which is that of its folder: what it changes."""
        if self.variants:
            return self.variants
        ((key, values),) = self.vary.items()
        last = key.rpartition(".")[2]
        return {re.sub(r"[^\w.=+-]", "_", f"{last}={value}"): {key: value} for value in values}


class Recipe(Section):
    """One run: model, data, loss, schedule, evaluation, and what is expected of it. Each family has its own kind.

    Recipes are made by `load_recipe`, and are immutable pydantic models: `model_copy` makes a changed one.

    Examples:
        >>> import collotype
        >>> recipe = collotype.load_recipe("desk-colpali")
        >>> isinstance(recipe, collotype.Recipe), recipe.name, recipe.warmup_steps
        (True, 'desk-colpali', 110)
        >>> longer = recipe.model_copy(update={"train": recipe.train.model_copy(update={"steps": 2000})})
        >>> longer.warmup_steps
        200
    """

    name: str
    family: str
    model: Model
    data: Data
    loss: Section
    negatives: Negatives = Negatives()
    train: Train
    evaluate: Sequence[Evaluate] = []
    expect: Annotated[list[Expected], BeforeValidator(several)] = []
    """Numbers, or names of published results, whose numbers take their places before a run."""
    study: Study | None = None
    """What is run many times instead of once."""

    @model_validator(mode="after")
    def cut_negatives_evenly(self) -> "Recipe":
        blocks, scope, batch = self.negatives.processes, self.negatives.scope, self.train.batch
        if batch % blocks or (scope == "global" and blocks > 1):
            raise ValueError(
                f"negatives.processes is {blocks} with the scope {scope}; it needs the scope `process` and must "
                f"divide train.batch = {batch}"
            )
        return self

    @model_validator(mode="after")
    def name_results_apart(self) -> "Recipe":
        for first, second in combinations(self.evaluate, 2):
            if first.contradicts(second):
                own, suite = first.suite in first.OF_PATHS, second.suite
                called = f"{suite}/{first.own_name}" if own else f"the suite {suite}"
                mend = f"give one a name, {{suite: {suite}, path: {second.path}, name: …}}" if own else "leave one out"
                raise ValueError(f"two entries of evaluate would write the results of {called}; {mend}")
        return self

    @property
    def warmup_steps(self) -> int:
        schedule = self.train.schedule
        if schedule.warmup_steps is not None:
            return schedule.warmup_steps
        return round(schedule.warmup_fraction * self.train.steps)
