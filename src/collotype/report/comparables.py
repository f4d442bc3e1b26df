"""What can be compared: a finished run, a run over several seeds, a published result."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collotype.evaluation import per_query
from collotype.evaluation.results import Results
from collotype.report import published
from collotype.report.record import Record, read_record
from collotype.report.study import means, read_study
from collotype.runtime.errors import UserError
from collotype.runtime.files import JsonLines

PUBLISHED = "published:"
NOT_COMPARED = ("findings", "estimate", "hardware", "learning_rate", "data", "reference")
"""What a plan tells that follows from the rest of it, or is not a part of the run."""

Points = list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class ComparisonSide:
    """One of two that are compared."""

    name: str
    place: str
    """Its folder, or published:NAME."""
    facts: dict[str, dict[str, Any]]
    """By section (recipe, plan, environment, data, weights), then by dotted key."""
    complete: bool
    """Does a key that is missing mean that there is none? Else it means that nobody said."""
    results: Results
    noise: dict[str, dict[str, float]] = field(default_factory=dict)
    """By dataset and metric: how far from its result one more run may lie; what is not known is missing."""
    curves: dict[str, Points] = field(default_factory=dict)
    """By "SUITE/DATASET/metric": (epoch, value)."""
    losses: Points = field(default_factory=list)
    """(step, loss)."""
    seconds: float | None = None
    """Of all steps."""
    queries: dict[str, per_query.DatasetQueries] = field(default_factory=dict)
    """By dataset, where each query's values were kept."""


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    if not isinstance(values, dict):
        return {prefix: values}
    return {k: v for name, part in values.items() for k, v in flatten(part, f"{prefix}.{name}".lstrip(".")).items()}


def dotted(values: Any, prefix: str = "") -> dict[str, Any]:
    """`flatten`, where a list of one mapping is that mapping, as a recipe with one source may be written."""

    def unwrapped(value: Any) -> Any:
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            value = value[0]
        return {name: unwrapped(part) for name, part in value.items()} if isinstance(value, dict) else value

    return flatten(unwrapped(values), prefix)


def read_side(place: str | Path) -> ComparisonSide:
    """Of a run's folder, a folder of several seeds, or `published:NAME`.

    Raises:
        UserError: it is none of these, or not finished.
    """
    if str(place).startswith(PUBLISHED):
        return of_published(str(place).removeprefix(PUBLISHED))
    folder = Path(place)
    return of_seeds(folder) if (folder / "study.json").is_file() else of_run(folder, read_record(folder))


def of_published(name: str) -> ComparisonSide:
    found = published.load(name)
    noise = {
        dataset: {metric: noise for metric in metrics if (noise := found.noise_of(dataset, metric)) is not None}
        for dataset, metrics in found.results.items()
    }
    return ComparisonSide(
        name=found.name,
        place=f"{PUBLISHED}{name}",
        facts={"recipe": dict(found.circumstances)},
        complete=False,
        results=found.results,
        noise=noise,
        curves=found.curves,
    )


def facts_of(record: Record) -> dict[str, dict[str, Any]]:
    """What is said once is kept once: the plan's batch is the recipe's, its parameters are the model's."""
    recipe = {key: value for key, value in record["recipe"].items() if key not in ("name", "expect", "study")}
    repeated = {*NOT_COMPARED, "batch", "steps", "examples", *record["model"]}
    environment = {key: value for key, value in record["environment"].items() if key != "command"}
    return {
        "recipe": dotted(recipe),
        "plan": flatten({key: value for key, value in record["plan"].items() if key not in repeated}),
        "environment": flatten(environment),
        "hub": flatten(record["hub"], "hub"),
        "data": dotted(record["data"], "data"),
        "weights": flatten(record["model"]),
    }


def of_run(folder: Path, record: Record) -> ComparisonSide:
    plan = record["plan"]
    noise: dict[str, dict[str, float]] = {}
    curves: dict[str, Points] = {}
    for comparison in record["verdict"]["comparisons"] if record["verdict"] else []:
        noise.setdefault(comparison["dataset"], {})[comparison["metric"]] = comparison["tolerance"]
    points = [(row["step"], row["results"]) for row in JsonLines(folder / "evaluation" / "curve.jsonl").read()]
    for step, results in [*points, (plan["steps"], record["results"])]:
        for dataset, metrics in results.items():
            for metric, value in metrics.items():
                at = step / plan["steps"] * plan["epochs"]
                curves.setdefault(f"{dataset}/{metric}", []).append((at, value))
    steps = JsonLines(folder / "metrics.jsonl").read()
    queries = {dataset: per_query.read(folder / "evaluation", dataset) for dataset in record["results"]}
    return ComparisonSide(
        name=record["recipe"]["name"],
        place=str(folder),
        facts=facts_of(record),
        complete=True,
        results=record["results"],
        noise=noise,
        curves=curves,
        losses=[(row["step"], row["loss"]) for row in steps if row["loss"] is not None],
        seconds=record["timing"]["steps_s"],
        queries={dataset: found for dataset, found in queries.items() if found},
    )


def of_seeds(folder: Path) -> ComparisonSide:
    """The means over several seeds, with the facts of the first of them."""
    study = read_study(folder)
    if study["recipe"]["study"]:
        runs = ", ".join(str(folder / variant["runs"][0]["folder"]) for variant in study["variants"])
        raise UserError(f"{folder} contains a study of several variants; compare two of its runs, such as {runs}.")
    (variant,) = study["variants"]
    spreads = variant["results"]
    return ComparisonSide(
        name=study["recipe"]["name"],
        place=str(folder),
        facts=facts_of(read_record(folder / variant["runs"][0]["folder"])),
        complete=True,
        results=means(spreads),
        noise={
            name: {metric: found["tolerance"] for metric, found in of.items() if found["tolerance"] is not None}
            for name, of in spreads.items()
        },
    )
