"""Configurations: published sizes have their published counts, and what is not one is refused by name."""

import json
import re

import pytest
import torch

from collotype.families.clip.config import SIZES, ClipConfig, sized
from collotype.families.clip.model import Clip
from collotype.runtime.errors import UserError

PARAMETERS = {"RN50": 102_007_137, "RN50x4": 178_300_601, "ViT-B-32": 151_277_313, "ViT-B-16": 149_620_737}
"""As open_clip counts them."""


@pytest.mark.parametrize("size", PARAMETERS)
def test_published_sizes_have_their_published_counts(size: str) -> None:
    with torch.device("meta"):
        model = Clip(sized(size), None)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[size]
    if size == "RN50":
        assert len(model.state_dict()) == 489
        assert sum(parameter.numel() for parameter in model.visual.parameters()) == 38_316_896


def test_the_desk_size_is_for_a_desk() -> None:
    with torch.device("meta"):
        model = Clip(sized("desk-rn", vocab_size=1000), None)
    assert 1.5e6 < sum(parameter.numel() for parameter in model.parameters()) < 3e6


@pytest.mark.parametrize("size", SIZES)
def test_a_configuration_survives_json(size: str) -> None:
    config = sized(size, "quick_gelu", siglip=True)
    assert ClipConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"embed_dim": 0}, "clip.embed_dim is 0"),
        ({"activation": "relu"}, "activation is 'relu'; the known ones are gelu, quick_gelu"),
        ({"width": 3}, "unknown fields width"),
        ({"vision_cfg": {"layers": [3, 4, 6]}}, "four stages"),
        ({"vision_cfg": {"layers": [3, 4, 6, 3], "width": 64, "image_size": 20}}, "image_size is 20"),
        ({"vision_cfg": {"patch_size": 15}}, "multiple of patch_size 15"),
        ({"vision_cfg": {"timm_model_name": "x"}}, "unknown fields timm_model_name"),
        ({"text_cfg": {"width": 60}}, "multiple of heads 8"),
        ({"text_cfg": {"layers": 2.5}}, "text_cfg.layers is 2.5"),
        ({"text_cfg": 3}, "text_cfg is 3"),
        ({"preprocess_cfg": {"mean": [0.5]}}, "three numbers"),
        ({"preprocess_cfg": {"resize_mode": "random"}}, "resize_mode is 'random'"),
    ],
)
def test_what_cannot_be_built_is_refused(change: dict, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        ClipConfig.from_dict({**sized("ViT-B-32").to_dict(), **change})


def test_what_is_left_out_is_named() -> None:
    with pytest.raises(UserError, match="activation"):
        ClipConfig.from_dict({"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}})
    with pytest.raises(UserError, match="Unknown CLIP size 'RN51'; the known sizes are RN50"):
        sized("RN51")
