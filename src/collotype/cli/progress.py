"""The output of a run: progress in a terminal, tables at the end."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from collotype.cli.findings import plan_table, print_findings
from collotype.cli.terminal import print_verdict, results_table
from collotype.evaluation.results import Results, display_name, headline
from collotype.recipe import Recipe
from collotype.report.plan import Plan
from collotype.runner.callbacks import Callback
from collotype.runner.result import Run


class Terminal(Callback):
    """Progress on stderr when that is a terminal; the closing table on stdout unless `quiet`."""

    def __init__(self, quiet: bool = False):
        self.quiet = quiet
        self.messages, self.console = Console(stderr=True), Console()
        self.live = self.messages.is_terminal and not quiet
        self.progress: Progress | None = None

    def planned(self, recipe: Recipe, folder: Path, plan: Plan) -> None:
        self.steps = plan["steps"]
        if self.live:
            self.messages.print(f"[bold]{recipe.name}[/bold] into {folder}")
            self.messages.print(plan_table(recipe, plan))
        if not self.quiet:
            # a log is shown what may spoil the number, a person also what is worth knowing
            shown = [found for found in plan["findings"] if self.live or found["severity"] != "note"]
            print_findings(self.messages, shown)

    def started(self, done: int) -> None:
        if self.live:
            self.progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("loss {task.fields[loss]}  {task.fields[rate]} examples/s"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self.messages,
            )
            self.bar = self.progress.add_task("training", total=self.steps, completed=done, loss="…", rate="…")
            self.progress.start()

    def stepped(self, row: dict[str, Any]) -> None:
        if self.progress:
            rate = f"{row['examples'] / row['step'] / row['seconds']:.0f}"
            self.progress.update(
                self.bar, completed=row["step"], loss="…" if row["loss"] is None else f"{row['loss']:.3f}", rate=rate
            )

    def evaluated(self, step: int, results: Results) -> None:
        if self.live:
            values = [
                f"{display_name(headline(metrics))} of {name} {metrics[headline(metrics)]:.3f}"
                for name, metrics in results.items()
            ]
            self.messages.print(f"step {step}: {', '.join(values)}")

    def evaluating(self, suites: list[str]) -> None:
        self.close()
        if self.live and suites:
            self.messages.print(f"evaluating on {', '.join(suites)} …")

    def finished(self, run: Run) -> None:
        self.close()
        if not self.quiet:
            if run.results:
                self.console.print(results_table(run.record["recipe"]["name"], run.results))
            print_verdict(self.console, run.verdict, run.record["recipe"]["expect"])
            self.console.print(f"report: {run.folder / 'report.html'}", soft_wrap=True, highlight=False)

    def close(self) -> None:
        if self.progress:
            self.progress.stop()
            self.progress = None
