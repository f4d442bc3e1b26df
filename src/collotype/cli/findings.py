"""The output before a run: the plan in a few lines, and the findings, most serious first."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from collotype.cli.terminal import COLOURS
from collotype.importers import Imported
from collotype.preflight.rules.availability import not_here
from collotype.recipe import Recipe
from collotype.report import published
from collotype.report.plan import Plan, in_words

BARS = "▁▂▃▄▅▆▇█"


def print_check(console: Console, recipe: Recipe, plan: Plan, imported: Imported | None) -> None:
    """The plan and the findings on one page; of an imported command first what it did, then what to change."""
    console.print(Text(heading(recipe, plan, imported), style="bold"))
    for sentence in imported.origin.assumed if imported else ():
        say(console, Text("mind: ", COLOURS["may differ"]).append(sentence, "not bold default"), indent=0)
    if imported and imported.origin.settings.get("evaluates_only"):
        for command in evaluations(recipe) if "unknown_model" not in imported.origin.settings else ():
            say(console, f"It only evaluates: {command} --out DIR", "", 2)
    else:
        console.print(plan_table(recipe, plan))
    print_findings(console, plan["findings"], imported)
    if imported:
        count = len(imported.left_out)
        missing = f"lists {count} setting{'s' * (count != 1)} without a counterpart"
        say(console, f"\ncollotype import … -o {recipe.name}.yaml writes the recipe, and {missing}", "dim", 0)


def evaluations(recipe: Recipe) -> Iterator[str]:
    """The commands that measure what a recipe's `evaluate` does."""
    for choice in recipe.evaluate:
        given = choice.model_dump(exclude_defaults=True, exclude={"suite", "every_steps"})
        words = [f"--{key.replace('_', '-')} {part}" for key, value in given.items() for part in flag_values(value)]
        yield " ".join([f"collotype evaluate {recipe.model.weights} --suite {choice.suite}", *words])


def flag_values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def heading(recipe: Recipe, plan: Plan, imported: Imported | None) -> str:
    text = recipe.name
    if imported:
        origin = imported.origin
        several = "es" * (origin.processes > 1)
        text += f", imported from {origin.tool} ({origin.launcher}, {origin.processes} process{several})"
    if "reference" in plan:
        text += f"; held against {plan['reference']}: {published.load(plan['reference']).in_short}"
    return text


def plan_table(recipe: Recipe, plan: Plan) -> Table:
    """The plan's numbers in the words of a method section."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    rates = [rate for _, rate in plan["learning_rate"]]
    curve = {"learning rate": f"  {sparkline(rates[:: max(1, len(rates) // 20)])}"}
    for name, value in in_words(recipe.model_dump(), plan).items():
        # as text: what stands in brackets is not markup
        table.add_row(name, Text(value + curve.get(name, "")))
    return table


def sparkline(values: list[float]) -> str:
    top = max(values) or 1.0
    return "".join(BARS[round(value / top * (len(BARS) - 1))] for value in values)


def print_findings(console: Console, findings: list[dict[str, Any]], imported: Imported | None = None) -> None:
    missing = [one for one in findings if one["source"] == not_here.source]
    found = [one for one in findings if one not in missing]
    if imported:
        print_group(console, "What the command did", found, here=False)
        print_group(console, "What to change in the recipe", found, here=True)
    else:
        for one in found:
            print_finding(console, one)
    if missing:
        blocks = any(one["severity"] == "blocks" for one in missing)
        heading = "What has to be here first" if blocks else "What a run fetches"
        console.print(Text(f"\n{heading}" if imported else heading, "underline"))
    for one in missing:
        title = Text(f"{one['severity']}: {one['name']}", style=COLOURS[one["severity"]])
        say(console, title.append(f"  {one['seen'].split('. ')[0].rstrip('.')}", "not bold default"), indent=0)


def print_group(console: Console, title: str, findings: list[dict[str, Any]], here: bool) -> None:
    group = [one for one in findings if one["here"] is here]
    if group:
        console.print(Text(f"\n{title}", style="underline"))
    for one in group:
        print_finding(console, one)


def print_finding(console: Console, found: dict[str, Any]) -> None:
    """What is seen and what the reference has, why it matters and how much, and what to do; of a note the first and the
    last."""
    title = Text(f"{found['severity']}: {found['name']}", style=COLOURS[found["severity"]])
    console.print(title.append(f"  [{found['source']}]", style="not bold dim"))
    say(console, f"{found['seen']}; reference: {found['reference']}")
    if found["severity"] != "note":
        say(console, f"{found['why']}{' Measured: ' if found['effect'] else ''}{found['effect']}", "dim")
    say(console, f"→ {found['fix']}")


def say(console: Console, text: str | Text, style: str = "", indent: int = 2) -> None:
    console.print(Padding(text if isinstance(text, Text) else Text(text, style), (0, 0, 0, indent), expand=False))
