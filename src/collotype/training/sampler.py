"""Selects the examples of a step: a function of (seed, epoch, step) alone."""

from bisect import bisect_right
from collections import deque
from collections.abc import Hashable, Iterator, Sequence

import torch
from torch import Tensor

from collotype.runtime.errors import UserError
from collotype.runtime.seeds import derive_seed
from collotype.training.facts import MapDataset

Key = tuple[int, int, int]
"""(dataset, row, how often the dataset was gone through before)."""


class GlobalBatchSampler:
    """The endless order of training examples; `batch(step)` is the same for any number of processes, micro-batches and
    loader workers, and needs no history.

    An epoch holds as many examples as there are rows. Each dataset gives its share of them, by its size or weight, and
    is gone through in one permutation after the other. The epoch is shuffled and cut into whole batches; what does not
    fill a batch is left out of it.

    Args:
        weights: relative shares of the datasets; None: their sizes.
        one_per_batch: every batch is of one dataset.
        distinct: an example whose query or page its batch already has waits for the next batch that has not.
        window: of datasets with `regions` (shards), mix the rows of this many at a time; None mixes all.

    Raises:
        UserError: an epoch does not fill a single batch.
    """

    def __init__(
        self,
        datasets: Sequence[MapDataset],
        batch: int,
        seed: int,
        weights: Sequence[float] | None = None,
        one_per_batch: bool = False,
        distinct: bool = False,
        window: int | None = None,
    ):
        self.datasets, self.batch_size, self.seed, self.window = datasets, batch, seed, window
        self.one_per_batch, self.distinct = one_per_batch, distinct
        sizes = [len(dataset) for dataset in datasets]
        parts = weights or sizes
        self.shares = [round(sum(sizes) * part / sum(parts)) for part in parts]
        self._starts = [0]
        """Steps before each epoch so far, and after the last of them."""
        self._epoch, self._batches = -1, torch.empty(0)

    def batch(self, step: int) -> list[Key]:
        """The keys of step `step` (counted from 1), in batch order."""
        while self._starts[-1] < step:
            self._starts.append(self._starts[-1] + len(self._load(len(self._starts) - 1)))
        epoch = bisect_right(self._starts, step - 1) - 1
        return [tuple(key) for key in self._load(epoch)[step - 1 - self._starts[epoch]].tolist()]

    def _load(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._batches_of(epoch)
        return self._batches

    def _batches_of(self, epoch: int) -> Tensor:
        """Keys [number of batches, batch, 3]."""
        drawn = [self._draw(dataset, epoch) for dataset in range(len(self.datasets))]
        if self.one_per_batch:
            batches = torch.cat([self._cut(keys) for keys in drawn])
            batches = batches[self._permutation(len(batches), "batches", epoch)]
        else:
            batches = self._cut(self._merge(drawn, epoch))
        if not len(batches):
            distinct = " of distinct queries and pages" if self.distinct else ""
            one = " of one dataset" if self.one_per_batch else ""
            raise UserError(
                f"The training data has too few examples for a batch of {self.batch_size}{one}{distinct}; lower "
                "train.batch."
            )
        return batches

    def _draw(self, dataset: int, epoch: int) -> Tensor:
        """The keys [share, 3] that a dataset gives to an epoch."""
        size, share = len(self.datasets[dataset]), self.shares[dataset]
        places = torch.arange(epoch * share, (epoch + 1) * share)
        rounds, rows = places // size, places % size
        for turn in rounds.unique().tolist():
            here = rounds == turn
            rows[here] = self._rows(dataset, turn)[rows[here]]
        return torch.stack([torch.full_like(rows, dataset), rows, rounds], dim=1)

    def _rows(self, dataset: int, turn: int) -> Tensor:
        """A dataset's rows in the order of its turn: all mixed, or those of a window of shards after another."""
        size = len(self.datasets[dataset])
        if self.window is None or not (regions := self.datasets[dataset].regions):
            return self._permutation(size, "rows", dataset, turn)
        shards = [regions[place] for place in self._permutation(len(regions), "shards", dataset, turn).tolist()]
        windows = [shards[first : first + self.window] for first in range(0, len(shards), self.window)]
        rows = [torch.cat([torch.arange(shard.start, shard.stop) for shard in window]) for window in windows]
        mixed = [part[self._permutation(len(part), "window", dataset, turn, place)] for place, part in enumerate(rows)]
        return torch.cat(mixed)

    def _merge(self, drawn: list[Tensor], epoch: int) -> Tensor:
        """The datasets' keys, well mixed, each dataset's in its own order."""
        if len(drawn) == 1:
            return drawn[0]
        labels = torch.cat([torch.full((len(keys),), number) for number, keys in enumerate(drawn)])
        labels = labels[self._permutation(len(labels), "epoch", epoch)]
        merged = torch.empty(len(labels), 3, dtype=torch.long)
        for number, keys in enumerate(drawn):
            merged[labels == number] = keys
        return merged

    def _cut(self, keys: Tensor) -> Tensor:
        if self.distinct:
            return self._cut_distinct(keys)
        whole = len(keys) - len(keys) % self.batch_size
        return keys[:whole].view(-1, self.batch_size, 3)

    def _cut_distinct(self, keys: Tensor) -> Tensor:
        coming, waiting, batches = deque[list[int]](keys.tolist()), deque[list[int]](), list[list[list[int]]]()
        while True:
            batch, there, again = list[list[int]](), set[Hashable](), deque[list[int]]()
            while len(batch) < self.batch_size and (waiting or coming):
                key = waiting.popleft() if waiting else coming.popleft()
                own = set(self.datasets[key[0]].identities(key[1]))
                if own & there:
                    again.append(key)
                else:
                    batch.append(key)
                    there |= own
            if len(batch) < self.batch_size:
                return torch.tensor(batches, dtype=torch.long).view(-1, self.batch_size, 3)
            batches.append(batch)
            waiting = again + waiting

    def _permutation(self, size: int, *what: int | str) -> Tensor:
        return torch.randperm(size, generator=torch.Generator().manual_seed(derive_seed(self.seed, *what)))


class RankMicroBatchSampler:
    """The micro-batches of one process from `first_step` on, as torch's DataLoader wants them: lists of keys."""

    def __init__(
        self,
        order: GlobalBatchSampler,
        rank: int,
        processes: int,
        micro_batch: int | None,
        first_step: int,
        last_step: int,
    ):
        self.order, self.share = order, order.batch_size // processes
        self.micro_batch = micro_batch or self.share
        self.per_step, left = divmod(self.share, self.micro_batch)
        if left:
            raise ValueError(
                f"{self.share} examples per process cannot be divided into micro-batches of {self.micro_batch}"
            )
        self.start = rank * self.share
        self.steps = range(first_step, last_step + 1)

    def of_step(self, step: int) -> list[list[Key]]:
        mine = self.order.batch(step)[self.start : self.start + self.share]
        return [mine[first : first + self.micro_batch] for first in range(0, self.share, self.micro_batch)]

    def __iter__(self) -> Iterator[list[Key]]:
        for step in self.steps:
            yield from self.of_step(step)

    def __len__(self) -> int:
        return len(self.steps) * self.per_step
