"""Rules on prompts and visual budgets."""

from collections.abc import Iterator

from collotype.preflight.context import CheckContext
from collotype.preflight.rules.rule import Evidence, rule


@rule("prompts of another generation", "may differ", "mteb pull request 5106; docs/retrievers.md", training=False)
def another_generation(context: CheckContext) -> Iterator[Evidence]:
    said, has = context.plan.get("preset_of_weights"), context.plan.get("preset")
    if said and said != has:
        yield Evidence(
            seen=f"model.preset {has}",
            reference=f"{said}, with which {context.recipe.model.weights} was trained",
            why="The texts around a query changed between versions under the same name; a checkpoint is only itself "
            "with its own.",
            effect='restoring "Query: " narrowed a gap in ColQwen2\'s reproduction; the pull request has the figures',
            fix=f"--set model.preset={said}",
        )


@rule("a second <bos> in the page prompt", "may differ", "colpali issue 345", training=False)
def double_bos(context: CheckContext) -> Iterator[Evidence]:
    if context.plan.get("preset") == "colpali-engine-0.3.13-transformers-5":
        yield Evidence(
            seen="1,031 vectors a page, two <bos> before the prompt",
            reference="1,030, as the published checkpoints were trained with",
            why="transformers 5 puts another <bos> before the prompt that has one.",
            fix="--set model.preset=colpali-engine-0.3.13",
        )


@rule("visual budget of another size", "will differ", "arXiv 2407.01449, appendix; colpali-engine's configurations")
def visual_budget(context: CheckContext) -> Iterator[Evidence]:
    asked, has = context.upstream.get("max_visual_tokens"), context.plan.get("max_visual_tokens")
    if asked and has and asked != has:
        yield Evidence(
            seen=f"{has} visual tokens a page",
            reference=f"{asked} in the imported config",
            why="More tokens see smaller print, and scores of pages of different budgets are not comparable.",
            fix=f"--set model.max_visual_tokens={asked}",
        )
