"""`collotype convert`."""

from pathlib import Path
from typing import Annotated

import typer

from collotype.cli.options import Activation, Answers, Base, ModelSource, Preset, Tokenizer


def convert(
    model: ModelSource,
    to: Annotated[str, typer.Option(help="A layout of its family (`collotype list layouts`).")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; it must not be there yet.")],
    preset: Preset = None,
    base: Base = None,
    activation: Activation = None,
    tokenizer: Tokenizer = None,
    answers: Answers = None,
) -> None:
    """Write a model, in whatever layout it is, in another library's, with a model card; what was written is read again
    and has to be equal."""
    from collotype import families

    options = {"preset": preset, "base": base, "activation": activation, "tokenizer": tokenizer, "answers": answers}
    print("\n".join([f"{to}: {out}", *families.export(model, to, out, **options)]))
