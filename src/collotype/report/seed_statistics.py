"""Several seeds of one recipe: mean, spread, and the tolerance that follows from them."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

T_995 = {1: 63.657, 2: 9.925, 3: 5.841, 4: 4.604, 5: 4.032, 6: 3.707, 7: 3.499, 8: 3.355, 9: 3.250, 10: 3.169}
"""Student's t, two-sided 99 %, by degrees of freedom (statistical tables; 11 and more take 10's, which errs wide)."""


def spread(values: list[float]) -> dict[str, Any]:
    """Mean, sample standard deviation, and the 99 % prediction interval's half width for one more run.

    tolerance = t(0.995, n - 1) * s * sqrt(1 + 1/n), none for a single value.
    """
    n = len(values)
    deviation = statistics.stdev(values) if n > 1 else None
    tolerance = T_995[min(n - 1, 10)] * deviation * math.sqrt(1 + 1 / n) if deviation is not None else None
    return {"values": values, "mean": statistics.fmean(values), "std": deviation, "tolerance": tolerance}


def spread_of_results(results: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, dict[str, Any]]]:
    """`spread` of every metric of every dataset, over the runs' results."""
    return {
        dataset: {metric: spread([run[dataset][metric] for run in results]) for metric in metrics}
        for dataset, metrics in results[0].items()
    }
