"""What is not here, and so cannot be known."""

from collections.abc import Iterator

from collotype.check.case import Case
from collotype.check.rules.rule import Seen, rule

WHAT = {
    "weights": ("weights not here", "the weights that training starts from"),
    "model": ("shape of the model unknown", "a model whose shape can be read"),
    "data.train": ("training data not here", "data that can be read"),
    "room": ("no room for what a run fetches", "a disk with room for it"),
    "evaluate": ("evaluation data not here", "data that can be read"),
}


@rule("not here", "blocks", "this machine", training=False)
def not_here(case: Case) -> Iterator[Seen]:
    for name, reason in case.plan.get("unknown", {}).items():
        kind = "evaluate" if name.startswith("evaluate") else name
        what, wanted = WHAT.get(kind, (f"{name} unknown", "a value"))
        # the shape comes with the weights
        if {"model": "weights"}.get(name, name) in case.plan.get("fetched", ()):
            yield Seen(
                severity="note",
                name=what,
                seen=reason,
                reference=wanted,
                why="What depends on it is left open in this plan.",
                fix="none needed, a run fetches it; `check --online` says how much that is",
            )
            continue
        yield Seen(
            name=what,
            seen=reason,
            reference=wanted,
            why="What depends on it is left open in this plan, and a run stops there."
            if kind != "evaluate"
            else "A run opens what it is measured on before it trains, and stops there.",
            fix="as said; the rest of the plan holds",
        )
