"""Recipe sections for commands that only evaluate, and lists of words."""

from collections.abc import Sequence

from collotype.importers.arguments import Value
from collotype.importers.mapping import NOT_GIVEN, MappingLedger
from collotype.recipe.load import BUILTIN, parse_yaml


def take_training(ledger: MappingLedger, name: str, sections: Sequence[str]) -> None:
    published = parse_yaml((BUILTIN / f"{name}.yaml").read_text(), name)
    for section in sections:
        if section in published:
            ledger.recipe(section, published[section])
    ledger.leave(
        "train",
        f"the command only evaluates; the training settings here are those of {name}, because a recipe needs some",
        NOT_GIVEN,
    )


def listed(ledger: MappingLedger, name: str) -> list[str]:
    """mteb takes several words, and several in one word with commas."""
    value: Value | None = ledger.given.get(name)
    words = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [part.strip() for word in words for part in str(word).split(",") if part.strip()]
