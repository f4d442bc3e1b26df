"""What a family knows of a recipe before anything is computed, for a plan; without torch."""

import functools
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any, Protocol, TypeVar

from collotype.recipe import Recipe
from collotype.recipe.data import TrainSourceSection
from collotype.recipe.evaluate import Evaluate
from collotype.runtime.hub import Need
from collotype.training.overlap import Samples, overlap

E = TypeVar("E", bound=Evaluate, contravariant=True)
"""A family's `evaluate` section."""


class MapDataset(Protocol):
    def __len__(self) -> int: ...

    def example(self, row: int, epoch: int) -> Any:
        """Example `row`, augmented (if at all) as a function of (row, epoch).

        Raises:
            BadExampleError: it cannot be read; another may replace it.
        """

    def identities(self, row: int) -> tuple[Hashable, ...]:
        """What must not occur twice in a batch with `data.distinct`: for example the row's query and its page."""

    @property
    def left_out(self) -> int:
        """The number of examples that are known to be unusable and are not among the rows."""

    @property
    def regions(self) -> Sequence[range]:
        """The rows of each shard, if changing shards takes time; else empty."""

    def fingerprint(self) -> str:
        """A digest of everything that determines the examples."""


class RecipeFacts(Protocol[E]):
    """What a plan and `collotype check` need to know of a recipe; a family's task provides it too."""

    @property
    def batch_norm_group(self) -> int | None:
        """Examples that share the statistics of BatchNorm; None: the model has none."""

    def metrics(self) -> Collection[str]:
        """The names of the metrics of its evaluations."""

    def negatives_per_query(self) -> int: ...

    def train_facts(self) -> dict[str, Any]:
        """Sizes and fingerprints of the training data."""

    def facts_of(self, choice: E) -> dict[str, Any]:
        """Sizes and fingerprints of a suite's datasets, by "SUITE/DATASET"."""

    def samples(self, choice: E | None = None) -> dict[str, Samples]:
        """Samples of the training data, or of a suite's datasets by "SUITE/DATASET", to find the overlap of the two;
        none for data that is drawn on demand."""

    def needs(self) -> dict[str, Callable[[], list[Need]]]:
        """The downloads from the hub by use (`weights`, `evaluate.0`, …, `data.train`): listed, and refused if
        necessary, before any download."""

    def require_possible(self) -> None:
        """
        Raises:
            UserError: the recipe cannot run on this machine, whatever its data and weights.
        """

    def require_weights(self) -> None:
        """
        Raises:
            UserError: the initial weights cannot be read.
        """

    def use_published_config(self, size: str | None = None) -> None:
        """Uses the published shape for the name of weights that are not on this machine, for `describe` and the facts
        of the data; the task can do nothing else then.

        Args:
            size: the size of the weights according to an imported command.

        Raises:
            UserError: no shape is known for the name.
        """

    def framing(self) -> dict[str, Any]:
        """What is known of the model without its weights, such as its prompts."""

    def describe(self) -> dict[str, Any]:
        """Facts of the model for the plan and the record, without creating weights."""


def needs_by_use(
    recipe: Recipe,
    weights: Callable[[], list[Need]] | None,
    of_suite: Callable[[Any], list[Need]],
    of_source: Callable[[Any], list[Need]],
) -> dict[str, Callable[[], list[Need]]]:
    """A task's `needs`, from functions for weights, a suite and a source."""
    found = {"weights": weights} if weights else {}
    found |= {f"evaluate.{number}": functools.partial(of_suite, one) for number, one in enumerate(recipe.evaluate)}
    return found | {"data.train": lambda: [need for source in recipe.data.train for need in of_source(source)]}


def data_facts(task: RecipeFacts[Any], choices: Sequence[Evaluate]) -> dict[str, Any]:
    """Sizes and fingerprints of the training data and of every dataset that is evaluated."""
    facts = {"train": task.train_facts()}
    for choice in choices:
        facts |= task.facts_of(choice)
    return facts


def overlaps(task: RecipeFacts[Any], choices: Sequence[Evaluate]) -> dict[str, dict[str, int]]:
    """The plan's `overlap`: the datasets with samples that are trained on, and how many of how many; empty if there are
    none."""
    trained = [*task.samples().values()]
    measured = (
        {name: samples for choice in choices for name, samples in task.samples(choice).items()} if trained else {}
    )
    found = {name: overlap(trained, samples) for name, samples in measured.items()}
    return {name: counts for name, counts in found.items() if counts["shared"]}


def facts_of_sources(sources: Sequence[TrainSourceSection], data: Sequence[MapDataset]) -> dict[str, Any]:
    """Sizes and fingerprints of training data, source by source and together."""
    found = [
        {"source": source.source, "examples": len(one), "sha256": one.fingerprint()}
        for source, one in zip(sources, data, strict=True)
    ]
    return {"examples": sum(one["examples"] for one in found), "sources": found}
