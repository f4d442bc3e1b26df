"""Which examples a step sees: a function of (seed, epoch, step) alone."""

from collections.abc import Iterator

import torch

from collotype.runtime.seeds import derive_seed


class Order:
    """The endless order of training examples: every epoch a fresh permutation, cut into whole batches.

    What does not fill a batch is left out of that epoch, so no batch holds an example twice. `batch(step)` is the same
    for any number of processes, micro-batches and loader workers, and needs no history.
    """

    def __init__(self, num_examples: int, batch: int, seed: int):
        self.num_examples, self.batch_size, self.seed = num_examples, batch, seed
        self.steps_per_epoch = num_examples // batch
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.long)

    def batch(self, step: int) -> list[tuple[int, int]]:
        """The (row, epoch) pairs of step `step` (counted from 1), in batch order."""
        epoch, place = divmod(step - 1, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
            self._epoch, self._permutation = epoch, torch.randperm(self.num_examples, generator=generator)
        rows = self._permutation[place * self.batch_size : (place + 1) * self.batch_size]
        return [(row, epoch) for row in rows.tolist()]


class MicroBatches:
    """The micro-batches of one process from `first_step` on, as torch's DataLoader wants them: lists of keys."""

    def __init__(
        self, order: Order, rank: int, processes: int, micro_batch: int | None, first_step: int, last_step: int
    ):
        self.order, self.share = order, order.batch_size // processes
        self.micro_batch = micro_batch or self.share
        self.per_step = self.share // self.micro_batch
        self.start = rank * self.share
        self.steps = range(first_step, last_step + 1)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in self.steps:
            mine = self.order.batch(step)[self.start : self.start + self.share]
            for first in range(0, self.share, self.micro_batch):
                yield mine[first : first + self.micro_batch]

    def __len__(self) -> int:
        return len(self.steps) * self.per_step
