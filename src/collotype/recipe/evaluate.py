"""The recipe's section on evaluation."""

import re
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from collotype.recipe.section import PositiveInt, Section
from collotype.runtime.hub import plain


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
                f"the suite {suite}:{path} contains a path, but path is also given ({values['path']!r}); leave one of "
                "them out"
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
