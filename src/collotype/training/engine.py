"""One optimiser step: forward, loss, backward, update. It knows tasks, not pages or captions.

A step on a global batch of B examples over W processes: each process takes B/W of them, cut in micro-batches of m; the
loss is computed on the outputs of all B; gradients are summed over processes once. The same numbers come out whatever W
and m are (docs/design.md, "The training step").
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from collotype.evaluation.results import Results
from collotype.recipe import Recipe
from collotype.runtime.device import room_on
from collotype.runtime.digest import state_digest
from collotype.runtime.errors import UserError
from collotype.runtime.process import on_main, raise_on_all_ranks
from collotype.runtime.seeds import seed_torch
from collotype.runtime.world import ALONE, World
from collotype.training.batch_norm import forget_statistics, move_running_statistics
from collotype.training.ema import Ema
from collotype.training.facts import MapDataset
from collotype.training.grad_cache import backward_through, sum_gradients, sum_of_parts, whole_batch_loss
from collotype.training.loader import Examples, to_device
from collotype.training.micro_batch import largest_that_fits
from collotype.training.optim import make_optimizer
from collotype.training.precision import LossScale, Precision, resolve_precision
from collotype.training.sampler import GlobalBatchSampler, RankMicroBatchSampler
from collotype.training.schedule import learning_rate
from collotype.training.settings import EMA
from collotype.training.sharding import checkpoint_activations, shard, whole_model
from collotype.training.task import Batch, Loss, Outputs, Task

T = TypeVar("T")


@dataclass(frozen=True)
class Hooks:
    """How the main process's outside listens: `on_start(steps already done)`, `on_step(row of metrics.jsonl)`, and,
    after each step but the last that is `due`, `evaluate(model, step, world, version)`, on every process of `world`,
    those that have the whole model; version is EMA where the model has the moving averages as its weights, else empty.
    `evaluated(step, all results)` gives a number that is to grow, or none.
    Evaluation comes before the step's checkpoint, so a resumed run misses none."""

    on_start: Callable[[int], None] = lambda done: None
    on_step: Callable[[dict[str, Any]], None] = lambda row: None
    due: Callable[[int], bool] = lambda step: False
    evaluate: Callable[[nn.Module, int, World, str], Results] = lambda model, step, world, version: {}
    evaluated: Callable[[int, Results], float | None] = lambda step, results: None


SILENT = Hooks()


class Engine:
    """A recipe's model and optimiser on this process's device, and how they take a step."""

    def __init__(self, task: Task[Any, Any], recipe: Recipe, world: World, device: torch.device):
        self.task, self.recipe, self.world, self.device = task, recipe, world, device
        self.precision: Precision = resolve_precision(recipe.train.precision, device)
        self.scale = LossScale.for_precision(self.precision)
        self.sharded = recipe.train.shard == "fsdp" and world.size > 1
        self.model: nn.Module = task.build()
        self.initial_sha256 = state_digest(self.model)
        self.precision.place(self.model, device)
        blocks, head = task.blocks(self.model), task.head(self.model)
        if recipe.train.gradient_checkpointing:
            checkpoint_activations(blocks, self.context)
        if self.sharded:
            shard(self.model, blocks, device)
        self.optimizer = make_optimizer(self.model, recipe, blocks, head, task.undecayed)
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.ema = None if recipe.train.ema_decay is None else Ema(self.model, recipe.train.ema_decay)

    def order(self, datasets: Sequence[MapDataset]) -> GlobalBatchSampler:
        data, settings = self.recipe.data, self.recipe.train
        return GlobalBatchSampler(
            datasets,
            settings.batch,
            settings.seed,
            [source.weight for source in data.train if source.weight is not None] or None,
            one_per_batch=data.mixing == "one-per-batch",
            distinct=data.distinct,
            window=data.shuffle_window,
        )

    def context(self) -> AbstractContextManager[Any]:
        return self.precision.context(self.device)

    def take_step(self, micro_batches: list[Batch], step: int, name_rows: Callable[[list[int]], str]) -> dict[str, Any]:
        """One optimiser step on this process's micro-batches; the step's row of metrics, the same on every process.

        Raises:
            UserError: the loss or its gradient is not finite; the weights are left as they were.
        """
        settings, lr, scale = self.recipe.train, learning_rate(self.recipe, step), self.scale.value
        with room_on(self.device, "use --set train.micro_batch=auto, or a smaller one, and continue with --resume"):
            loss = self.backward(micro_batches, step)
        if not self.sharded:
            sum_gradients(self.parameters)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if self.scale.enabled:
            torch._foreach_mul_(gradients, 1 / scale)
        total: Any = nn.utils.get_total_norm(gradients)
        norm, value = float(total.full_tensor() if self.sharded else total), float(loss.value.detach())
        row: dict[str, Any] = {"step": step, "loss": value, **loss.metrics, "lr": lr, "grad_norm": norm}
        row["examples"] = step * settings.batch
        if self.scale.enabled:
            row["loss_scale"] = scale
        if math.isfinite(value) and math.isfinite(norm):
            self.update(total, lr)
            move_running_statistics(self.model)
            self.task.after_step(self.model)
            if self.ema:
                self.ema.update()
            self.scale.hold()
        elif self.scale.can_fall():
            self.scale.fall()
            forget_statistics(self.model)
            row |= {"loss": finite(value), "grad_norm": finite(norm), "skipped": True}
        else:
            rows = name_rows(loss.unsound)
            raise UserError(
                f"Step {step}: the loss is {value} and the gradient norm {norm}"
                + (f", and the model's outputs are not finite for {rows}" if rows else "")
                + "; checkpoints before it are kept. Look at those examples, or restart in another folder with a "
                "lower train.optimizer.lr or with train.clip_grad_norm."
            )
        self.optimizer.zero_grad(set_to_none=True)
        return row

    def update(self, norm: torch.Tensor, lr: float) -> None:
        if self.recipe.train.clip_grad_norm:
            nn.utils.clip_grads_with_norm_(self.parameters, self.recipe.train.clip_grad_norm, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_multiplier"]
        self.optimizer.step()

    def backward(self, micro_batches: list[Batch], step: int) -> Loss:
        """Leaves in the parameters this process's part of the batch's gradient, times the loss scale; returns the whole
        batch's loss."""
        self.model.train()
        # backward of a sharded model leaves the mean over processes, and the sum is wanted
        factor = self.scale.value * (self.world.size if self.sharded else 1)
        count, batch_size = len(micro_batches), self.recipe.train.batch
        if not self.task.couples_examples:
            each = (self.outputs(micro_batches, index, step, graph=True) for index in range(count))
            return sum_of_parts(self.task.loss, each, batch_size, self.world.rank, factor)
        one_pass = count == 1
        parts = [self.outputs(micro_batches, index, step, graph=one_pass) for index in range(count)]
        loss, gradients = whole_batch_loss(self.task.loss, parts, self.world.rank)
        for index, gradient in enumerate(gradients):
            again = parts[index] if one_pass else self.outputs(micro_batches, index, step, graph=True)
            backward_through(again, gradient, factor)
        return loss

    def outputs(self, micro_batches: list[Batch], index: int, step: int, graph: bool) -> Outputs:
        """The model's outputs on one of this process's micro-batches.

        The random state of micro-batch k (counted over all processes) is seeded by (seed, step, k): the second pass,
        and any other cut into processes, draw the same dropout masks. Micro-batches by tokens are as many as it takes,
        on each process others, so there k leaves room for as many as there may be.
        """
        share = self.recipe.train.batch // self.world.size
        before = self.world.rank * (share if self.recipe.train.micro_batch_tokens else len(micro_batches))
        seed_torch(self.recipe.train.seed, "step", step, before + index)
        with torch.set_grad_enabled(graph), self.context():
            return self.task.outputs(self.model, to_device(micro_batches[index], self.device))

    def extra_state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds beyond weights and optimiser state."""
        return self.ema.tensors() if self.ema else {}

    def find_micro_batch(self, order: GlobalBatchSampler) -> int:
        """The most examples of one pass that fit into memory, tried on the first step's."""
        share = self.recipe.train.batch // self.world.size
        keys = RankMicroBatchSampler(order, self.world.rank, self.world.size, share, 1, 1).of_step(1)[0]
        source = Examples(order.datasets, tolerant=self.recipe.data.max_bad_examples > 0)
        examples = raise_on_all_ranks(lambda: [source.read(key).example for key in keys])

        def attempt(count: int) -> None:
            outputs = self.outputs([self.task.collate(examples[:count])], 0, 1, graph=True)
            backward_through(outputs, {name: torch.zeros_like(tensor) for name, tensor in outputs.items()}, 1.0)

        self.model.train()
        group = self.task.batch_norm_group or 1
        found = largest_that_fits(attempt, share, self.model, self.device, self.sharded, group)
        forget_statistics(self.model)
        return found

    def evaluate(self, hooks: Hooks, step: int) -> float | None:
        def work(model: nn.Module, version: str) -> Results:
            def measure(world: World) -> Results:
                with self.context():
                    return hooks.evaluate(model, step, world, version)

            return where_whole(self.sharded, self.world, measure)

        results = work(self.whole_model(), "")
        if self.ema:
            with self.averaged() as model:
                results = {**results, **work(model, EMA)}
        return on_main(self.world, lambda: hooks.evaluated(step, results))

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """Within the block: `whole_model` with the moving averages as its weights; every process must enter it."""
        assert self.ema
        with self.ema.in_place():
            yield self.whole_model()

    def whole_model(self) -> nn.Module:
        """The model; of a sharded one a whole copy on the main process, and every process must call this."""
        if not self.sharded:
            return self.model
        whole = whole_model(self.task, self.model, self.world)
        return self.model if whole is None else whole.to(self.device)


def where_whole(sharded: bool, world: World, work: Callable[[World], T]) -> T:
    """Runs `work` on the processes that have the whole model: all of them, or, of a sharded one, the main."""
    return on_main(world, lambda: work(ALONE)) if sharded else work(world)


def finite(number: float) -> float | None:
    """The number, or none where JSON has no word for it."""
    return number if math.isfinite(number) else None
