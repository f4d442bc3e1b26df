"""Configurations: published sizes have their published counts, and what is not one is refused by name."""

import json
import re

import pytest
import torch

from collotype.families.beit3.config import SIZES, Beit3Config, sized
from collotype.families.beit3.model import Beit3
from collotype.runtime.errors import UserError

PARAMETERS = {"base": 228_110_649, "large": 682_985_529}
"""As the published code counts them, for 480 pixels and 3,129 answers."""


@pytest.mark.parametrize("size", PARAMETERS)
def test_published_sizes_have_their_published_counts(size: str) -> None:
    with torch.device("meta"):
        model = Beit3(sized(size), None)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[size]
    backbone = [key for key in model.state_dict() if key.startswith("beit3.")]
    assert len(backbone) == {"base": 487, "large": 967}[size]
    assert model.state_dict()["beit3.encoder.embed_positions.A.weight"].shape[0] == 903
    assert model.config.label == size


@pytest.mark.parametrize(("image_size", "rows"), [(224, 199), (384, 579), (768, 2307)])
def test_every_published_resolution_has_its_places(image_size: int, rows: int) -> None:
    with torch.device("meta"):
        model = Beit3(sized("base", image_size=image_size), None)
    assert len(model.beit3.encoder.embed_positions["A"].weight) == rows


def test_the_desk_size_is_for_a_desk() -> None:
    with torch.device("meta"):
        model = Beit3(sized("desk"), None)
    assert 1e6 < sum(parameter.numel() for parameter in model.parameters()) < 2e6


@pytest.mark.parametrize("size", SIZES)
def test_a_configuration_survives_json(size: str) -> None:
    config = sized(size, drop_path=0.1)
    assert Beit3Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.to_dict()["family"] == "beit3"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": 0}, "beit3.layers is 0"),
        ({"heads": 5}, "hidden_size 768 must be a multiple of heads 5"),
        ({"image_size": 490}, "image_size 490 of patch_size 16"),
        ({"drop_path": 1.0}, "beit3.drop_path is 1.0"),
        ({"max_text_tokens": 2}, "beit3.max_text_tokens is 2; it must be 3 to 1022"),
        ({"max_text_tokens": 1023}, "beit3.max_text_tokens is 1023"),
        ({"vocab_size": "64010"}, "beit3.vocab_size is '64010'"),
        ({"width": 3}, "unknown fields width"),
    ],
)
def test_what_cannot_be_built_is_refused(change: dict, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        sized("base", **change)


def test_what_is_no_size_is_named() -> None:
    with pytest.raises(UserError, match="Unknown BEiT-3 size 'giant'; the known sizes are base, large"):
        sized("giant")
    assert sized("base", heads=6).label == "custom"
