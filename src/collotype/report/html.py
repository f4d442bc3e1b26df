"""Writes `report.html`: one file, readable offline."""

import base64
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from collotype.evaluation.results import columns, display_name, headline, read_gallery
from collotype.recipe.load import as_yaml
from collotype.report import figures, plan, plots
from collotype.report.compare import Comparison, in_short
from collotype.report.plan import Plan
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
    environment.filters["breakable"] = breakable
    return environment.get_template(template).render(style=Markup((HERE / "report.css").read_text()), **values)


def breakable(key: str) -> Markup:
    """A dotted key that a narrow column may break where a reader would."""
    return escape(key).replace(".", Markup(".<wbr>")).replace("_", Markup("_<wbr>"))


def as_data(file: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()


def write_report(folder: Path) -> Path:
    """Writes `report.html` of the finished run in `folder` from the files that are there."""
    record, steps = read_record(folder), JsonLines(folder / "metrics.jsonl").read()
    comparisons = record["verdict"]["comparisons"] if record["verdict"] else []
    drawn = [
        (plots.loss_curve(steps), "Training loss. The grey line is each step, the red one the mean of the last 20.")
    ]
    points = [(row["step"], row["results"]) for row in JsonLines(folder / "evaluation" / "curve.jsonl").read()]
    points.append((record["plan"]["steps"], record["results"]))
    for metric, datasets in figures.by_headline(record["results"]).items():
        bands = "; the bands are the expected values with their tolerance" if comparisons else ""
        caption = f"{display_name(metric)} on the evaluation sets during training{bands}."
        drawn.insert(0, (plots.metric_curve(points, metric, datasets, comparisons), caption))
    galleries = []
    for place in sorted((folder / "evaluation").glob("*/examples")):
        galleries.append(read_gallery(place))
        for image in chain.from_iterable(row for example in galleries[-1].examples for row in example.rows):
            image.file = as_data(place / image.file)
    page = render(
        "report.html.j2",
        record=record,
        comparisons=comparisons,
        shown=columns(record["results"]),
        figures=[(Markup(svg), caption) for svg, caption in drawn],
        galleries=galleries,
        planned=plan.in_words(record["recipe"], record["plan"]),
        schedule=Markup(schedule_of(record["plan"])),
        recipe=as_yaml(record["recipe"]),
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"


def schedule_of(plan: Plan) -> str:
    per_epoch = plan["steps"] / plan["epochs"] if plan.get("epochs") else None
    return plots.schedule(plan["learning_rate"], plan["warmup_steps"], per_epoch)


def write_study_report(folder: Path) -> Path:
    """Writes `report.html` of a study, or of a run over several seeds, from its study.json and its runs' curves."""
    study = read_study(folder)
    comparisons = study["verdict"]["comparisons"] if study["verdict"] else []
    drawn = figures.of_study(study, folder) if study["recipe"]["study"] else figures.of_seeds(study, comparisons)
    page = render(
        "study.html.j2",
        study=study,
        comparisons=comparisons,
        tables=[table(study, [shown]) for shown in headlines(study)],
        figures=[(Markup(svg), caption) for svg, caption in drawn],
        recipe=as_yaml(study["recipe"]),
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"


def write_comparison(found: Comparison, file: Path) -> Path:
    """Writes the page of two sides: what differs, what came out, curves over each other."""
    shown = {dataset: columns({dataset: metrics}) for dataset, metrics in found.results.items()}
    page = render(
        "compare.html.j2",
        found=found,
        shown=shown,
        figures=[(Markup(svg), caption) for svg, caption in figures.of_comparison(found)],
    )
    write_text(file, page)
    return file
