"""`collotype convert`."""

from pathlib import Path
from typing import Annotated

import typer

from collotype.cli.options import Activation, Answers, Base, ModelSource, Preset, Tokenizer


def convert(
    model: ModelSource,
    to: Annotated[str, typer.Option(help="The layout to write (`collotype list layouts`).")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; it must not exist yet.")],
    preset: Preset = None,
    base: Base = None,
    activation: Activation = None,
    tokenizer: Tokenizer = None,
    answers: Answers = None,
) -> None:
    """Convert a model to another library's checkpoint layout.

    Writes a model card too, then reads the written model back and checks that it is equal.
    """
    from collotype import families

    options = {"preset": preset, "base": base, "activation": activation, "tokenizer": tokenizer, "answers": answers}
    print("\n".join([f"{to}: {out}", *families.export(model, to, out, **options)]))
