"""The recipe's section on training data."""

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from collotype.recipe.section import Fraction, PositiveFloat, PositiveInt, Section, several

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
                    f"{name} is [{low}, {high}]; low must not exceed high, and a scale is at most 1 (the whole image)"
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


def nearest_source(*kinds: type[TrainSourceSection]) -> BeforeValidator:
    """Refuses what is not a source of these kinds, and names the one that is meant."""
    known = [get_args(kind.model_fields["source"].annotation)[0] for kind in kinds]
    names = ", ".join(known)

    def look(value: Any) -> Any:
        if isinstance(value, Section):
            return value
        if not isinstance(value, dict) or "source" not in value:
            raise ValueError(f"expected keys, one of them `source` ({names}), found {value!r}")
        if str(value["source"]) not in known:
            near = difflib.get_close_matches(str(value["source"]), known, n=1, cutoff=0.0)[0]
            raise ValueError(f"unknown source {value['source']!r}; did you mean {near!r}? (known: {names})")
        return value

    return BeforeValidator(look)


class Data(Section):
    train: Annotated[Sequence[TrainSourceSection], BeforeValidator(several), Field(min_length=1)]
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
            raise ValueError("only some sources of data.train have a weight; give one to all of them or to none")
        return self
