"""The recipe's schema: every key, its type, unit and default.

A recipe states the science: nothing here depends on the number of processes. Keys the recipe does not know are errors
that name the nearest known one.
"""

import difflib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(gt=0)]
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
    """The retriever's architecture."""

    backbone: str
    size: str = "tiny"
    interaction: Literal["late", "single"]
    dim: PositiveInt | None = None
    """Width of the projection; none leaves the backbone's own vectors (BiPali)."""
    preset: str
    init_seed: int | None = None
    """Seed of the random initialisation; none takes train.seed."""


class TrainData(Section):
    source: Literal["sheets"]
    queries: PositiveInt
    """Number of (query, page) pairs in one epoch."""
    seed: int = 0
    pictures: str | None = None
    """Folder with twitter.tar and google.tar; none takes the pictures that come with the package."""


class Data(Section):
    train: TrainData


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


class Negatives(Section):
    """Which other pages of the batch are a query's negatives, on any hardware."""

    scope: Literal["global", "process"] = "global"
    """`process`: only those of the same block of `processes` equal blocks, as per-device negatives would have it."""
    processes: PositiveInt = 1


class Optimizer(Section):
    name: Literal["adamw"] = "adamw"
    lr: PositiveFloat
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    eps: PositiveFloat = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


class Schedule(Section):
    name: Literal["linear", "cosine", "constant"] = "linear"
    warmup_fraction: Fraction = 0.0
    """Part of all steps over which the learning rate rises from zero."""


class Train(Section):
    batch: PositiveInt
    """Queries per optimiser step over all processes."""
    micro_batch: PositiveInt | None = None
    """Queries per forward pass of one process; none takes a process's whole share."""
    steps: PositiveInt
    seed: int = 42
    precision: Literal["fp32", "fp64"] = "fp32"
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    clip_grad_norm: PositiveFloat | None = None
    checkpoint_every: PositiveInt = 100
    """In optimiser steps."""
    keep_checkpoints: PositiveInt = 2
    workers: Annotated[int, Field(ge=0)] = 0
    """Loader processes beside each training process."""


class Evaluate(Section):
    suite: str
    every_steps: PositiveInt | None = None
    """Also evaluate during training; none evaluates at the end only."""


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

    @property
    def warmup_steps(self) -> int:
        return round(self.train.schedule.warmup_fraction * self.train.steps)
