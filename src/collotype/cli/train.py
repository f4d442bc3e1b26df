"""`collotype train`."""

from collotype.cli.options import Out, Overwrite, RecipeName, Resume, Set, Smoke, Track


def train(
    recipe: RecipeName,
    out: Out = None,
    set_: Set = [],  # noqa: B006 - typer makes a fresh list
    smoke: Smoke = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    track: Track = [],  # noqa: B006 - typer makes a fresh list
) -> None:
    """Train a recipe's model without evaluating it."""
    from collotype import runner
    from collotype.cli.progress import Terminal
    from collotype.recipe.load import parse_overrides

    terminal = Terminal()
    overrides = {**parse_overrides(set_), "evaluate": [], "expect": []}
    try:
        runner.run(recipe, out, overrides, resume, overwrite, terminal, track, smoke)
    finally:
        terminal.close()
