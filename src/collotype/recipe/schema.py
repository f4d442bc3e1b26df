"""The recipe's schema: the keys of every family, with types, units and defaults.

A recipe states the science: nothing here depends on the number of processes. Keys the recipe does not know are errors
that name the nearest known one.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from collotype.recipe.data import Data
from collotype.recipe.evaluate import Evaluate
from collotype.recipe.expect import Expected
from collotype.recipe.section import Section, several
from collotype.recipe.study import Study
from collotype.recipe.train import Negatives, Train


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
                f"found {found} of size (random weights) and weights (a path or hub name); give exactly one of them"
            )
        return self


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
    expect: Annotated[list[Expected], BeforeValidator(several), Field(default_factory=list)]
    """Numbers, or names of published results, whose numbers take their places before a run."""
    study: Study | None = None
    """What is run many times instead of once."""

    @model_validator(mode="after")
    def cut_negatives_evenly(self) -> "Recipe":
        blocks, scope, batch = self.negatives.processes, self.negatives.scope, self.train.batch
        if batch % blocks or (scope == "global" and blocks > 1):
            raise ValueError(
                f"negatives.processes is {blocks} with the scope {scope}; use the scope `process` and a divisor of "
                f"train.batch = {batch}"
            )
        return self

    @model_validator(mode="after")
    def name_results_apart(self) -> "Recipe":
        for first, second in combinations(self.evaluate, 2):
            if first.contradicts(second):
                own, suite = first.suite in first.OF_PATHS, second.suite
                called = f"{suite}/{first.own_name}" if own else f"the suite {suite}"
                mend = f"give one a name, {{suite: {suite}, path: {second.path}, name: …}}" if own else "leave one out"
                raise ValueError(f"two entries of evaluate would both write the results of {called}; {mend}")
        return self

    @property
    def warmup_steps(self) -> int:
        schedule = self.train.schedule
        if schedule.warmup_steps is not None:
            return schedule.warmup_steps
        return round(schedule.warmup_fraction * self.train.steps)
