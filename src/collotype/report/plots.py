"""Plots as SVG text, with axes, units and no outside fonts."""

import io
import re
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from collotype.evaluation.results import Results, display_name

INK, ACCENT, SECOND, SOFT = "#1d2433", "#b8431f", "#2b5f8a", "#c9ced8"
LINES = (ACCENT, SECOND, INK, "#6b8e23", "#8a6d3b", "#7a4b8a")
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "collotype",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e9ebf0",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def draw(paint: Any, width: float = 6.2, height: float = 3.0) -> str:
    """The SVG of what `paint(axes)` draws."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure.add_subplot())
        content = io.StringIO()
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = content.getvalue()
    svg = svg[svg.index("<svg") :]
    # the page decides the width; the picture keeps its proportions
    return re.sub(r'<svg ([^>]*?)height="[^"]*"([^>]*?)width="[^"]*"', r"<svg \1\2", svg, count=1)


def loss_curve(steps: Sequence[dict[str, Any]]) -> str:
    """Loss of every step, and its running mean over 20 steps."""
    # a skipped step may have none
    steps = [row for row in steps if row["loss"] is not None]
    numbers, losses = [row["step"] for row in steps], [row["loss"] for row in steps]
    means = [sum(losses[max(0, i - 19) : i + 1]) / (i + 1 - max(0, i - 19)) for i in range(len(losses))]

    def paint(axes: Any) -> None:
        axes.plot(numbers, losses, color=SOFT, linewidth=0.8, label="each step")
        axes.plot(numbers, means, color=ACCENT, linewidth=1.6, label="mean of 20 steps")
        axes.set(xlabel="optimiser step", ylabel="loss (nats)", ylim=(0, None))
        axes.legend()

    return draw(paint)


def learning_rate_curve(steps: Sequence[dict[str, Any]]) -> str:
    def paint(axes: Any) -> None:
        axes.plot([row["step"] for row in steps], [row["lr"] for row in steps], color=SECOND)
        axes.set(xlabel="optimiser step", ylabel="learning rate", ylim=(0, None))
        axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))

    return draw(paint)


def metric_curve(
    points: Sequence[tuple[int, Results]], metric: str, datasets: Sequence[str], comparisons: Sequence[dict[str, Any]]
) -> str:
    """A metric over steps, a line a dataset, with the expected values as bands."""

    def paint(axes: Any) -> None:
        for dataset, colour in zip(datasets, cycle(LINES), strict=False):
            there = [(step, results[dataset][metric]) for step, results in points if dataset in results]
            axes.plot(
                [step for step, _ in there],
                [value for _, value in there],
                color=colour,
                marker="o",
                markersize=3.5,
                label=dataset,
            )
            for found in comparisons:
                if (found["dataset"], found["metric"]) == (dataset, metric):
                    low, high = found["expected"] - found["tolerance"], found["expected"] + found["tolerance"]
                    axes.axhspan(low, high, color=colour, alpha=0.14, linewidth=0)
        # the whole scale of a metric that comes near its end, else what there is of it
        top = min(1.04, 1.15 * axes.dataLim.y1) if axes.dataLim.y1 < 0.5 else 1.04
        axes.set(xlabel="optimiser step", ylabel=display_name(metric), xlim=(0, None), ylim=(0, top or 1.04))
        axes.legend(loc="best")

    return draw(paint)


def seed_dots(results: dict[str, dict[str, Any]], metric: str, comparisons: Sequence[dict[str, Any]]) -> str:
    """Each seed's value as a dot, mean and spread as a bar, expectations as bands; a row a dataset."""
    datasets = list(results)
    expected = {c["dataset"]: (c["expected"], c["tolerance"]) for c in comparisons if c["metric"] == metric}

    def paint(axes: Any) -> None:
        for place, dataset in enumerate(datasets):
            found = results[dataset][metric]
            if dataset in expected:
                value, tolerance = expected[dataset]
                axes.fill_betweenx(
                    [place - 0.35, place + 0.35], value - tolerance, value + tolerance, color=SOFT, alpha=0.5
                )
            axes.errorbar(
                found["mean"], place, xerr=found["std"] or 0, color=ACCENT, capsize=5, marker="|", markersize=14
            )
            axes.plot(found["values"], [place] * len(found["values"]), "o", color=INK, markersize=4, alpha=0.7)
        axes.set_yticks(range(len(datasets)), datasets)
        axes.set(xlabel=display_name(metric), xlim=(0, 1), ylim=(len(datasets) - 0.5, -0.5))

    return draw(paint, height=0.7 + 0.6 * len(datasets))
