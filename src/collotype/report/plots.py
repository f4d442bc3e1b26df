"""Plots as SVG, with axes and units, without external fonts."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from collotype.evaluation.results import Results, display_name

INK, ACCENT, SECOND, SOFT = "#1d2433", "#b8431f", "#2b5f8a", "#c9ced8"
LINES = (ACCENT, SECOND, INK, "#6b8e23", "#8a6d3b", "#7a4b8a")
STYLE: dict[Any, Any] = {
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


def draw(paint: Any, width: float = 5.2, height: float = 2.7, panels: int = 1) -> str:
    """The SVG of what `paint(axes)` draws; where there are several panels, side by side, it is given all of them."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure.add_subplot() if panels == 1 else figure.subplots(1, panels, sharex=True, sharey=True))
        content = io.StringIO()
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = content.getvalue()
    svg = svg[svg.index("<svg") :]
    # the page decides the width; the image keeps its proportions
    return re.sub(r'<svg ([^>]*?)height="[^"]*"([^>]*?)width="[^"]*"', r"<svg \1\2", svg, count=1)


def loss_curve(steps: Sequence[dict[str, Any]]) -> str:
    """Loss of every step, and its running mean over 20 steps."""
    # a skipped step may have none
    losses = [(row["step"], row["loss"]) for row in steps if row["loss"] is not None]

    def paint(axes: Any) -> None:
        axes.plot(*zip(*losses, strict=True), color=SOFT, linewidth=0.8, label="each step")
        axes.plot(*zip(*running_mean(losses), strict=True), color=ACCENT, linewidth=1.6, label="mean of 20 steps")
        axes.set(xlabel="optimiser step", ylabel="loss (nats)", ylim=(0, None))
        axes.legend()

    return draw(paint)


def schedule(points: Sequence[tuple[int, float]], warmup_steps: int, steps_per_epoch: float | None) -> str:
    """The learning rate over steps, and over epochs where their length is known; the warm-up is shaded."""

    def paint(axes: Any) -> None:
        axes.plot(*zip(*points, strict=True), color=SECOND)
        if warmup_steps:
            axes.axvspan(0, warmup_steps, color=SOFT, alpha=0.5, linewidth=0, label=f"warm-up: {warmup_steps:,} steps")
            axes.legend(loc="best")
        axes.set(xlabel="optimiser step", ylabel="learning rate", xlim=(0, None), ylim=(0, None))
        axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        if steps_per_epoch:
            above = axes.secondary_xaxis(
                "top", functions=(lambda step: step / steps_per_epoch, lambda epoch: epoch * steps_per_epoch)
            )
            above.set_xlabel("epoch")

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


@dataclass(frozen=True)
class Mark:
    """A value in a row of `dots`."""

    value: float
    half: float | None = None
    """Of the bar around it."""
    singles: Sequence[float] = ()
    """What it is the mean of."""


def dots(
    rows: Mapping[str, Sequence[Mark]],
    metric: str,
    bands: Mapping[str, tuple[float, float]] | None = None,
    legend: Sequence[str] = (),
) -> str:
    """Values with their bars, a row each; several in one row (the sides of a comparison) in colours of their own.

    Args:
        bands: (expected value, tolerance) of a row.
        legend: what the colours are.
    """
    abreast, expected = max(len(marks) for marks in rows.values()), bands or {}

    def paint(axes: Any) -> None:
        for place, (row, marks) in enumerate(rows.items()):
            if row in expected:
                value, tolerance = expected[row]
                edges = (value - tolerance, value + tolerance)
                axes.fill_betweenx([place - 0.35, place + 0.35], *edges, color=SOFT, alpha=0.5, linewidth=0)
            for number, (mark, colour) in enumerate(zip(marks, cycle(LINES), strict=False)):
                height = place + (number - (abreast - 1) / 2) * 0.3
                label = legend[number] if place == 0 and legend else None
                style = {"color": colour, "capsize": 4, "marker": "|" if mark.singles else "o", "linestyle": "none"}
                size = 14 if mark.singles else 5
                axes.errorbar(mark.value, height, xerr=mark.half, markersize=size, label=label, **style)
                axes.plot(mark.singles, [height] * len(mark.singles), "o", color=INK, markersize=3.5, alpha=0.7)
        axes.set_yticks(range(len(rows)), rows)
        low, high = axes.dataLim.x0, axes.dataLim.x1
        # the whole scale, unless all of it happens within a third of it
        room = 0.3 * (high - low)
        limits = (-0.02, 1.02) if high - low > 1 / 3 else (max(-0.02, low - room), min(1.02, high + room))
        axes.set(xlabel=display_name(metric), ylim=(len(rows) - 0.5, -0.5))
        if limits[0] < limits[1]:
            axes.set_xlim(limits)
        if legend:
            axes.legend(
                loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(legend) if len("".join(legend)) < 30 else 1
            )

    return draw(paint, height=0.8 + (0.35 + 0.2 * abreast) * len(rows))


def overlay(lines: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str) -> str:
    """Curves over each other.

    Args:
        across, up: what the axes show, with units.
    """

    def paint(axes: Any) -> None:
        for (label, points), colour in zip(lines.items(), cycle(LINES), strict=False):
            few = len(points) <= 40
            axes.plot(
                *zip(*points, strict=True), color=colour, label=label, marker="o" if few else None, markersize=3.5
            )
        axes.set(xlabel=across, ylabel=up, xlim=(0, None), ylim=(0, None))
        axes.legend()

    return draw(paint)


def running_mean(points: Sequence[tuple[float, float]], width: int = 20) -> list[tuple[float, float]]:
    """Each value as the mean of the last `width`."""
    values = [value for _, value in points]
    means = [sum(values[max(0, i + 1 - width) : i + 1]) / min(i + 1, width) for i in range(len(values))]
    return [(step, mean) for (step, _), mean in zip(points, means, strict=True)]


def against_values(marks: Mapping[float, Mark], key: str, metric: str) -> str:
    """Means with their spread over the values of a key, each single run as a dot."""

    def paint(axes: Any) -> None:
        values, means = list(marks), [mark.value for mark in marks.values()]
        halves = [mark.half or 0 for mark in marks.values()]
        axes.errorbar(values, means, yerr=halves, color=ACCENT, capsize=4, marker="o", markersize=4)
        for value, mark in marks.items():
            axes.plot([value] * len(mark.singles), mark.singles, "o", color=INK, markersize=3.5, alpha=0.5)
        if min(values) > 0 and max(values) / min(values) >= 8:
            axes.set_xscale("log")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
        axes.set(xlabel=key, ylabel=display_name(metric), ylim=(0, 1.04 if axes.dataLim.y1 > 0.5 else None))

    return draw(paint)
