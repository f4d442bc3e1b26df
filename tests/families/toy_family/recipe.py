"""The recipe of a line."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from collotype.recipe.data import Data, TrainSourceSection
from collotype.recipe.evaluate import Evaluate
from collotype.recipe.family import RecipeSpec, Values
from collotype.recipe.schema import Model, Recipe
from collotype.recipe.section import PositiveInt, Section, several


class PointSource(TrainSourceSection):
    source: Literal["points"]
    count: PositiveInt


class LineData(Data):
    train: Annotated[list[PointSource], BeforeValidator(several), Field(min_length=1)]


class LineLoss(Section):
    name: Literal["squares"] = "squares"


class LineRecipe(Recipe):
    family: Literal["line"]
    model: Model
    data: LineData
    loss: LineLoss = LineLoss()
    evaluate: list[Evaluate] = Field(default_factory=list)


def smoke_form(model: Values, data: Values, batch: int) -> dict[str, Any]:
    return {"model": {"size": "slope"}, "data": {"train": {"source": "points", "count": batch}}}


SPEC = RecipeSpec(LineRecipe, smoke_form)
