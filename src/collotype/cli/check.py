"""`collotype check`."""

import json

from collotype.cli.options import Json, RecipeName, Set, Smoke


def check(
    recipe: RecipeName,
    set_: Set = [],  # noqa: B006 - typer makes a fresh list
    smoke: Smoke = False,
    as_json: Json = False,
) -> None:
    """Show what a run will do and what will make its number differ: recipe, plan, findings. Nothing is trained."""
    from rich.console import Console

    from collotype import pipeline
    from collotype.cli.terminal import plan_table, print_findings
    from collotype.recipe import recipe_text
    from collotype.recipe.load import parse_overrides

    resolved, plan = pipeline.check(recipe, parse_overrides(set_), smoke)
    if as_json:
        print(json.dumps({"recipe": resolved.model_dump(), "plan": plan}))
        return
    print(recipe_text(resolved))
    Console().print(plan_table(plan))
    print_findings(Console(), plan)
