"""The content of a checkpoint under our names, and the model made from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from collotype.families.beit3.config import Beit3Config
from collotype.families.beit3.model import Beit3, Pooler, answer_head, initialize
from collotype.families.beit3.sizes import UNUSED_ROWS
from collotype.families.beit3.tokenizer import Beit3Tokenizer
from collotype.families.shared.checkpoints import fill
from collotype.runtime.errors import UserError
from collotype.runtime.tensor_files import parameters_on_meta
from collotype.runtime.weight_checks import unsound

PLACES = "beit3.encoder.embed_positions.A.weight"
HEAD = ("pooler.", "head.")
"""What is above the backbone, of a model that answers questions."""


@dataclass(frozen=True)
class Beit3Checkpoint:
    """A BEiT-3 as it lies in a folder or file; `tensors` have the published names and the types of the file."""

    config: Beit3Config
    tokenizer: Beit3Tokenizer
    answer_list: tuple[str, ...] | None
    tensors: Mapping[str, Tensor]
    origin: str
    left_out: tuple[str, ...] = ()
    """Keys of the file that belong to heads of other tasks."""
    new_head: bool = False
    """There is none among the tensors: `model` draws one."""

    def __post_init__(self) -> None:
        rows, wanted = self.tokenizer.vocab_size, self.config.vocab_size
        if rows != wanted:
            raise UserError(
                f"{self.origin} has {wanted:,} word embeddings, but {self.tokenizer.vocabulary.file_name} has "
                f"{rows:,} tokens; give the vocabulary it was trained with."
            )
        if self.answer_list is not None and len(self.answer_list) != self.config.num_answers:
            raise UserError(
                f"{self.origin} has {self.config.num_answers:,} answers, but {len(self.answer_list):,} names were "
                "given; give the list it was trained with, or train a new head for these names (model.new_head)."
            )

    def model(self, dtype: torch.dtype | None = torch.float32) -> Beit3:
        """The model in evaluation mode, on the CPU, in `dtype` (none: as in the file). A new head is drawn from
        torch's random numbers, in float32 unless `dtype` says another.

        Raises:
            UserError: weights are missing or left over.
        """
        with parameters_on_meta():
            model = Beit3(self.config, self.tokenizer, self.answer_list)
        tensors = {**self.tensors, **(drawn_head(self.config) if self.new_head else {})}
        model.events = unsound(self.tensors, self.origin)
        return fill(model, tensors, self.origin, dtype)

    def with_answers(self, answers: Sequence[str]) -> "Beit3Checkpoint":
        """With names for the answers of its head.

        Raises:
            UserError: not as many as it has, or it has others.
        """
        if self.answer_list not in (None, tuple(answers)):
            raise UserError(
                f"{self.origin} has its own list of answers, which differs from the given one; leave out the given "
                "one, or train a new head for it (model.new_head)."
            )
        return replace(self, answer_list=tuple(answers))

    def with_new_head(self, answers: Sequence[str]) -> "Beit3Checkpoint":
        """With pooler and head for these answers, yet to be drawn, in place of any that are there."""
        config = replace(self.config, num_answers=len(answers))
        kept = {name: tensor for name, tensor in self.tensors.items() if not name.startswith(HEAD)}
        return replace(self, config=config, answer_list=tuple(answers), tensors=kept, new_head=True)

    def at(self, image_size: int) -> "Beit3Checkpoint":
        """For images of another size: the places of patches are interpolated.

        Raises:
            UserError: the size is not a multiple of the patch size.
        """
        if image_size == self.config.image_size:
            return self
        config = replace(self.config, image_size=image_size)
        places = resampled(self.tensors[PLACES], config.side)
        return replace(self, config=config, tensors={**self.tensors, PLACES: places})


def drawn_head(config: Beit3Config) -> dict[str, Tensor]:
    head = answer_head(config.hidden_size, config.num_answers)
    drawn = nn.ModuleDict({"pooler": Pooler(config.hidden_size), "head": head})
    initialize(drawn)
    return drawn.state_dict()


def resampled(places: Tensor, side: int) -> Tensor:
    """A table of places [2 unused + 1 + n², W] for side² patches, bicubic as published."""
    kept, grid = places[: UNUSED_ROWS + 1], places[UNUSED_ROWS + 1 :]
    old = math.isqrt(len(grid))
    square = grid.float().T.reshape(1, -1, old, old)
    new = functional.interpolate(square, size=(side, side), mode="bicubic", align_corners=False)
    return torch.cat([kept, new.flatten(2)[0].T.to(places.dtype)])
