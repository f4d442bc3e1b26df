"""`collotype export`."""

from pathlib import Path
from typing import Annotated

import typer

from collotype.cli.options import Activation, Answers, Base, ModelSource, Preset, Tokenizer


def export(
    model: ModelSource,
    to: Annotated[str, typer.Option(help="A layout of its family (`collotype list layouts`).")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; it must not be there yet.")],
    preset: Preset = None,
    base: Base = None,
    activation: Activation = None,
    tokenizer: Tokenizer = None,
    answers: Answers = None,
) -> None:
    """Write a model in another library's layout, with a model card."""
    from collotype import families

    options = {"preset": preset, "base": base, "activation": activation, "tokenizer": tokenizer, "answers": answers}
    families.export(model, to, out, **options)
    print(f"{to}: {out}")
