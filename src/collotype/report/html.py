"""`report.html`: one page, one file, readable offline."""

import base64
import json
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from collotype.evaluation.results import columns, display_name, headline, read_gallery
from collotype.recipe.load import as_yaml
from collotype.report import plots
from collotype.report.record import read_record
from collotype.report.verdict import in_words, left_open
from collotype.runtime.errors import UserError
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
    return environment.get_template(template).render(style=Markup((HERE / "report.css").read_text()), **values)


def as_data(file: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()


def write_report(folder: Path) -> Path:
    """Writes `report.html` of the finished run in `folder` from the files that are there."""
    record, steps = read_record(folder), JsonLines(folder / "metrics.jsonl").read()
    comparisons = record["verdict"]["comparisons"] if record["verdict"] else []
    figures = [
        (plots.loss_curve(steps), "Training loss. The grey line is each step, the red one the mean of the last 20."),
        (plots.learning_rate_curve(steps), "Learning rate of every step."),
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
        recipe=as_yaml(record["recipe"]),
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"


def by_headline(results: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The datasets that share a headline, and so a figure."""
    found: dict[str, list[str]] = {}
    for dataset, metrics in results.items():
        found.setdefault(headline(metrics), []).append(dataset)
    return found


def write_seeds_report(folder: Path) -> Path:
    """Writes `report.html` of a run over several seeds."""
    try:
        summary = json.loads((folder / "seeds.json").read_text())
    except ValueError as error:
        raise UserError(f"{folder / 'seeds.json'} is damaged ({error}); run the seeds again with --resume.") from error
    comparisons = summary["verdict"]["comparisons"] if summary["verdict"] else []
    page = render(
        "seeds.html.j2",
        summary=summary,
        comparisons=comparisons,
        shown=columns(summary["results"]),
        figures=[
            Markup(plots.seed_dots({dataset: summary["results"][dataset] for dataset in datasets}, metric, comparisons))
            for metric, datasets in by_headline(summary["results"]).items()
        ],
        recipe=as_yaml(summary["recipe"]),
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"
