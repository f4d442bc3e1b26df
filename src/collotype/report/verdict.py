"""Compares measured with expected values: reproduced or not, and by how much."""

from typing import Any, TypedDict, cast

from collotype.evaluation.results import Results
from collotype.recipe import Recipe
from collotype.recipe.expect import Expect
from collotype.runtime.errors import UserError


class Verdict(TypedDict):
    """What a record says of the recipe's expectations."""

    reproduced: bool
    """All of them."""
    comparisons: list[dict[str, Any]]
    """One for each, as `judge` makes them."""


def judge(recipe: Recipe, results: Results) -> Verdict | None:
    """Compares results with the recipe's expectations; none without expectations that a run can meet.

    A value reproduces its expectation when it is within the tolerance on either side: a number far above the published
    one is not a reproduction either.

    Raises:
        UserError: an expectation names a dataset or metric that was not measured.
    """
    # numbers took the places of published results' names before the run
    expectations = [expected for expected in cast(list[Expect], recipe.expect) if expected.measured_by is None]
    if not expectations:
        return None
    comparisons = []
    for expected in expectations:
        metrics = results.get(expected.dataset)
        if metrics is None or expected.metric not in metrics:
            known = ", ".join(results) if metrics is None else ", ".join(metrics)
            raise UserError(
                f"The recipe expects {expected.metric} on {expected.dataset}, but only {known} was measured."
            )
        measured = metrics[expected.metric]
        difference = measured - expected.value
        comparisons.append(
            {
                "dataset": expected.dataset,
                "metric": expected.metric,
                "measured": measured,
                "expected": expected.value,
                "tolerance": expected.tolerance,
                "difference": difference,
                # a billionth of slack: 0.53 is within 0.50 ± 0.03
                "reproduced": abs(difference) <= expected.tolerance + 1e-9,
                "source": expected.source,
            }
        )
    return {"reproduced": all(c["reproduced"] for c in comparisons), "comparisons": comparisons}


def in_words(comparison: dict[str, Any]) -> str:
    """One line: "reproduced: ndcg_at_5 of … is 0.731, expected 0.735 ± 0.020 (0.004 below)"."""
    side = "above" if comparison["difference"] > 0 else "below"
    return (
        f"{'reproduced' if comparison['reproduced'] else 'not reproduced'}: {comparison['metric']} of "
        f"{comparison['dataset']} is {comparison['measured']:.3f}, expected {comparison['expected']:.3f} "
        f"± {comparison['tolerance']:.3f} ({abs(comparison['difference']):.3f} {side})"
    )


def left_open(expected: dict[str, Any]) -> str:
    """One line on an expectation that others measure: "open: vqa_accuracy of …, expected 0.777 ± 0.005, …"."""
    return (
        f"open: {expected['metric']} of {expected['dataset']}, expected {expected['value']:.4f} ± "
        f"{expected['tolerance']:.4f}; it is measured by {expected['measured_by']}"
    )
