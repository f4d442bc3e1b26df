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
    """`task.collate`, with a user's error in place of the batch where an example or the batch has one."""

    def __init__(self, task: Task):
        self.task = task

    def __call__(self, examples: list[Any]) -> Batch | UserError:
        for example in examples:
            if isinstance(example, UserError):
                return example
        try:
            return self.task.collate(examples)
        except UserError as error:
            return error


def load(task: Task, datasets: Sequence[MapDataset], cut: MicroBatches, workers: int) -> Iterator[list[Batch]]:
    """This process's micro-batches, a step at a time.

    Raises:
        UserError: an example of this process cannot be read.
    """
    loader = DataLoader(
        Examples(datasets),
        batch_sampler=cut,
        collate_fn=Collate(task),
        num_workers=workers,
        generator=torch.Generator(),
    )
    batches = iter(loader)
    for _ in cut.steps:
        micro_batches = list(itertools.islice(batches, cut.per_step))
        for batch in micro_batches:
            if isinstance(batch, UserError):
                raise batch
        yield micro_batches


def to_device(value: Any, device: torch.device) -> Any:
    """Nested lists and dicts of tensors, every tensor on `device`."""
    if isinstance(value, list):
        return [to_device(part, device) for part in value]
    if isinstance(value, dict):
        return {name: to_device(part, device) for name, part in value.items()}
    return value.to(device, non_blocking=True)
