"""The content of a checkpoint under our names, and the model made from it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from collotype.families.clip.config import ClipConfig
from collotype.families.clip.model import Clip
from collotype.families.clip.tokenizer import ClipTokenizer
from collotype.families.shared.checkpoints import fill
from collotype.runtime.errors import UserError
from collotype.runtime.tensor_files import WRAPPERS, only_once, parameters_on_meta
from collotype.runtime.weight_checks import unsound

TEXT_PREFIX = re.compile(r"^text\.(?=(transformer|token_embedding|ln_final)\.|(positional_embedding|text_projection)$)")
"""open_clip's CustomTextCLIP keeps the captions' tower under this prefix, the plain layout beside the other."""
NOT_RUN = re.compile(r"^(input_resolution|context_length|vocab_size|attn_mask|text\.attn_mask)$")
"""Keys of published files that are no weights: numbers of OpenAI's first files, and a table made on the fly."""
STEM = "visual.conv1.weight"
"""What every CLIP has, and by which it is found below a prefix."""
SCALARS = ("logit_scale", "logit_bias")


@dataclass(frozen=True)
class ClipCheckpoint:
    """A CLIP as it lies in a folder or file; `tensors` have the plain layout's names and the types of the file."""

    config: ClipConfig
    tokenizer: ClipTokenizer
    tensors: Mapping[str, Tensor]
    origin: str

    def model(self, dtype: torch.dtype | None = torch.float32) -> Clip:
        """The model in evaluation mode, on the CPU, in `dtype` (none: as in the file).

        Raises:
            UserError: weights are missing or left over.
        """
        with parameters_on_meta():
            model = Clip(self.config, self.tokenizer)
        model.events = unsound(self.tensors, self.origin)
        return fill(model, self.tensors, self.origin, dtype)


def at_size(contents: ClipCheckpoint, side: int) -> ClipCheckpoint:
    """The same weights for images of another size: the positions of the grid are interpolated, bicubic with
    antialiasing, as open_clip's `resize_pos_embed` does.

    Raises:
        UserError: it is a ResNet, whose positions open_clip does not interpolate.
    """
    vision, key = contents.config.vision_cfg, "visual.positional_embedding"
    if side == vision.image_size:
        return contents
    if vision.is_resnet:
        raise UserError(
            f"model.image_size is {side}, but {contents.origin} is a ResNet for {vision.image_size}, whose position "
            "embeddings cannot be interpolated; leave it out."
        )
    positions = contents.tensors[key]
    old, new = vision.image_size // vision.patch, side // vision.patch
    grid = positions[1:].float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = functional.interpolate(grid, size=(new, new), mode="bicubic", antialias=True, align_corners=False)
    grid = grid.permute(0, 2, 3, 1).reshape(new * new, -1).to(positions.dtype)
    config = replace(contents.config, vision_cfg=replace(vision, image_size=side))
    return replace(contents, config=config, tensors={**contents.tensors, key: torch.cat([positions[:1], grid])})


def plain(tensors: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    """The tensors that are a CLIP's weights and counts, under the plain layout's names.

    Raises:
        UserError: two keys mean the same weight.
    """
    bare = {key: WRAPPERS.sub("", key) for key in tensors}
    # Lightning keeps a model under the name of its attribute: model., net., clip.
    above = next((name.removesuffix(STEM) for name in bare.values() if name.endswith(STEM)), "")
    bare = {key: name.removeprefix(above) for key, name in bare.items()}
    used = {key: tensor for key, tensor in tensors.items() if not NOT_RUN.match(bare[key])}
    names = {key: TEXT_PREFIX.sub("", bare[key]) for key in used}
    only_once(names, origin)
    named = {names[key]: tensor for key, tensor in used.items()}
    # some publishers keep the scalars as vectors of one
    return named | {name: named[name].reshape(()) for name in SCALARS if name in named and named[name].numel() == 1}


def require_vocabulary(config: ClipConfig, tokenizer: ClipTokenizer, origin: str) -> None:
    """For layouts without a vocabulary of their own, which means CLIP's.

    Raises:
        UserError: the model's is of another size.
    """
    if config.text_cfg.vocab_size != tokenizer.vocab_size:
        raise UserError(
            f"{origin} has a vocabulary of {config.text_cfg.vocab_size:,} tokens, but CLIP's has "
            f"{tokenizer.vocab_size:,}; give a folder saved by Collotype, which contains its vocabulary."
        )
