"""The seam between the engine and the families: the engine knows of tasks only."""

import functools
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from collotype.evaluation.results import Measured
from collotype.recipe import Recipe
from collotype.recipe.schema import Evaluate, TrainSourceSection
from collotype.runtime.hub import Need
from collotype.runtime.process import ALONE, World
from collotype.training.overlap import Samples, overlap

M = TypeVar("M", bound=nn.Module)
"""A family's model."""
E = TypeVar("E", bound=Evaluate, contravariant=True)
"""What a family's recipe says of an evaluation."""

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


class MapDataset(Protocol):
    def __len__(self) -> int: ...

    def example(self, row: int, epoch: int) -> Any:
        """Example `row`, augmented (if at all) as a function of (row, epoch).

        Raises:
            BadExampleError: this one cannot be read; another may stand for it.
        """

    def identities(self, row: int) -> tuple[Hashable, ...]:
        """What must not stand twice in a batch if batches are to be distinct: say, the row's query and its page."""

    @property
    def left_out(self) -> int:
        """Examples that are known to be unusable, and are not among the rows."""

    @property
    def regions(self) -> Sequence[range]:
        """The rows of each shard, where it takes time to go from one to another; else none."""

    def fingerprint(self) -> str:
        """A digest of everything that decides what the examples are."""


class Task(Protocol[M, E]):
    """One family's answers to the engine's questions, for one recipe."""

    @property
    def couples_examples(self) -> bool:
        """Does the loss need the whole batch at once?"""

    @property
    def batch_norm_group(self) -> int | None:
        """Examples that share the statistics of BatchNorm; None: the model has none."""

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

    def metrics(self) -> Collection[str]:
        """The names of what its evaluations measure."""

    def save(self, model: M, folder: Path) -> None:
        """Everything `collotype.load(folder)` needs."""

    def negatives_per_query(self) -> int: ...

    def train_facts(self) -> dict[str, Any]:
        """Sizes and fingerprints of the training data."""

    def facts_of(self, choice: E) -> dict[str, Any]:
        """Those of a suite's datasets, by "SUITE/DATASET"."""

    def samples(self, choice: E | None = None) -> dict[str, Samples]:
        """Of the training data, or of a suite's datasets by "SUITE/DATASET", what can be compared to find what is in
        both; none of data that is drawn on demand."""

    def needs(self) -> dict[str, Callable[[], list[Need]]]:
        """What will be fetched of the hub, by what it is for (`weights`, `evaluate.0`, …, `data.train`): listed, and
        refused where it is, before any of it is fetched."""

    def require_possible(self) -> None:
        """
        Raises:
            UserError: the recipe cannot be run here whatever its data and weights are.
        """

    def require_weights(self) -> None:
        """
        Raises:
            UserError: what training starts from cannot be read.
        """

    def use_published_config(self, size: str | None = None) -> None:
        """Takes the published shape that the name of the weights stands for in the place of weights that are not here,
        for `describe` and the facts of the data; nothing else can be asked of the task then.

        Args:
            size: that the weights are said to be of, by an imported command.

        Raises:
            UserError: the name stands for no shape we know.
        """

    def events(self, steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the record must tell of the data beside its facts: say, which examples are cut.

        Args:
            steps: the rows of metrics.jsonl.
        """

    def beside(self) -> dict[str, str]:
        """Digests of what decides the training beside recipe, data and the weights it starts from, by what it is: say,
        a teacher. A run is not resumed with another."""

    def framing(self) -> dict[str, Any]:
        """What is known of the model without its weights: say, the texts around what it reads."""

    def describe(self) -> dict[str, Any]:
        """Facts of the model for the plan and the record; no weights are made."""


def needs_by_use(
    recipe: Recipe,
    weights: Callable[[], list[Need]] | None,
    of_suite: Callable[[Any], list[Need]],
    of_source: Callable[[Any], list[Need]],
) -> dict[str, Callable[[], list[Need]]]:
    """A task's `needs`, of what its family knows about weights, a suite and a source."""
    found = {"weights": weights} if weights else {}
    found |= {f"evaluate.{number}": functools.partial(of_suite, one) for number, one in enumerate(recipe.evaluate)}
    return found | {"data.train": lambda: [need for source in recipe.data.train for need in of_source(source)]}


def data_facts(task: Task[Any, Any], choices: Sequence[Evaluate]) -> dict[str, Any]:
    """Sizes and fingerprints of the training data and of every dataset that is evaluated."""
    facts = {"train": task.train_facts()}
    for choice in choices:
        facts |= task.facts_of(choice)
    return facts


def overlaps(task: Task[Any, Any], choices: Sequence[Evaluate]) -> dict[str, dict[str, dict[str, int]]]:
    """The plan's `overlap`: which datasets hold samples that are trained on, and how many of how many; nothing if none
    does."""
    trained = [*task.samples().values()]
    measured = (
        {name: samples for choice in choices for name, samples in task.samples(choice).items()} if trained else {}
    )
    found = {name: overlap(trained, samples) for name, samples in measured.items()}
    shared = {name: counts for name, counts in found.items() if counts["shared"]}
    return {"overlap": shared} if shared else {}


def facts_of_sources(sources: Sequence[TrainSourceSection], data: Sequence[MapDataset]) -> dict[str, Any]:
    """Sizes and fingerprints of training data, source by source and together."""
    found = [
        {"source": source.source, "examples": len(one), "sha256": one.fingerprint()}
        for source, one in zip(sources, data, strict=True)
    ]
    return {"examples": sum(one["examples"] for one in found), "sources": found}
