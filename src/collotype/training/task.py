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
"""A model's output for a micro-batch: tensors with the examples in dimension 0. Other dimensions may differ between
micro-batches; they are padded with zeros, masks with False."""

Batch = dict[str, Any]
"""Inputs of a micro-batch: nested dicts of tensors."""


@dataclass
class Loss:
    """A scalar loss, with other metrics to record."""

    value: Tensor
    metrics: dict[str, float] = field(default_factory=dict)
    unsound: list[int] = field(default_factory=list)
    """If the loss is not finite: the indexes in the batch whose outputs are not finite."""


class Task(RecipeFacts[E], Protocol[M, E]):
    """What a family implements for the engine, for one recipe."""

    @property
    def couples_examples(self) -> bool:
        """Whether the loss needs the whole batch at once."""

    @property
    def undecayed(self) -> Collection[str]:
        """The names of parameters without weight decay, in addition to all biases and norms."""

    def build(self) -> M:
        """The model before the first step; a function of the recipe alone."""

    def blocks(self, model: M) -> list[nn.Module]:
        """The model's repeated layers in order; they are sharded and recomputed one by one."""

    def head(self, model: M) -> nn.Module | None:
        """The new layers on top of the backbone, if any."""

    def datasets(self) -> Sequence[MapDataset]:
        """The training data: one dataset per source of the recipe."""

    def collate(self, examples: list[Any]) -> Batch:
        """Collates examples into a micro-batch.

        This and `tokens` are sent to loader processes, so both should be small objects; a bound method would send its
        task.
        """

    def tokens(self, examples: list[Any]) -> list[int]:
        """The cost of each example: the tokens of its longest input."""

    def outputs(self, model: M, batch: Batch) -> Outputs:
        """The model's outputs for the loss: embeddings or logits."""

    def loss(self, outputs: Outputs) -> Loss:
        """The mean loss over the outputs of the whole batch (of a micro-batch, if examples are not coupled)."""

    def after_step(self, model: M) -> None:
        """Called after each optimiser step, for example to clamp a weight."""

    def evaluate(self, model: M, choice: E, examples_to: Path | None = None, world: World = ALONE) -> list[Measured]:
        """Evaluates the datasets of the chosen suite, and writes a few illustrated examples to `examples_to`.

        Args:
            world: the processes that share the work; each calls this and gets the result.
        """

    def save(self, model: M, folder: Path) -> None:
        """Saves everything that `collotype.load(folder)` needs."""

    def events(self, steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Events for the record, for example truncated examples.

        Args:
            steps: the rows of metrics.jsonl.
        """

    def extra_digests(self) -> dict[str, str]:
        """Digests, by name, of inputs to the training other than recipe, data and initial weights, such as a teacher. A
        run is not resumed with different ones."""
