"""Terminal output of all commands: progress bars, tables."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from collotype.evaluation.results import Measured, cells, columns, display_name, results_of
from collotype.report.compare import Comparison, in_short
from collotype.report.frontier import reader_name
from collotype.report.study import headlines, table
from collotype.report.verdict import Verdict, in_words, left_open
from collotype.runtime.stage_messages import say

if TYPE_CHECKING:
    from collotype.search.check import Checked
    from collotype.search.quality import Judged


COLOURS = {"blocks": "bold red", "will differ": "bold red", "may differ": "bold yellow", "note": "bold cyan"}


class Stages:
    """A bar for each stage of a long command, with rate and time left, on stderr when that is a terminal; else, for a
    log, a line of each that takes more than three seconds, and one a minute from there on.

    Called with (what, how many are done, of how many).
    """

    FIRST_S, NEXT_S = 3.0, 60.0

    def __init__(self, quiet: bool = False):
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}/s"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=(console := Console(stderr=True)),
            disable=quiet or not console.is_terminal,
        )
        self.bars: dict[str, TaskID] = {}
        self.logs = not quiet and not console.is_terminal
        self.due: dict[str, float] = {}
        """When a stage is to be told of in a log."""

    def __enter__(self) -> "Stages":
        self.progress.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.progress.stop()

    def log(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self.due.setdefault(what, now + self.FIRST_S):
            self.due[what] = now + self.NEXT_S
            say(f"{what}: {done:,} of {total:,}")

    def __call__(self, what: str, done: int, total: int) -> None:
        if self.logs:
            self.log(what, done, total)
        if what not in self.bars:
            # the first call comes after the first piece of work, whose time is not known
            self.bars[what] = self.progress.add_task(what, total=total, completed=done, rate="…")
            return
        speed = self.progress.tasks[self.bars[what]].speed
        self.progress.update(self.bars[what], completed=done, rate=f"{speed:.1f}" if speed else "…")


def results_table(title: str, results: dict[str, dict[str, float]]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("dataset", overflow="fold")
    add_metrics(table, columns(results))
    for dataset, metrics in results.items():
        table.add_row(dataset, *cells(metrics, columns(results)))
    return table


def add_metrics(table: Table, names: Sequence[str]) -> None:
    """Under names that break between words where a terminal is narrow."""
    for name in names:
        table.add_column(display_name(name), justify="right", overflow="fold")


BASELINES = ("chance", "most_frequent_answer", "most_frequent_of_each_wording")
"""Facts of a dataset that are metrics: what is scored without a model."""


def evaluation_table(measured: dict[str, list[Measured]]) -> Table:
    """A row for each dataset and model, models of one dataset below each other, and what is scored without one."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("dataset", "model"):
        table.add_column(name, overflow="fold")
    shown = columns(results_of(next(iter(measured.values()))))
    add_metrics(table, shown)
    for row in zip(*measured.values(), strict=True):
        for model, one in zip(measured, row, strict=True):
            table.add_row(one.dataset, model, *cells(one.metrics, shown))
        for name in BASELINES:
            if scores := row[0].facts.get(name):
                table.add_row(row[0].dataset, name.replace("_", " "), *cells(scores, shown), style="dim")
    return table


def compression_tables(rows: list[dict[str, Any]]) -> list[Table]:
    """Size, CPU time and quality of every form, a table a dataset, the smallest pages last; the Pareto points stand
    out."""
    tables: dict[str, Table] = {}
    for row in sorted(rows, key=lambda row: -row["bytes_per_page"]):
        if row["dataset"] not in tables:
            table = tables[row["dataset"]] = Table(title=row["dataset"], title_justify="left", box=box.SIMPLE_HEAD)
            for name in ("queries", "pooling"):
                table.add_column(name, overflow="fold")
            for name in ("dim", "stored", "vectors", "bytes", "CPU ms", display_name(row["headline"]), "change"):
                table.add_column(name, justify="right")
        form = (reader_name(row["queries"]), f"{row['method']} {row['factor']}" if row["method"] else "none")
        size = (str(row["dim"]), row["stored"], f"{row['vectors_per_page']:.1f}", f"{row['bytes_per_page']:,.0f}")
        quality = (f"{row['metrics'][row['headline']]:.3f}", f"{row['difference']:+.3f}")
        style = "bold" if row["pareto"] else "dim"
        tables[row["dataset"]].add_row(*form, *size, f"{row['query_cpu_ms']:.2f}", *quality, style=style)
    for table in tables.values():
        table.caption = "a page, a query; bold: no other form is as good and smaller or faster"
    return list(tables.values())


STABILITY_LEGEND = (
    "Each fp32 row is compared with fp32, one at a time; bf16 one at a time with the same; other bf16 rows with that. "
    "Reordered: queries whose top ten pages change order. Distinct: the fewest different values among one query's "
    "scores."
)


def stability_table(model: str, found: dict[str, Any]) -> Table:
    """A row for each setting, and what it changes; of one that could not be measured, why."""
    sizes = f"{found['queries']} queries and {found['pages']} pages of {found['dataset']}"
    sizes += ", pages cut to several sizes" if found["cut_to_several_sizes"] else ""
    title, metric = f"{model}: {sizes}, on {found['device']}", display_name(found["settings"][0]["metric"])
    table = Table("setting", title=title, caption=STABILITY_LEGEND, box=box.SIMPLE_HEAD)
    table.title_justify = table.caption_justify = "left"
    for name in ("score differs by", f"{metric} by", "reordered", "distinct"):
        table.add_column(name, justify="right", overflow="fold")
    for row in found["settings"]:
        if why := row.get("not_measured"):
            table.add_row(f"{row['setting']}: not measured ({why})")
            continue
        change = (f"{row['largest_score_difference']:.1g}", f"{row['metric_difference']:+.4f}")
        table.add_row(row["setting"], *change, str(row["queries_with_other_order"]), str(row["distinct_scores"]))
    return table


def index_table(found: "Checked") -> Table:
    """Recall, CPU time and bytes of each way of searching and storing an index's pages."""
    title = f"{found.pages:,} pages, {found.queries} queries {found.source}"
    shown = Table("way", title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("pages", f"recall@{found.k}", "CPU ms, median", "95 %", "bytes a page"):
        shown.add_column(name, justify="right")
    for way in found.ways:
        times = ["" if time is None else f"{time:.1f}" for time in (way.cpu_ms_p50, way.cpu_ms_p95)]
        shown.add_row(way.name, f"{way.pages:,}", f"{way.recall:.3f}", *times, f"{way.bytes_per_page:,.0f}")
    return shown


def quality_table(found: "Judged") -> Table:
    """How well judged queries are answered."""
    title = f"{found.queries} judged queries"
    shown = Table("answered by", title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("nDCG@5", "CPU ms, median"):
        shown.add_column(name, justify="right")
    for way in found.ways:
        shown.add_row(way.name, f"{way.ndcg_at_5:.3f}", "" if way.cpu_ms_p50 is None else f"{way.cpu_ms_p50:.1f}")
    return shown


def print_comparison(console: Console, found: Comparison) -> None:
    """Results beside each other with their noise, then what differs, most likely cause first."""
    names = found.names
    results = Table(title="results", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("dataset", "metric"):
        results.add_column(name, overflow="fold")
    for name in (*names, "difference", *(["95 % interval"] if found.intervals else []), "noise"):
        results.add_column(name, justify="right", overflow="fold")
    for dataset, metrics in found.results.items():
        for metric in columns({dataset: metrics}):
            left, right = metrics[metric]
            noise = found.noise(dataset, metric)
            within = noise is not None and abs(right - left) <= noise
            interval = [found.interval(dataset, metric)] if found.intervals else []
            shown = (f"{left:.3f}", f"{right:.3f}", f"{right - left:+.3f}", *interval)
            of_noise = "" if noise is None else f"± {noise:.3f}"
            results.add_row(dataset, metric, *shown, of_noise, style="dim" if within else None)
    if found.results:
        console.print(results)
    else:
        console.print("The two have no dataset and metric in common.")
    differs = Table(title="what differs, most likely cause first", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("", "key", *names):
        differs.add_column(name, overflow="fold")
    for one in found.differences:
        values = [in_short(value) for value in one.values]
        differs.add_row(
            one.severity, one.key, *values, style=COLOURS.get(one.severity) if one.severity != "note" else "dim"
        )
    console.print(differs)
    grave = [one for one in found.differences if one.severity == "will differ"]
    for why, source in dict.fromkeys((one.why, one.source) for one in grave):
        console.print(f"  {why}{source and f' ({source})'}", highlight=False, soft_wrap=True)
    for side in (found.left, found.right):
        if side.complete:
            console.print(f"report: {Path(side.place) / 'report.html'}", soft_wrap=True, highlight=False)


def print_study(console: Console, study: dict[str, Any]) -> None:
    """Mean ± spread of each variant, and of one that is alone what follows for its tolerance, and the verdict."""
    for dataset, metric in headlines(study):
        head, *rows = table(study, [(dataset, metric)])
        shown = Table(box=box.SIMPLE_HEAD)
        for name in head:
            shown.add_column(name, justify="left" if name == head[0] else "right", overflow="fold")
        for row in rows:
            shown.add_row(*row)
        console.print(shown)
        tolerance = study["variants"][0]["results"][dataset][metric]["tolerance"]
        if tolerance is not None and not study["recipe"]["study"]:
            console.print(f"one more run: within ± {tolerance:.3f} of the mean (99 %)", highlight=False, soft_wrap=True)
    print_verdict(console, study["verdict"], study["recipe"]["expect"])


def print_verdict(console: Console, verdict: Verdict | None, expectations: list[dict[str, Any]]) -> None:
    for comparison in verdict["comparisons"] if verdict else []:
        colour = "green" if comparison["reproduced"] else "red"
        console.print(in_words(comparison), style=colour, highlight=False, soft_wrap=True)
    for expected in expectations:
        if expected.get("measured_by"):
            console.print(left_open(expected), highlight=False, soft_wrap=True)
