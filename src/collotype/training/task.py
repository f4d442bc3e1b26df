"""The interface between engine and families: the engine knows only tasks."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from collotype.evaluation.results import Measured
from collotype.runtime.world import ALONE, World
from collotype.training.facts import E, MapDataset, RecipeFacts

M = TypeVar("M", bound=nn.Module)
"""A family's model."""

Outputs = dict[str, Tensor]
"""What a model gives for a micro-batch: tensors with the examples in dimension 0. Further dimensions may differ between
micro-batches (padding): they are filled with zeros, masks with false."""

Batch = dict[str, Any]
"""Inputs of a micro-batch: nested dicts of tensors."""


@dataclass
class Loss:
    """A scalar, and what is worth writing down beside it."""

    value: Tensor
    metrics: dict[str, float] = field(default_factory=dict)
    unsound: list[int] = field(default_factory=list)
    """Where the loss is not a number: the places in the batch whose outputs are none."""


class Task(RecipeFacts[E], Protocol[M, E]):
    """One family's answers to the engine's questions, for one recipe."""

    @property
    def couples_examples(self) -> bool:
        """Does the loss need the whole batch at once?"""

    @property
    def undecayed(self) -> Collection[str]:
        """The names of parameters without weight decay, beside all biases and norms."""

    def build(self) -> M:
        """The model before the first step; a function of the recipe alone."""

    def blocks(self, model: M) -> list[nn.Module]:
        """The model's repeated layers from the input on: what is sharded and recomputed piece by piece."""

    def head(self, model: M) -> nn.Module | None:
        """What is new above the backbone, if anything."""

    def datasets(self) -> Sequence[MapDataset]:
        """The training data: a dataset for each source of the recipe."""

    def collate(self, examples: list[Any]) -> Batch:
        """This and `tokens` are sent to loader processes, so both should be functions that hold little: a bound method
        holds its task."""

    def tokens(self, examples: list[Any]) -> list[int]:
        """What each example costs the model, in tokens of its longest input."""

    def outputs(self, model: M, batch: Batch) -> Outputs:
        """What the loss needs of the model: embeddings or logits."""

    def loss(self, outputs: Outputs) -> Loss:
        """On the outputs of the whole batch (of a micro-batch, if examples are not coupled); a mean over examples."""

    def after_step(self, model: M) -> None:
        """What an optimiser step does beside the optimiser: say, keep a weight within its bounds."""

    def evaluate(self, model: M, choice: E, examples_to: Path | None = None, world: World = ALONE) -> list[Measured]:
        """The datasets of the chosen suite, measured; a few illustrated examples into the folder `examples_to`.

        Args:
            world: the processes that share the work; all of them call this, and all get the result.
        """

    def save(self, model: M, folder: Path) -> None:
        """Everything `collotype.load(folder)` needs."""

    def events(self, steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the record must tell of the data beside its facts: say, which examples are cut.

        Args:
            steps: the rows of metrics.jsonl.
        """

    def extra_digests(self) -> dict[str, str]:
        """Digests of what decides the training beside recipe, data and the weights it starts from, by what it is: say,
        a teacher. A run is not resumed with another."""
