"""BEiT-3 with a head for visual question answering.

Shapes: B pairs of image and question, P = 1 + patches, T tokens, S side of an image in pixels, W width.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from collotype.families.beit3.config import MEAN, STD, Beit3Config
from collotype.families.beit3.encoder import Beit3Encoder, Streams
from collotype.families.beit3.tokenizer import Beit3Tokenizer
from collotype.families.beit3.transforms import squashed
from collotype.runtime.device import room_on
from collotype.runtime.digest import state_digest
from collotype.runtime.errors import UserError
from collotype.runtime.pixels import normalised

BATCH = 16
INIT_STD = 0.02
PLACES_STD = 0.5


class VisionEmbedding(nn.Module):
    """Patches as vectors, behind a place that stands for the whole image and that the answer is read from."""

    def __init__(self, config: Beit3Config):
        super().__init__()
        self.proj = nn.Conv2d(3, config.hidden_size, config.patch_size, stride=config.patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        # of pretraining; published files have it, and here nothing is masked
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size), requires_grad=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, P, W]."""
        patches = self.proj(pixels.to(self.proj.weight.dtype)).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(patches), -1, -1).to(patches.dtype), patches], dim=1)


class Beit3Backbone(nn.Module):
    """Embeddings and encoder, without a head."""

    def __init__(self, config: Beit3Config):
        super().__init__()
        self.text_embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.vision_embed = VisionEmbedding(config)
        self.encoder = Beit3Encoder(config)
        nn.init.normal_(self.text_embed.weight, std=config.hidden_size**-0.5)

    def forward(self, pixels: Tensor, ids: Tensor, mask: Tensor, only_first: bool = False) -> Streams:
        """States of patches [B, P, W] and of words [B, T, W]; T is that of the longest question.

        Args:
            only_first: of the place the answer is read from alone, [B, 1, W], and of no word.
        """
        states: Streams = self.encoder(*self.embedded(pixels, ids, mask), only_first)
        return states

    def embedded(self, pixels: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the encoder takes: patches, words, and which of them are there."""
        # words first: on a GPU their length is waited for, and then nothing else is yet
        length, padded = measure(mask)
        words = self.text_embed(ids[:, :length])
        patches = self.vision_embed(pixels)
        if not padded:
            return patches, words, None
        keys = torch.cat([mask.new_ones(patches.shape[:2]), mask[:, :length]], dim=1)
        return patches, words, keys[:, None, None]


def measure(mask: Tensor) -> tuple[int, bool]:
    """Tokens of the longest question of a bool mask [B, T], and whether others are shorter."""
    ends = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).max()
    length, real = torch.stack([ends, mask.sum()]).tolist()
    return length, real < length * len(mask)


class Pooler(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dense = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, P, W] -> [B, W]: the first place."""
        return torch.tanh(self.dense(self.norm(x[:, 0])))


def answer_head(width: int, num_answers: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, 2 * width), nn.LayerNorm(2 * width), nn.GELU(), nn.Linear(2 * width, num_answers)
    )


def initialize(module: nn.Module) -> None:
    """Linear layers as published: normal numbers, those beyond one deviation drawn again."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=INIT_STD, a=-INIT_STD, b=INIT_STD)
            nn.init.zeros_(layer.bias)


@torch.no_grad()
def draw_at_unit_scale(model: "Beit3") -> None:
    """For training from random weights: words and linear layers that keep the scale of what they are given.

    Drawn as published, words have a tenth of their places' deviation, and a layer gives an eighth of what it is given
    (at 128 numbers); pretraining gets over that, 700 steps do not: the model then learns which answer goes with which
    words, and does not look at the image (docs/benchmarks.md).
    """
    nn.init.normal_(model.beit3.text_embed.weight)
    for places in model.beit3.encoder.embed_positions.parameters():
        nn.init.normal_(places, std=PLACES_STD)
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=model.config.hidden_size**-0.5)


class Beit3(nn.Module):
    """Scores of all answers, float32 whatever the model computes in; parameters have the names of published files.

    Args:
        answer_list: the answers' names; None: they are known by number only.
    """

    events: Sequence[dict[str, Any]] = ()
    """What its file is to be told for."""

    def __init__(
        self,
        config: Beit3Config,
        tokenizer: Beit3Tokenizer,
        answer_list: Sequence[str] | None = None,
    ):
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.answer_list = None if answer_list is None else tuple(answer_list)
        self.beit3 = Beit3Backbone(config)
        self.pooler = Pooler(config.hidden_size)
        self.head = answer_head(config.hidden_size, config.num_answers)
        initialize(self)

    def forward(self, pixels: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Logits [B, answers]: of each answer by itself, for several may be right.

        Args:
            pixels: [B, 3, S, S]: bytes, which are normalised here, or floats, which are already.
            ids: int64 [B, T].
            mask: bool [B, T], true where a token is real. What follows the longest question is left out, and padding is
                attended by nothing, so neither changes a logit.

        Raises:
            UserError: images of another size than the model's.
        """
        states = self.beit3(self.scaled(pixels), ids, mask, only_first=True)
        # joined, though no word is left, so that every weight that is trained has a gradient
        logits: Tensor = self.head(self.pooler(torch.cat(states, dim=1)))
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def scaled(self, pixels: Tensor) -> Tensor:
        side = self.config.image_size
        if pixels.shape[2:] != (side, side):
            raise UserError(
                f"The images have {pixels.shape[3]} × {pixels.shape[2]} pixels, but the model takes {side} × {side}; "
                "scale them, or load the model with another image_size."
            )
        return normalised(pixels, MEAN, STD)

    def attention(self, pixels: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Where the answer is read from: float32 [B, S / patch, S / patch], each patch's share of the attention with
        which the last block's one query looks around, the mean of its heads.

        An image's shares sum to less than one: the rest went to the words, and to the query's own place.
        """
        shares: Tensor = self.beit3.encoder.shares(*self.beit3.embedded(self.scaled(pixels), ids, mask))
        side = self.config.side
        attention: Tensor = shares[:, 1 : 1 + side**2].unflatten(1, (side, side))
        return attention

    def blocks(self) -> list[nn.Module]:
        """The repeated layers from the input on."""
        return list(self.beit3.encoder.layers)

    @property
    def device(self) -> torch.device:
        return self.beit3.vision_embed.cls_token.device

    def digest(self) -> str:
        """Of architecture, vocabulary, answers and weights: what decides an answer."""
        vocabulary = hashlib.sha256(self.tokenizer.vocabulary.content).hexdigest() if self.tokenizer else None
        facts = json.dumps([self.config.to_dict(), vocabulary, self.answer_list], sort_keys=True)
        return hashlib.sha256((facts + state_digest(self)).encode()).hexdigest()

    def answers(
        self,
        images: Sequence[Image.Image],
        questions: Sequence[str],
        top: int = 5,
        batch_size: int = BATCH,
        cut: bool = False,
    ) -> list[list[tuple[str, float]]]:
        """The `top` answers to each question about the image in the same place, the likeliest first.

        Each comes with the probability that it is right (a sigmoid: those of a question need not sum to one).

        Args:
            cut: leave out of a question what is beyond the limit, as training does.

        Raises:
            UserError: not as many images as questions, a question is longer than the limit and not to be cut or has
                words a closed vocabulary has not, or the model does not know its answers' names.
        """
        if self.answer_list is None:
            raise UserError(
                "This model has no names for its answers; load it with the answer2label.txt that it was trained with."
            )
        top = min(top, len(self.answer_list))
        found: list[list[tuple[str, float]]] = []
        for logits in self._in_batches(self, images, questions, batch_size, cut):
            for probabilities, numbers in zip(*logits.sigmoid().topk(top), strict=True):
                named = zip(numbers.tolist(), probabilities.tolist(), strict=True)
                found.append([(self.answer_list[number], probability) for number, probability in named])
        return found

    def attention_maps(
        self, images: Sequence[Image.Image], questions: Sequence[str], batch_size: int = BATCH, cut: bool = False
    ) -> Tensor:
        """`attention` for images and questions: float32 [n, S / patch, S / patch] on the CPU.

        Raises:
            UserError: as of `answers`.
        """
        maps = list(self._in_batches(self.attention, images, questions, batch_size, cut))
        return torch.cat(maps).cpu() if maps else torch.zeros(0, self.config.side, self.config.side)

    @torch.inference_mode()
    def _in_batches(
        self,
        compute: Callable[[Tensor, Tensor, Tensor], Tensor],
        images: Sequence[Image.Image],
        questions: Sequence[str],
        batch_size: int,
        cut: bool,
    ) -> Iterator[Tensor]:
        if len(images) != len(questions):
            raise UserError(f"There are {len(images)} images for {len(questions)} questions; give one for each.")
        self.eval()
        with room_on(self.device, "take a smaller batch_size"):
            for at in range(0, len(questions), batch_size):
                here = slice(at, at + batch_size)
                ids, mask = self.tokenizer.batch(questions[here], cut)
                pixels = torch.stack([squashed(image, self.config.image_size) for image in images[here]])
                yield compute(*(tensor.to(self.device) for tensor in (pixels, ids, mask)))
