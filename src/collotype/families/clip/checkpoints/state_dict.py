"""Weights by themselves: open_clip's training checkpoints (`epoch_N.pt`) and bare state dicts.

Such a file says neither its activation nor its numbers of heads. Shapes tell the architecture if it is one of the named
sizes; the activation has to be named.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from collotype.families.clip.checkpoints.checkpoint import ClipCheckpoint, plain, require_vocabulary
from collotype.families.clip.config import (
    SIGLIP_LOGIT_BIAS,
    SIGLIP_LOGIT_SCALE,
    SIZES,
    Activation,
    ClipConfig,
    sized,
)
from collotype.families.clip.tokenizer import bpe_tokenizer
from collotype.runtime.errors import UserError
from collotype.runtime.tensor_files import read_state


def read(file: Path, activation: Activation | None) -> ClipCheckpoint:
    """
    Raises:
        UserError: no activation is named, the file is damaged or no CLIP of a known size, or its vocabulary is not
            CLIP's.
    """
    tensors = plain(read_state(file), str(file))
    if activation is None:
        raise UserError(
            f"{file} does not say whether it was trained with GELU or QuickGELU, and the wrong one silently costs "
            "accuracy; set the activation to gelu or quick_gelu (quick_gelu for OpenAI's models, and open_clip's whose "
            "name ends in -quickgelu)."
        )
    config = recognise(tensors, activation, str(file))
    tokenizer = bpe_tokenizer(config.text_cfg.context_length)
    require_vocabulary(config, tokenizer, str(file))
    return ClipCheckpoint(config, tokenizer, tensors, str(file))


def recognise(tensors: Mapping[str, Tensor], activation: Activation, origin: str) -> ClipConfig:
    """The configuration of the named size that these shapes are, at any resolution and with any vocabulary.

    Raises:
        UserError: it is none: heads, which no shape tells, would have to be guessed.
    """
    try:
        found = shapes(tensors)
    except (KeyError, IndexError) as error:
        raise UserError(
            f"{origin} contains no CLIP: {error.args[0]} is not among its {len(tensors)} tensors."
        ) from error
    bias = "logit_bias" in tensors
    for name in SIZES:
        config = sized(name, activation)
        if all(getattr(config.vision_cfg, field) == value for field, value in found["vision"].items()) and (
            config.embed_dim == found["embed_dim"]
            and (config.text_cfg.width, config.text_cfg.layers) == (found["text"]["width"], found["text"]["layers"])
        ):
            return replace(
                config,
                vision_cfg=replace(config.vision_cfg, image_size=image_size(config, found["places"])),
                text_cfg=replace(config.text_cfg, **found["text"]),
                init_logit_scale=SIGLIP_LOGIT_SCALE if bias else config.init_logit_scale,
                init_logit_bias=SIGLIP_LOGIT_BIAS if bias else None,
            )
    raise UserError(
        f"{origin} is a CLIP of an unknown size ({found['vision']}, {found['text']}, {found['embed_dim']} numbers), so "
        "its number of heads is unknown; give a folder with its open_clip_config.json. The known sizes are "
        f"{', '.join(SIZES)}."
    )


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the shapes tell."""
    text = {
        "vocab_size": tensors["token_embedding.weight"].shape[0],
        "width": tensors["token_embedding.weight"].shape[1],
        "context_length": tensors["positional_embedding"].shape[0],
        "layers": count(tensors, r"transformer\.resblocks\.(\d+)\."),
    }
    stem = tensors["visual.conv1.weight"]
    if "visual.attnpool.positional_embedding" in tensors:
        stages = tuple(count(tensors, rf"visual\.layer{stage}\.(\d+)\.") for stage in (1, 2, 3, 4))
        vision = {"layers": stages, "width": 2 * stem.shape[0]}
        places = tensors["visual.attnpool.positional_embedding"].shape[0]
    else:
        layers = count(tensors, r"visual\.transformer\.resblocks\.(\d+)\.")
        vision = {"layers": layers, "width": stem.shape[0], "patch_size": stem.shape[-1]}
        places = tensors["visual.positional_embedding"].shape[0]
    return {"embed_dim": tensors["text_projection"].shape[1], "vision": vision, "text": text, "places": places}


def count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for key in tensors if (match := re.match(pattern, key))})


def image_size(config: ClipConfig, places: int) -> int:
    """The size of images of which the tower sees so many places (one of them stands for the whole): the named one,
    unless the positions are of another."""
    vision = config.vision_cfg
    side = round((places - 1) ** 0.5)
    return vision.image_size if vision.image_size // vision.patch == side else side * vision.patch
