"""A task small enough to compute with in float64: two embeddings contrasted, or each example by itself."""

import os
import signal
from typing import Any

import torch
from torch import nn

from collotype.losses.contrastive import Vectors, score_all
from collotype.losses.registry import make_loss
from collotype.recipe import Recipe, load_recipe
from collotype.runtime.errors import UserError
from collotype.runtime.seeds import derive_seed, seed_torch
from collotype.training.engine import Hooks
from collotype.training.task import Batch, Loss, Outputs

EXAMPLES = 24


def toy_recipe(**train: Any) -> Recipe:
    changes = {f"train.{key}": value for key, value in {"precision": "fp64", "batch": 8, "steps": 6, **train}.items()}
    return load_recipe("desk-colpali", {"evaluate": [], "expect": [], "train.checkpoint_every": 100, **changes})


class ToyDataset:
    """Rows of ragged random vectors: (left [3, 4], right [2 to 5, 4])."""

    regions, left_out = (), 0

    def __len__(self) -> int:
        return EXAMPLES

    def example(self, row: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(derive_seed("toy", row))
        make = lambda n: torch.randn(n, 4, generator=generator, dtype=torch.float64)  # noqa: E731
        return make(3), make(2 + row % 4)

    def fingerprint(self) -> str:
        return "toy"


class ToyTask:
    """Late interaction between two small projections; `coupled=False` squares each example's own score instead."""

    def __init__(self, recipe: Recipe, coupled: bool = True, dropout: float = 0.0):
        self.recipe, self.couples_examples, self.dropout = recipe, coupled, dropout

    def build(self) -> nn.Module:
        seed_torch(self.recipe.train.seed, "init")
        return nn.Sequential(nn.Linear(4, 6), nn.Dropout(self.dropout), nn.Tanh(), nn.Linear(6, 5))

    batch_norm_group = None
    undecayed = ()

    def extra_digests(self) -> dict[str, str]:
        return {}

    def after_step(self, model: nn.Module) -> None:
        pass

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        return list(model)[:1]

    def head(self, model: nn.Module) -> nn.Module:
        return model[-1]

    def datasets(self) -> list[ToyDataset]:
        return [ToyDataset()]

    def collate(self, examples: list) -> Batch:
        left, right = zip(*examples, strict=True)
        lengths = torch.tensor([len(vectors) for vectors in right])
        padded = nn.utils.rnn.pad_sequence(list(right), batch_first=True)
        return {"left": torch.stack(left), "right": padded, "mask": torch.arange(padded.shape[1]) < lengths[:, None]}

    def outputs(self, model: nn.Module, batch: Batch) -> Outputs:
        return {"left": model(batch["left"]), "right": model(batch["right"]), "mask": batch["mask"]}

    def loss(self, outputs: Outputs) -> Loss:
        ones = torch.ones(outputs["left"].shape[:2], dtype=torch.bool)
        scores = score_all(Vectors(outputs["left"], ones), Vectors(outputs["right"], outputs["mask"]))
        if self.couples_examples:
            return Loss(
                make_loss("infonce", temperature=0.5).in_batch(scores), {"mean_score": float(scores.detach().mean())}
            )
        return Loss(scores.diagonal().square().mean(), {"mean_score": float(scores.detach().diagonal().mean())})


def stop_at(step: int | None) -> Hooks:
    """Asks this process to stop after that step, as a user or a cluster would."""
    return Hooks(on_step=lambda row: os.kill(os.getpid(), signal.SIGTERM) if row["step"] == step else None)


class BrokenDataset(ToyDataset):
    def example(self, row: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        raise UserError("row 1 is broken")


class BrokenTask(ToyTask):
    """Data that cannot be read, found out while reading an example or while collating."""

    def __init__(self, recipe: Recipe, place: str):
        super().__init__(recipe)
        self.place = place

    def datasets(self) -> list[ToyDataset]:
        return [BrokenDataset() if self.place == "example" else ToyDataset()]

    def collate(self, examples: list) -> Batch:
        if self.place == "collate":
            raise UserError("row 1 is broken")
        return super().collate(examples)
