"""Resolves `expect: published:NAME` in a recipe to its values."""

from collections.abc import Iterator

from collotype.recipe import Recipe
from collotype.recipe.expect import Expect, PublishedResult
from collotype.report import published
from collotype.report.published import Published
from collotype.runtime.errors import UserError


def with_numbers(recipe: Recipe) -> Recipe:
    """The recipe with the values of the published results it names; their noise is the tolerance.

    Of a published result counts what the recipe measures, and what others measure.

    Raises:
        UserError: no such published result; the recipe measures none of it; nobody knows its noise.
    """
    if not any(isinstance(one, PublishedResult) for one in recipe.expect):
        return recipe
    expect: list[Expect] = []
    for one in recipe.expect:
        expect += [one] if isinstance(one, Expect) else expectations(recipe, published.load(one.published))
    return recipe.model_copy(update={"expect": expect})


def expectations(recipe: Recipe, result: Published) -> Iterator[Expect]:
    there = [name for name in result.results if result.measured_by or any(e.measures(name) for e in recipe.evaluate)]
    if not there:
        suites = ", ".join(sorted({name.split("/")[0] for name in result.results}))
        measured = ", ".join(choice.suite for choice in recipe.evaluate) or "nothing"
        raise UserError(
            f"The recipe expects published:{result.name}, a result of {suites}, but measures {measured}; add the suite "
            "to evaluate, or set expect=[]."
        )
    for dataset in there:
        for metric, value in result.results[dataset].items():
            tolerance = result.noise_of(dataset, metric)
            if tolerance is None:
                raise UserError(
                    f"The spread of {metric} on {dataset} between runs of published:{result.name} is unknown, so a "
                    f"tolerance cannot be derived; give your own: {{dataset: {dataset}, metric: {metric}, value: "
                    f"{value}, tolerance: …, source: …}}."
                )
            yield Expect(
                dataset=dataset,
                metric=metric,
                value=value,
                tolerance=tolerance,
                source=result.source,
                measured_by=result.measured_by,
                published=result.name,
            )
