"""Rules on data and weights that are not on this machine."""

from collections.abc import Iterator

from collotype.preflight.context import CheckContext
from collotype.preflight.rules.rule import Evidence, rule

WHAT = {
    "weights": ("weights not here", "the weights that training starts from"),
    "model": ("shape of the model unknown", "a model whose shape can be read"),
    "data.train": ("training data not here", "data that can be read"),
    "room": ("no room for what a run fetches", "a disk with room for it"),
    "evaluate": ("evaluation data not here", "data that can be read"),
}


@rule("not here", "blocks", "this machine", training=False)
def not_here(context: CheckContext) -> Iterator[Evidence]:
    for name, reason in context.plan.get("unknown", {}).items():
        kind = "evaluate" if name.startswith("evaluate") else name
        what, wanted = WHAT.get(kind, (f"{name} unknown", "a value"))
        # the shape comes with the weights
        if {"model": "weights"}.get(name, name) in context.plan.get("fetched", ()):
            yield Evidence(
                severity="note",
                name=what,
                seen=reason,
                reference=wanted,
                why="The values that depend on it are missing in this plan.",
                fix="none needed: a run downloads it; `check --online` shows the size",
            )
            continue
        yield Evidence(
            name=what,
            seen=reason,
            reference=wanted,
            why="The values that depend on it are missing in this plan, and a run would stop there."
            if kind != "evaluate"
            else "A run opens its evaluation data before it trains, and would stop there.",
            fix="as said; the rest of the plan holds",
        )
