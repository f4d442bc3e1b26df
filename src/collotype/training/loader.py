"""From keys to micro-batches of tensors, in this process or in loader processes beside it."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from collotype.runtime.errors import UserError
from collotype.training.sampler import Key, MicroBatches
from collotype.training.task import Batch, MapDataset, Task


class Examples(Dataset):
    """MapDatasets as torch's DataLoader wants them; a user's error travels back from a worker as a value."""

    def __init__(self, datasets: Sequence[MapDataset]):
        self.datasets = datasets

    def __getitem__(self, key: Key) -> Any:
        dataset, row, epoch = key
        try:
            return self.datasets[dataset].example(row, epoch)
        except UserError as error:
            return error


class Collate:
    """A task's `collate` of one micro-batch, or of several whose tokens stay within `budget`; a user's error in their
    place where an example or a batch has one. It and the datasets are all that a loader process is sent."""

    def __init__(self, task: Task, budget: int | None = None):
        self.collate, self.budget = task.collate, budget
        self.tokens = task.tokens if budget else None

    def __call__(self, examples: list[Any]) -> list[Batch] | UserError:
        for example in examples:
            if isinstance(example, UserError):
                return example
        try:
            return [self.collate(group) for group in self.groups(examples)]
        except UserError as error:
            return error

    def groups(self, examples: list[Any]) -> list[list[Any]]:
        """Neighbours together: the order of a batch's outputs is that of its examples."""
        if self.budget is None:
            return [examples]
        groups, longest = [], 0
        for example, tokens in zip(examples, self.tokens(examples), strict=True):
            longest = max(longest, tokens)
            if groups and longest * (len(groups[-1]) + 1) <= self.budget:
                groups[-1].append(example)
            else:
                groups.append([example])
                longest = tokens
        return groups


def load(
    task: Task, datasets: Sequence[MapDataset], cut: MicroBatches, workers: int, budget: int | None = None
) -> Iterator[list[Batch]]:
    """This process's micro-batches, a step at a time.

    Args:
        budget: tokens of a micro-batch, padding included; none: as many examples as `cut` says.

    Raises:
        UserError: an example of this process cannot be read.
    """
    loader = DataLoader(
        Examples(datasets),
        batch_sampler=cut,
        collate_fn=Collate(task, budget),
        num_workers=workers,
        generator=torch.Generator(),
    )
    batches = iter(loader)
    for _ in cut.steps:
        micro_batches: list[Batch] = []
        for found in itertools.islice(batches, cut.per_step):
            if isinstance(found, UserError):
                raise found
            micro_batches += found
        yield micro_batches


def to_device(value: Any, device: torch.device) -> Any:
    """Nested lists and dicts of tensors, every tensor on `device`."""
    if isinstance(value, list):
        return [to_device(part, device) for part in value]
    if isinstance(value, dict):
        return {name: to_device(part, device) for name, part in value.items()}
    return value.to(device, non_blocking=True)
