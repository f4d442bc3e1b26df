"""`report.html`: one page, one file, readable offline."""

import base64
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from collotype.evaluation.results import columns, display_name, headline, read_gallery
from collotype.recipe.load import as_yaml
from collotype.report import planned, plots
from collotype.report.compare import Comparison, in_short
from collotype.report.record import read_record
from collotype.report.study import headlines, read_study, table
from collotype.report.verdict import in_words, left_open
from collotype.runtime.files import JsonLines, write_text

HERE = Path(__file__).parent


def render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["metric"] = display_name
    environment.filters["headline"] = headline
    environment.filters["words"] = in_words
    environment.filters["open"] = left_open
    environment.filters["value"] = in_short
    return environment.get_template(template).render(style=Markup((HERE / "report.css").read_text()), **values)


def as_data(file: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()


def write_report(folder: Path) -> Path:
    """Writes `report.html` of the finished run in `folder` from the files that are there."""
    record, steps = read_record(folder), JsonLines(folder / "metrics.jsonl").read()
    comparisons = record["verdict"]["comparisons"] if record["verdict"] else []
    figures = [
        (plots.loss_curve(steps), "Training loss. The grey line is each step, the red one the mean of the last 20.")
    ]
    points = [(row["step"], row["results"]) for row in JsonLines(folder / "evaluation" / "curve.jsonl").read()]
    points.append((record["plan"]["steps"], record["results"]))
    for metric, datasets in by_headline(record["results"]).items():
        caption = (
            f"{display_name(metric)} on the evaluation sets during training; the bands are the expected values with "
            "their tolerance."
        )
        figures.insert(0, (plots.metric_curve(points, metric, datasets, comparisons), caption))
    galleries = []
    for place in sorted((folder / "evaluation").glob("*/examples")):
        galleries.append(read_gallery(place))
        for picture in chain.from_iterable(row for example in galleries[-1].examples for row in example.rows):
            picture.file = as_data(place / picture.file)
    page = render(
        "report.html.j2",
        record=record,
        comparisons=comparisons,
        shown=columns(record["results"]),
        figures=[(Markup(svg), caption) for svg, caption in figures],
        galleries=galleries,
        planned=planned.in_words(record["recipe"], record["plan"]),
        schedule=Markup(schedule_of(record["plan"])),
        recipe=as_yaml(record["recipe"]),
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"


def schedule_of(plan: dict[str, Any]) -> str:
    per_epoch = plan["steps"] / plan["epochs"] if plan.get("epochs") else None
    return plots.schedule(plan["learning_rate"], plan["warmup_steps"], per_epoch)


def by_headline(results: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The datasets that share a headline, and so a figure."""
    found: dict[str, list[str]] = {}
    for dataset, metrics in results.items():
        found.setdefault(headline(metrics), []).append(dataset)
    return found


def write_study_report(folder: Path) -> Path:
    """Writes `report.html` of a study, or of a run over several seeds, from its study.json and its runs' curves."""
    study = read_study(folder)
    comparisons = study["verdict"]["comparisons"] if study["verdict"] else []
    page = render(
        "study.html.j2",
        study=study,
        comparisons=comparisons,
        table=table(study),
        figures=[(Markup(svg), caption) for svg, caption in study_figures(study, folder, comparisons)],
        recipe=as_yaml(study["recipe"]),
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"


ONE_MARK = "A dot is one run, the bar its variant's mean ± one standard deviation over the seeds."


def study_figures(
    study: dict[str, Any], folder: Path, comparisons: Sequence[dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Plots and captions: values against what is varied, or a row a variant; then what they learned by when."""
    marks = {
        (one["name"], dataset, metric): mark(one["results"][dataset][metric])
        for one in study["variants"]
        for dataset, metric in headlines(study)
        if dataset in one["results"]
    }
    values = numbers_varied(study) if study["recipe"]["study"] else {}
    for metric, datasets in by_headline(study["variants"][0]["results"]).items():
        if not study["recipe"]["study"]:
            bands = {c["dataset"]: (c["expected"], c["tolerance"]) for c in comparisons if c["metric"] == metric}
            caption = "A dot is one seed, the bar the mean ± one standard deviation" + (
                ", the grey band the expectation." if bands else "."
            )
            yield plots.dots({dataset: [marks["", dataset, metric]] for dataset in datasets}, metric, bands), caption
            continue
        if values:
            lines = {
                dataset: {
                    value: marks[name, dataset, metric] for name, value in sorted(values.items(), key=itemgetter(1))
                }
                for dataset in datasets
            }
            key = next(iter(study["recipe"]["study"]["vary"]))
            yield plots.against_values(lines, key, metric), f"{display_name(metric)} by {key}. {ONE_MARK}"
        else:
            for dataset in datasets:
                rows = {one["name"]: [marks[one["name"], dataset, metric]] for one in study["variants"]}
                yield plots.dots(rows, metric), f"{display_name(metric)} of {dataset}. {ONE_MARK}"
        for dataset in datasets:
            learned = {one["name"]: mean_curve(one, folder, dataset, metric) for one in study["variants"]}
            if any(len(points) > 1 for points in learned.values()):
                caption = f"{display_name(metric)} of {dataset} during training, mean over the seeds."
                yield plots.overlay(learned, "optimiser step", display_name(metric)), caption


def mark(found: dict[str, Any]) -> plots.Mark:
    return plots.Mark(found["mean"], found["std"], found["values"])


def numbers_varied(study: dict[str, Any]) -> dict[str, float]:
    """The values of the one key that is varied, by variant; empty where they are no quantities."""
    varied = study["recipe"]["study"]["vary"]
    found = {one["name"]: value for one in study["variants"] for value in one["changes"].values()}
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in found.values())
    # a seed is a number, but no quantity
    quantity = bool(varied) and not next(iter(varied)).endswith("seed")
    return found if quantity and numbers else {}


def mean_curve(variant: dict[str, Any], folder: Path, dataset: str, metric: str) -> list[tuple[int, float]]:
    """(step, mean over the runs) of the evaluations during training and of the last."""
    found: dict[int, list[float]] = {}
    for run, last in zip(variant["runs"], variant["results"][dataset][metric]["values"], strict=True):
        rows = JsonLines(folder / run["folder"] / "evaluation" / "curve.jsonl").read()
        points = {row["step"]: row["results"][dataset][metric] for row in rows if dataset in row["results"]}
        points[read_record(folder / run["folder"])["plan"]["steps"]] = last
        for step, value in points.items():
            found.setdefault(step, []).append(value)
    return [(step, fmean(values)) for step, values in sorted(found.items())]


def write_comparison(found: Comparison, file: Path) -> Path:
    """Writes the page of two sides: what differs, what came out, curves over each other."""
    shown = {dataset: columns({dataset: metrics}) for dataset, metrics in found.results.items()}
    page = render(
        "compare.html.j2",
        found=found,
        shown=shown,
        figures=[(Markup(svg), caption) for svg, caption in comparison_figures(found)],
    )
    write_text(file, page)
    return file


def comparison_figures(found: Comparison) -> Iterator[tuple[str, str]]:
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
