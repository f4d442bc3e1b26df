"""`collotype import`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collotype.cli.options import Json

if TYPE_CHECKING:
    from collotype.importers import Imported


def import_(
    foreign: Annotated[
        str, typer.Argument(metavar="FOREIGN", help="A config file, a script, or a command; - reads stdin.")
    ],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File for the recipe [default: stdout].")] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many GPUs share a batch, if the command does not say.")
    ] = None,
    examples: Annotated[
        int | None, typer.Option(min=1, help="The number of training examples, if the command does not say.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert another tool's config or command to a recipe.

    Lists what could not be carried over. Nothing that the input names is run.
    """
    from collotype.importers import import_foreign
    from collotype.runtime.files import write_text

    imported = import_foreign(sys.stdin.read() if foreign == "-" else foreign, processes, examples)
    text = recipe_of(imported, foreign if len(foreign.split()) == 1 and foreign != "-" else "a command")
    if out:
        write_text(out, text)
    if as_json:
        found = asdict(imported)
        print(json.dumps({"recipe": found.pop("values"), **found}))
    elif out:
        print("\n".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("#")))
        print(f"recipe: {out}")
    else:
        print(text, end="")


def recipe_of(imported: "Imported", source: str) -> str:
    """The recipe as a file, with comments on where it is from and what is missing."""
    from collotype.importers.mapping import shown
    from collotype.recipe.load import as_yaml

    origin = imported.origin
    # foreign words stand in comments: a line break in them would end these
    lines = [
        f"{imported.values['name']}: imported from {origin.tool}: {shown(source)}",
        f"started with {origin.launcher} on {origin.processes} process{'es' * (origin.processes > 1)}",
        *(f"mind: {shown(one)}" for one in origin.assumed),
        *(f"  {key}: {shown(value)}" for key, value in origin.settings.items()),
    ]
    if imported.left_out:
        lines.append("left out:")
    reasons: dict[str, list[str]] = {}
    for one in imported.left_out:
        reasons.setdefault(one.reason, []).append(f"{shown(one.name)} = {shown(one.value)}")
    lines += [f"  {reason}: {', '.join(names)}" for reason, names in reasons.items()]
    return "".join(f"# {line}\n" for line in lines) + as_yaml(imported.values)
