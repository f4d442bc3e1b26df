"""The plot of `collotype compress`: quality against bytes per page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from collotype.evaluation.results import display_name
from collotype.report.plots import INK, draw

STORED = {"fp16": ("o", "#1d2433"), "int8": ("s", "#2f7fb8"), "bits": ("^", "#e39a2d")}
"""A shape and a colour each, whose greys differ too."""
CORNERS = (("right", "bottom"), ("left", "top"), ("right", "top"), ("left", "bottom"))
AWAY = 4
"""Of a label from its point, in points of the page."""

Row = Mapping[str, Any]


def frontier(rows: Sequence[Row]) -> str:
    """One dataset's forms (`Compressed` as dicts): a panel for who reads the queries, a shape and a colour for how a
    page's numbers are kept; Pareto points are filled, joined and named by their dimensions and pooling."""
    readers = [*dict.fromkeys(row["queries"] for row in rows)]

    def paint(found: Any) -> None:
        for axes, queries in zip(np.atleast_1d(found), readers, strict=True):
            panel(axes, [row for row in rows if row["queries"] == queries])
            axes.set_xlabel("bytes a page")
        first, last = np.atleast_1d(found)[[0, -1]]
        first.set_ylabel(display_name(rows[0]["headline"]))
        legend(last, [stored for stored in STORED if any(row["stored"] == stored for row in rows)])

    return draw(paint, 3.6 * max(2, len(readers)), 3.4, len(readers))


def panel(axes: Any, rows: Sequence[Row]) -> None:
    for stored, (shape, colour) in STORED.items():
        for full in (False, True):
            there = [place(row) for row in rows if (row["stored"], row["pareto"]) == (stored, full)]
            face = {"facecolors": colour if full else "none", "edgecolors": colour}
            style = {"marker": shape, "linewidth": 0.9, "alpha": None if full else 0.55, "zorder": 3 if full else 2}
            axes.scatter(*zip(*there, strict=True), s=30 if full else 18, **face, **style) if there else None
    best = sorted((row for row in rows if row["pareto"]), key=place)
    if best:
        # so much quality there is from so many bytes on
        axes.step(*zip(*map(place, best), strict=True), where="post", color=INK, linewidth=0.9, zorder=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: in_units(value))
    axes.xaxis.set_minor_formatter("")
    axes.set_axisbelow(True)
    axes.margins(x=0.14, y=0.09)
    reader = reader_name(rows[0]["queries"]) if rows[0]["queries"] else "the model"
    axes.set_title(f"queries by {reader}, {rows[0]['query_cpu_ms']:.1f} ms of CPU each", fontsize=9.5)
    label(axes, best, [place(row) for row in rows])


def label(axes: Any, best: Sequence[Row], points: Sequence[tuple[float, float]]) -> None:
    """The name of each point in the first of CORNERS where it covers no point and no other name."""
    axes.figure.canvas.draw()
    scale = axes.figure.dpi / 72
    taken = [(x - 3 * scale, y - 3 * scale, x + 3 * scale, y + 3 * scale) for x, y in axes.transData.transform(points)]
    for row in best:
        for across, up in CORNERS:
            away = (-AWAY if across == "right" else AWAY, AWAY if up == "bottom" else -AWAY)
            settings = {"xytext": away, "textcoords": "offset points", "ha": across, "va": up, "zorder": 4}
            text = axes.annotate(name_of(row), place(row), fontsize=7.5, color=INK, **settings)
            box = text.get_window_extent().extents
            if axes.bbox.containsx(box[0]) and axes.bbox.containsx(box[2]) and not any(meet(box, one) for one in taken):
                taken.append(tuple(box))
                break
            text.remove()


def meet(one: Sequence[float], other: Sequence[float]) -> bool:
    """Do two boxes (left, bottom, right, top) share a place?"""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def legend(axes: Any, stored: Sequence[str]) -> None:
    for name in stored:
        shape, colour = STORED[name]
        axes.scatter([], [], marker=shape, s=30, color=colour, label={"bits": "sign bits"}.get(name, name))
    axes.scatter([], [], marker="o", s=18, facecolors="none", edgecolors=INK, alpha=0.55, label="not Pareto")
    axes.plot([], [], color=INK, linewidth=0.9, label="Pareto")
    axes.legend(loc="lower right", fontsize=8)


def place(row: Row) -> tuple[float, float]:
    return row["bytes_per_page"], row["metrics"][row["headline"]]


def name_of(row: Row) -> str:
    """Dimensions, and how many vectors are one."""
    return f"{row['dim']} dims" + (f", pooled by {row['factor']}" if row["factor"] > 1 else "")


def in_units(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:g} {unit}"
        size /= 1000
    return f"{size:g} GB"


def reader_name(source: str) -> str:
    """Who reads the queries, by a short name: a run's model by that of the run."""
    path = Path(source)
    return (path.parent.name if path.name == "model" else path.name) if source else "own"
