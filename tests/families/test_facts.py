"""What a plan says of a model without torch is what torch builds."""

import pytest
from torch import nn

from collotype.families import facts_for, task_for
from collotype.families.beit3 import config as beit3
from collotype.families.beit3 import sizes as of_beit3
from collotype.families.beit3.model import Beit3
from collotype.families.clip import config as clip
from collotype.families.clip import sizes as of_clip
from collotype.families.clip.model import Clip
from collotype.recipe import builtin_names, load_recipe
from collotype.runtime.shapes import shapes_only


def counted(model: nn.Module) -> tuple[int, int]:
    """All weights, and those that are trained."""
    sizes = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


PLAIN = [name for name in builtin_names() if "study" not in name and "distill" not in name]


@pytest.mark.parametrize("name", PLAIN)
def test_a_plan_counts_the_weights_of_the_model_that_is_built(name: str) -> None:
    """In its smoke form: the same kind of model, small."""
    recipe = load_recipe(name, smoke=True)
    found = facts_for(recipe).describe()
    assert (found["parameters"], found["trainable_parameters"]) == counted(task_for(recipe).build())


@pytest.mark.parametrize("size", clip.SIZES)
def test_a_clip_of_any_size_is_counted_as_it_is_built(size: str) -> None:
    config = clip.sized(size, siglip=True)
    with shapes_only():
        model = Clip(config, None)
    assert of_clip.parameters(config) == counted(model)[0]
    assert of_clip.of_captions(config) == counted(model.transformer)[0]
    if config.vision_cfg.is_resnet:
        convolutions = [layer.weight.numel() for layer in model.visual.modules() if isinstance(layer, nn.Conv2d)]
        assert sorted(convolutions) == sorted(weights for _, weights, _ in of_clip.convolutions(config.vision_cfg))


@pytest.mark.parametrize("size", beit3.SIZES)
def test_a_beit3_of_any_size_is_counted_as_it_is_built(size: str) -> None:
    config = beit3.sized(size)
    with shapes_only():
        model = Beit3(config, None)
    assert of_beit3.parameters(config) == counted(model)
    assert of_beit3.of_block(config) * config.layers == counted(nn.ModuleList(model.blocks()))[0]
