"""`collotype export`."""

from pathlib import Path
from typing import Annotated

import typer

from collotype.cli.options import Activation, Base, ModelSource, Preset


def export(
    model: ModelSource,
    to: Annotated[str, typer.Option(help="A layout of its family (`collotype list layouts`).")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; it must not be there yet.")],
    preset: Preset = None,
    base: Base = None,
    activation: Activation = None,
) -> None:
    """Write a model in another library's layout, with a model card."""
    from collotype import families

    families.export(model, to, out, preset=preset, base=base, activation=activation)
    print(f"{to}: {out}")
