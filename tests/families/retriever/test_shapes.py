"""Sizes that are counted without building them."""

import pytest

from collotype.families import task_for
from collotype.families.retriever.backbones import BACKBONES
from collotype.families.retriever.backbones.shapes import measure, shapes
from collotype.recipe import load_recipe


@pytest.mark.parametrize("name", [f"{row.name}/{size}" for row in BACKBONES.values() for size in row.sizes])
def test_the_table_of_shapes_is_what_transformers_builds(name: str) -> None:
    """Where this fails after a change of a size or of transformers, the module's docstring has the command."""
    row = BACKBONES[name.split("/")[0]]
    vocabulary = {token: number for number, token in enumerate(row.special_tokens)}
    assert shapes()[name] == measure(row, row.configure(row.sizes[name.split("/")[1]], vocabulary))


@pytest.mark.parametrize("recipe", ["colpali-paper", "bipali-paper", "colqwen2-v1.0"])
@pytest.mark.parametrize("projection", ["lora", "full"])
def test_the_parameters_of_a_plan_are_those_of_the_model(recipe: str, projection: str) -> None:
    task = task_for(load_recipe(recipe, {"model.lora.projection": projection}, smoke=True))
    sizes = [(weight.numel(), weight.requires_grad) for weight in task.build().parameters()]
    found = task.describe()
    assert found["parameters"] == sum(size for size, _ in sizes)
    assert found["trainable_parameters"] == sum(size for size, trained in sizes if trained)


def test_published_sizes_have_the_published_numbers_of_parameters() -> None:
    """Backbones without their tied heads, as transformers counts them."""
    paligemma, qwen = shapes()["paligemma/3b-448"], shapes()["qwen2-vl/2b"]
    assert paligemma.parameters + 257_216 * 2048 == 2_924_351_216
    assert qwen.parameters + 151_936 * 1536 == 2_208_985_600


SIGLIP_POOLING = 7_087_104
"""Parameters of ModernVBERT's vision tower that no retriever runs, and no row builds."""


@pytest.mark.parametrize(
    ("size", "words", "dim", "listed"),
    [
        ("qwen3.5/4b", 248_320 * 2560, 320, 4_540_085_056),  # VultronRetrieverCore
        ("qwen3.5/4b", 248_320 * 2560, 2048, 4_544_510_464),  # EVIE-4.5B
        ("qwen3.5/9b", 248_320 * 4096, 4096, 8_409_476_336),  # EVIE-8B
        ("qwen3.5/9b", 248_320 * 4096, 0, 8_392_695_024),  # pplx-embed-v2-late-9b, whose projection lies apart
        ("modernvbert/250m", 50_408 * 768, 0, 252_002_304 - SIGLIP_POOLING),  # colmodernvbert's backbone
    ],
)
def test_published_sizes_have_the_parameters_their_retrievers_are_listed_with(
    size: str, words: int, dim: int, listed: int
) -> None:
    shape, hidden = shapes()[size], {"qwen3.5/4b": 2560, "qwen3.5/9b": 4096}.get(size, 768)
    assert shape.parameters + words + (hidden + 1) * dim == listed
