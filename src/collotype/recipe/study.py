"""The recipe's section on studies: one setting varied, over several seeds."""

import re
from typing import Annotated, Any

from pydantic import Field, model_validator

from collotype.recipe.section import PositiveInt, Section


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
            raise ValueError(
                f"found {found} of vary (a key and its values) and variants (named changes); give exactly one of them"
            )
        values = next(iter(self.vary.values()), [])
        if structured := [value for value in values if isinstance(value, dict | list)]:
            raise ValueError(
                f"vary contains {structured[0]!r}, a list or mapping; write it as a named change in variants"
            )
        if len({str(value) for value in values}) < len(values):
            raise ValueError(f"vary contains a value twice: {', '.join(map(str, values))}")
        return self

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """By the variant's name, which is that of its folder: what it changes."""
        if self.variants:
            return self.variants
        ((key, values),) = self.vary.items()
        last = key.rpartition(".")[2]
        return {re.sub(r"[^\w.=+-]", "_", f"{last}={value}"): {key: value} for value in values}
