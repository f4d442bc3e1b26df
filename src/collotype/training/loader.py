"""Loads micro-batches by key, in this process or in loader processes."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from collotype.runtime.errors import UserError
from collotype.runtime.seeds import derive_seed
from collotype.training.bad_examples import BadExample, BadExampleError
from collotype.training.facts import MapDataset
from collotype.training.sampler import Key, RankMicroBatchSampler
from collotype.training.task import Batch, Task

TRIES = 100
"""Examples looked at in the place of a bad one, at most."""


class LoadedExample(NamedTuple):
    example: Any
    faults: list[BadExample]
    """The examples it stands for."""


class Loaded(NamedTuple):
    """One step's micro-batches, and what could not be read for them."""

    micro_batches: list[Batch]
    faults: list[BadExample]


class Examples(Dataset[Any]):
    """MapDatasets as torch's DataLoader wants them; a user's error travels back from a worker as a value.

    Args:
        tolerant: take another example, a function of the bad one's key, where one cannot be read.
    """

    def __init__(self, datasets: Sequence[MapDataset], tolerant: bool = False):
        self.datasets, self.tolerant = datasets, tolerant

    def __getitem__(self, key: Key) -> LoadedExample | UserError:
        try:
            return self.read(key)
        except UserError as error:
            return error

    def read(self, key: Key) -> LoadedExample:
        number, row, epoch = key
        dataset, faults = self.datasets[number], list[BadExample]()
        while True:
            try:
                return LoadedExample(dataset.example(row, epoch), faults)
            except BadExampleError as error:
                faults.append(BadExample(number, row, error.cause, error.place))
                if not self.tolerant or len(faults) > TRIES:
                    raise
                row = derive_seed("instead", row, epoch) % len(dataset)


class Collate:
    """A task's `collate` of one micro-batch, or of several whose tokens stay within `budget`; a user's error in their
    place where an example or a batch has one. It and the datasets are all that a loader process is sent."""

    def __init__(self, task: Task[Any, Any], budget: int | None = None):
        self.collate, self.budget = task.collate, budget
        self.tokens = task.tokens if budget else None

    def __call__(self, found: list[LoadedExample | UserError]) -> Loaded | UserError:
        reads = list[LoadedExample]()
        for read in found:
            if isinstance(read, UserError):
                return read
            reads.append(read)
        faults = [fault for read in reads for fault in read.faults]
        try:
            return Loaded([self.collate(group) for group in self.groups([read.example for read in reads])], faults)
        except UserError as error:
            return error

    def groups(self, examples: list[Any]) -> list[list[Any]]:
        """Neighbours together: the order of a batch's outputs is that of its examples."""
        if self.budget is None or self.tokens is None:
            return [examples]
        groups, longest = list[list[Any]](), 0
        for example, tokens in zip(examples, self.tokens(examples), strict=True):
            longest = max(longest, tokens)
            if groups and longest * (len(groups[-1]) + 1) <= self.budget:
                groups[-1].append(example)
            else:
                groups.append([example])
                longest = tokens
        return groups


def load(
    task: Task[Any, Any],
    datasets: Sequence[MapDataset],
    cut: RankMicroBatchSampler,
    workers: int,
    budget: int | None = None,
    tolerant: bool = False,
    pin: bool = False,
) -> Iterator[Loaded]:
    """This process's micro-batches, a step at a time.

    Args:
        budget: tokens of a micro-batch, padding included; None: as many examples as `cut` says.
        tolerant: others stand for examples that cannot be read.
        pin: into memory from which a GPU copies without waiting.

    Raises:
        UserError: an example of this process cannot be read.
    """
    loader = DataLoader(
        Examples(datasets, tolerant),
        batch_sampler=cut,
        collate_fn=Collate(task, budget),
        num_workers=workers,
        generator=torch.Generator(),
        pin_memory=pin,
    )
    batches = iter(loader)
    for _ in cut.steps:
        step = Loaded([], [])
        for found in itertools.islice(batches, cut.per_step):
            if isinstance(found, UserError):
                raise found
            step.micro_batches.extend(found.micro_batches)
            step.faults.extend(found.faults)
        yield step


def to_device(value: Any, device: torch.device) -> Any:
    """Nested lists and dicts of tensors, every tensor on `device`."""
    if isinstance(value, list):
        return [to_device(part, device) for part in value]
    if isinstance(value, dict):
        return {name: to_device(part, device) for name, part in value.items()}
    return value.to(device, non_blocking=True)
