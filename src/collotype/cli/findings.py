"""What a person sees before a run: the plan in a few lines, and what to change, the gravest first."""

from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from collotype.check.plan import Plan
from collotype.check.rules.availability import not_here
from collotype.recipe import Recipe
from collotype.recipe.imports import Imported
from collotype.report import published

COLOURS = {"blocks": "bold red", "will differ": "bold red", "may differ": "bold yellow", "note": "bold cyan"}
BARS = "▁▂▃▄▅▆▇█"
UNKNOWN = "unknown"


def print_check(console: Console, recipe: Recipe, plan: Plan, imported: Imported | None) -> None:
    """The plan and the findings on one page; of an imported command first what it did, then what to change."""
    console.print(Text(heading(recipe, plan, imported), style="bold"))
    evaluates_only = imported is not None and imported.origin.settings.get("evaluates_only")
    if evaluates_only:
        weights, choice = recipe.model.weights, recipe.evaluate[0]
        command = f"collotype evaluate {weights} --suite {choice.suite} --path {choice.path} --split {choice.split}"
        say(console, f"It only evaluates: {command} --out DIR", "", 2)
    else:
        console.print(plan_table(recipe, plan))
    print_findings(console, plan["findings"], imported)
    if imported:
        lost = f"{len(imported.left_out)} settings have no counterpart"
        say(console, f"\ncollotype import … -o {recipe.name}.yaml writes the recipe; {lost}, and it lists them", "dim", 0)


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
    for name, value in lines_of(recipe, plan).items():
        table.add_row(name, value)
    return table


def lines_of(recipe: Recipe, plan: Plan) -> dict[str, str]:
    train, lines = recipe.train, {}
    lines["model"] = plan.get("architecture", f"{UNKNOWN} ({recipe.model.weights})")
    if "parameters" in plan:
        trained = plan["trainable_parameters"]
        part = "all" if trained == plan["parameters"] else f"{trained:,}"
        lines["parameters"] = f"{plan['parameters']:,}, {part} of them trained"
    negatives = f"; {plan['negatives_per_query']:,} negatives per query" if plan["negatives_per_query"] else ""
    cut = f"{plan['processes']} process{'es' * (plan['processes'] > 1)}, micro-batch {plan['micro_batch']}"
    lines["batch"] = f"{train.batch:,} on {cut}{negatives}"
    assumed = ", as published" if plan.get("assumed") else ""
    epochs = f" = {plan['epochs']:.4g} × {plan['examples']:,} examples{assumed}" if "epochs" in plan else ""
    lines["steps"] = f"{train.steps:,}{epochs or ', epochs unknown'}"
    warmup = f"{plan['warmup_steps']:,} steps"
    warmup += f" = {plan['warmup_epochs']:.3g} epochs" if "warmup_epochs" in plan else ""
    bars = sparkline([rate for _, rate in plan["learning_rate"]][:: max(1, len(plan["learning_rate"]) // 20)])
    lines["learning rate"] = f"{train.optimizer.lr:g}, {train.schedule.name}, warm-up {warmup}  {bars}"
    lines["optimiser"] = f"{train.optimizer.name}, precision {plan.get('precision', UNKNOWN)} on {plan['device']}"
    if "preset" in plan:
        pages = f", {plan['vectors_per_page']:,} vectors a page" if plan.get("vectors_per_page", 1) > 1 else ""
        lines["prompts"] = f"{plan['preset']}{pages}"
    if data := data_line(plan):
        lines["data"] = data
    if "estimate" in plan:
        lines["needs"] = needs_line(recipe, plan)
    return lines


def data_line(plan: Plan) -> str:
    """Sizes of what is here, beside the published ones, and the beginning of the training data's fingerprint."""
    parts = []
    for name, facts in plan.get("data", {}).items():
        sizes = {what: size for what, size in facts.items() if isinstance(size, int)}
        of = facts.get("published", {})
        shown = [
            f"{size:,} {what}" + (f" (published {of[what]:,})" if what in of else "") for what, size in sizes.items()
        ]
        digests = [one["sha256"][:8] for one in facts.get("sources", [])]
        parts.append(f"{name} {', '.join(shown)}" + (f" [{' '.join(digests)}]" if digests else ""))
    return "; ".join(parts)


def needs_line(recipe: Recipe, plan: Plan) -> str:
    found = plan["estimate"]
    if "peak_memory_mib" in found:
        memory = f"memory {in_gib(found['peak_memory_mib'])} at its peak"
    else:
        memory = f"memory {in_gib(sum(found['memory_mib'].values()))} and activations"
    disk = f"disk {in_gib(found['disk_mib'])}"
    if "step_s" not in found:
        return f"{memory}; {disk}; time unknown (--measure)"
    rough = "roughly " if found["from"] == "arithmetic" else ""
    total = found["step_s"] * recipe.train.steps
    return f"{memory}; {disk}; {rough}{in_time(total)} for the steps, by {found['from']}"


def in_gib(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"


def in_time(seconds: float) -> str:
    for size, unit in ((86400 * 365, "years"), (86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}" if seconds / size < 100 else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


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
        console.print(Text("\nWhat has to be here first" if imported else "What has to be here first", "underline"))
    for one in missing:
        title = Text(f"blocks: {one['name']}", style=COLOURS["blocks"])
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
