"""The base class of a recipe's sections, and the types of its numbers."""

import difflib
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(gt=0)]
NotNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NotNegativeFloat = Annotated[float, Field(ge=0)]
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
                raise ValueError(f"unknown key {key!r}; did you mean {near!r}? (known: {known})")
        return values


def several(value: Any) -> Any:
    """One source stands for a list of one."""
    return value if isinstance(value, list) else [value]
