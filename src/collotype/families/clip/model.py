"""The CLIP model: an image tower and a text tower with a common embedding space.

Shapes: B images or captions, T tokens, S side of an image in pixels, D embedding.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from collotype.families.clip.config import ClipConfig
from collotype.families.clip.resnet import ModifiedResNet
from collotype.families.clip.tokenizer import ClipTokenizer
from collotype.families.clip.transformer import Transformer, VisionTransformer
from collotype.families.clip.transforms import EvaluationTransform
from collotype.runtime.device import room_on
from collotype.runtime.digest import state_digest
from collotype.runtime.pixels import normalised

IMAGE_BATCH, TEXT_BATCH = 64, 256
T = TypeVar("T")


class Clip(nn.Module):
    """Embeddings are L2-normalised, float32 whatever the towers compute in. Parameters have the names of published
    checkpoints."""

    events: Sequence[dict[str, Any]] = ()
    """What its file is to be told for."""

    def __init__(self, config: ClipConfig, tokenizer: ClipTokenizer):
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        vision, text = config.vision_cfg, config.text_cfg
        self.visual: ModifiedResNet | VisionTransformer
        if vision.is_resnet:
            self.visual = ModifiedResNet(vision, config.embed_dim)
        else:
            self.visual = VisionTransformer(vision, config.embed_dim, config.activation)
        self.token_embedding = nn.Embedding(text.vocab_size, text.width)
        self.positional_embedding = nn.Parameter(torch.empty(text.context_length, text.width))
        self.transformer = Transformer(
            text.width, text.heads, text.layers, text.mlp_ratio, config.activation, causal=True
        )
        self.ln_final = nn.LayerNorm(text.width)
        self.text_projection = nn.Parameter(torch.empty(text.width, config.embed_dim))
        self.logit_scale = nn.Parameter(torch.tensor(config.init_logit_scale))
        self.logit_bias = None if config.init_logit_bias is None else nn.Parameter(torch.tensor(config.init_logit_bias))
        self.transformer.initialize()
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.text_projection, std=text.width**-0.5)

    def forward(self, pixels: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [B, D] of images and of captions, as the two methods below give them."""
        # captions first: on a GPU their length is waited for, and then nothing else is yet
        texts = self.text_features(ids)
        return self.image_features(pixels), texts

    def image_features(self, pixels: Tensor) -> Tensor:
        """[B, D] of `pixels` [B, 3, S, S]: bytes, which are normalised here, or floats, which are already."""
        prepare = self.config.preprocess_cfg
        pixels = normalised(pixels, prepare.mean, prepare.std)
        return unit(self.visual(pixels.to(next(self.visual.parameters()).dtype)))

    def text_features(self, ids: Tensor) -> Tensor:
        """[B, D] of token ids int64 [B, T], each row's largest id its end.

        What is after the last end of the batch is left out: a token sees only those before it, so this is exact.
        """
        ends = ids.argmax(dim=1)
        ids = ids[:, : int(ends.max()) + 1]
        x = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]
        x = self.transformer(x)[torch.arange(len(ids), device=ids.device), ends]
        return unit(self.ln_final(x) @ self.text_projection)

    def blocks(self) -> list[nn.Module]:
        """The repeated layers from the input on: the image tower's, then the captions'."""
        return [*self.visual.blocks(), *self.transformer.resblocks]

    @property
    def width(self) -> int:
        """D, the numbers of an embedding."""
        return self.config.embed_dim

    @property
    def device(self) -> torch.device:
        return self.logit_scale.device

    def digest(self) -> str:
        """Of architecture, preprocessing, tokenizer and weights: what decides an embedding."""
        facts = json.dumps([self.config.to_dict(), self.tokenizer.to_str()], sort_keys=True)
        return hashlib.sha256((facts + state_digest(self)).encode()).hexdigest()

    def encode_images(self, images: Sequence[Image.Image], batch_size: int = IMAGE_BATCH) -> Tensor:
        """float32 [n, D] on the CPU."""
        prepare, size = self.config.preprocess_cfg, self.config.vision_cfg.image_size
        transform = EvaluationTransform(size, prepare.mean, prepare.std, prepare.interpolation, prepare.resize_mode)
        return self._in_batches(
            images, batch_size, lambda batch: self.image_features(torch.stack([*map(transform, batch)]).to(self.device))
        )

    def encode_texts(self, texts: Sequence[str], batch_size: int = TEXT_BATCH, cut: bool = False) -> Tensor:
        """float32 [n, D] on the CPU.

        Args:
            cut: leave out of a text what is beyond the context, as training does.

        Raises:
            UserError: a text is longer than that and not to be cut, or has words a closed vocabulary does not.
        """
        return self._in_batches(
            texts, batch_size, lambda batch: self.text_features(self.tokenizer.batch(batch, cut).to(self.device))
        )

    def _in_batches(self, inputs: Sequence[T], batch_size: int, encode: Callable[[Sequence[T]], Tensor]) -> Tensor:
        self.eval()
        with torch.inference_mode(), room_on(self.device, "take a smaller batch_size"):
            done = [encode(inputs[at : at + batch_size]).float().cpu() for at in range(0, len(inputs), batch_size)]
        return torch.cat([torch.zeros(0, self.width), *done])


def unit(features: Tensor) -> Tensor:
    """Rows of length one, in float32 at least."""
    return functional.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=-1)
