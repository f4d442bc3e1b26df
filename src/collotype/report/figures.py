"""The plots of a report, with their captions."""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from statistics import fmean
from typing import Any

from collotype.evaluation.results import display_name, headline
from collotype.report import plots
from collotype.report.compare import Comparison
from collotype.report.record import read_record
from collotype.report.study import headlines
from collotype.runtime.files import JsonLines

Figures = Iterator[tuple[str, str]]
"""SVG and caption."""


def by_headline(results: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The datasets that share a headline, and so a figure."""
    found: dict[str, list[str]] = {}
    for dataset, metrics in results.items():
        found.setdefault(headline(metrics), []).append(dataset)
    return found


def of_seeds(study: Mapping[str, Any], comparisons: Sequence[dict[str, Any]]) -> Figures:
    """A row a dataset, with its expectation."""
    results = study["variants"][0]["results"]
    for metric, datasets in by_headline(results).items():
        bands = {c["dataset"]: (c["expected"], c["tolerance"]) for c in comparisons if c["metric"] == metric}
        band = ", the grey band the expectation" if bands else ""
        rows = {dataset: [mark(results[dataset][metric])] for dataset in datasets}
        yield plots.dots(rows, metric, bands), f"A dot is one seed, the bar their mean ± one standard deviation{band}."


def of_study(study: Mapping[str, Any], folder: Path) -> Figures:
    """Each dataset's headline against what is varied, or in a row a variant; then by when it was learned."""
    quantities = quantities_varied(study)
    for dataset, metric in headlines(study):
        there = [one for one in study["variants"] if dataset in one["results"]]
        marks = {one["name"]: mark(one["results"][dataset][metric]) for one in there}
        what = f"{display_name(metric)} of {dataset}"
        caption = f"{what}. A dot is one run, the bar its variant's mean ± one standard deviation."
        if quantities:
            key = next(iter(study["recipe"]["study"]["vary"]))
            ordered = sorted(((quantities[name], found) for name, found in marks.items()), key=itemgetter(0))
            yield plots.against_values(dict(ordered), key, metric), caption
        else:
            yield plots.dots({name: [found] for name, found in marks.items()}, metric), caption
        learned = {one["name"]: mean_curve(one, folder, dataset, metric) for one in there}
        if any(len(points) > 1 for points in learned.values()):
            caption = f"{what} during training, mean over the seeds."
            yield plots.overlay(learned, "optimiser step", display_name(metric)), caption


def mark(found: Mapping[str, Any]) -> plots.Mark:
    return plots.Mark(found["mean"], found["std"], found["values"])


def quantities_varied(study: Mapping[str, Any]) -> dict[str, float]:
    """The values of the key that is varied, by variant; empty where they are no quantities, as seeds are none."""
    vary = study["recipe"]["study"]["vary"]
    found = {one["name"]: value for one in study["variants"] for value in one["changes"].values()}
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in found.values())
    return found if numbers and vary and not next(iter(vary)).endswith("seed") else {}


def mean_curve(variant: Mapping[str, Any], folder: Path, dataset: str, metric: str) -> list[tuple[int, float]]:
    """(step, mean over the runs) of the evaluations during training and of the last."""
    found: dict[int, list[float]] = {}
    for run, last in zip(variant["runs"], variant["results"][dataset][metric]["values"], strict=True):
        rows = JsonLines(folder / run["folder"] / "evaluation" / "curve.jsonl").read()
        points = {row["step"]: row["results"][dataset][metric] for row in rows if dataset in row["results"]}
        points[read_record(folder / run["folder"])["plan"]["steps"]] = last
        for step, value in points.items():
            found.setdefault(step, []).append(value)
    return [(step, fmean(values)) for step, values in sorted(found.items())]


def of_comparison(found: Comparison) -> Figures:
    """Results beside each other, curves over each other."""
    sides = (found.left, found.right)
    for metric, datasets in by_headline(found.results).items():
        rows = {
            dataset: [
                plots.Mark(side.results[dataset][metric], side.noise.get(dataset, {}).get(metric)) for side in sides
            ]
            for dataset in datasets
        }
        caption = f"{display_name(metric)}; bars are by how much one more run may differ, where that is known."
        yield plots.dots(rows, metric, legend=found.names), caption
        for dataset in datasets:
            curves = {
                name: side.curves.get(f"{dataset}/{metric}", []) for name, side in zip(found.names, sides, strict=True)
            }
            if all(curves.values()) and max(map(len, curves.values())) > 1:
                caption = f"{display_name(metric)} of {dataset} during training."
                yield plots.overlay(curves, "epoch", display_name(metric)), caption
    if all(side.losses for side in sides):
        losses = {name: plots.running_mean(side.losses) for name, side in zip(found.names, sides, strict=True)}
        caption = "Training loss, mean of 20 steps. Losses of different objectives or batches are not of one scale."
        yield plots.overlay(losses, "optimiser step", "loss (nats)"), caption
