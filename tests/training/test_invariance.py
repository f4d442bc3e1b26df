"""Every loss, in every dialect, on real processes: the gradient of the whole batch at once, to 1e-10 in float64.

docs/invariance.md explains why; `make bench` shows the same for the desk recipes.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from collotype.families.retriever.compact import forms as all_forms
from collotype.families.retriever.config import Compact
from collotype.losses.contrastive import ContrastiveLoss, Vectors
from collotype.losses.distillation import kl_loss, margin_mse_loss, own_scores_loss, vector_loss
from collotype.losses.registry import NAMED, OBJECTIVES, make_loss
from collotype.losses.sparse import flops, saturated
from collotype.recipe import Recipe
from collotype.runtime.process import process_group
from collotype.runtime.seeds import derive_seed, seed_torch
from collotype.runtime.world import World
from collotype.training.engine import Engine
from collotype.training.task import Batch, Loss, Outputs
from tests.training.processes import launch
from tests.training.toy import toy_recipe

BATCH, DIM, MICRO_BATCHES = 8, 4, (1, 2, None)
CPU = torch.device("cpu")


def every_loss() -> dict[str, tuple[Callable[..., Tensor], int, int]]:
    """(loss, explicit negatives of a query at most, blocks of negatives) by a name for the case."""
    cases = {
        f"{name}, {dialect}": (make_loss(name, dialect), 2 if "Negative" in name else 0, 1)
        for dialect, losses in NAMED.items()
        for name in losses
    }
    for name in OBJECTIVES:
        cases[name] = (make_loss(name), 0, 1)
        cases[f"{name}, per-process negatives of 4"] = (make_loss(name), 0, 4)
        cases[f"{name}, shared negatives"] = (make_loss(name, share_negatives=True), 3, 1)
        cases[f"{name}, smooth"] = (make_loss(name, smooth_max=0.1, normalize=True), 2, 2)
        cases[f"{name}, filtered"] = (make_loss(name, filter_threshold=0.5, temperature=1.0), 0, 1)
    cases |= {f"{name} of a teacher": (loss, 0, 2) for name, loss in distillations().items()}
    cases |= {f"table of scores, {name}": (of_a_table(at), 2, 2) for name, at in (("kl", 0.5), ("margins", None))}
    cases |= {f"sparse, {blocks} blocks": (of_words(make_loss("infonce")), 0, blocks) for blocks in (1, 4)}
    cases["in every form"] = (in_every_form(make_loss("infonce")), 2, 2)
    return cases


def distillations() -> dict[str, Callable[..., Tensor]]:
    """The losses of a student; its teacher makes the same vectors, mirrored."""
    scores = make_loss("infonce", normalize=True).scores

    def of_scores(loss: Callable[..., Tensor], *options: float) -> Callable[..., Tensor]:
        return lambda queries, pages: loss(scores(queries, pages), scores(mirrored(queries), pages).detach(), *options)

    return {
        "vectors": lambda queries, pages: vector_loss(queries, mirrored(queries)),
        "scores": of_scores(kl_loss, 0.5),
        "margins": of_scores(margin_mse_loss),
    }


def of_a_table(temperature: float | None) -> Callable[..., Tensor]:
    """What is learned of scores of a query's page and explicit negatives."""

    def loss(queries: Vectors, *pages: Vectors) -> Tensor:
        own, there = make_loss("infonce").own_scores(queries, *pages)
        taught, _ = make_loss("infonce").own_scores(mirrored(queries), *pages)
        return own_scores_loss(own, taught.detach(), there, temperature)

    return loss


def mirrored(vectors: Vectors) -> Vectors:
    return Vectors(vectors.values.detach().flip(-1), vectors.mask)


def in_every_form(loss: ContrastiveLoss) -> Callable[..., Tensor]:
    """The mean over vectors whole and cut, and pages as they are and pooled, as a retriever's task has it."""

    def mean(*sides: Vectors) -> Tensor:
        units = [Vectors(functional.normalize(one.values, dim=-1) * one.mask[..., None], one.mask) for one in sides]
        forms = all_forms(Compact(dims=(3, 2), pool_factors=(1, 2)), *units)
        return torch.stack([loss(*sides) + 0.5 * distance for *sides, distance in forms]).mean()

    return mean


def of_words(loss: ContrastiveLoss) -> Callable[..., Tensor]:
    """Of sparse pages, with the regulariser: a query's words are given, and no model reads them."""

    def objective(queries: Vectors, pages: Vectors) -> Tensor:
        asked, weights = (saturated(one.values, one.mask) for one in (queries, pages))
        there = torch.ones(len(weights), 1, dtype=torch.bool)
        words = Vectors((asked > 0).to(asked)[:, None], there)
        return loss(words, Vectors(weights[:, None], there)) + 0.1 * flops(weights)

    return objective


def ragged(*what: int | str, count: int, longest: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(derive_seed(*what))
    lengths = torch.randint(1, longest + 1, (count,), generator=generator)
    return [torch.randn(int(n), DIM, generator=generator, dtype=torch.float64) for n in lengths]


def padded(vectors: list[Tensor]) -> Vectors:
    lengths = torch.tensor([len(one) for one in vectors])
    values = nn.utils.rnn.pad_sequence(vectors, batch_first=True)
    return Vectors(values, torch.arange(values.shape[1]) < lengths[:, None])


class PairsTask:
    """Ragged queries, pages and explicit negatives through one small model."""

    couples_examples, undecayed = True, ()

    def __init__(self, objective: Callable[..., Tensor], negatives: int, blocks: int):
        self.objective, self.negatives, self.num_blocks = objective, negatives, blocks

    def build(self) -> nn.Module:
        seed_torch("pairs")
        return nn.Sequential(nn.Linear(DIM, 6), nn.Tanh(), nn.Linear(6, 3))

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        return []

    def head(self, model: nn.Module) -> None:
        return None

    def collate(self, rows: range) -> Batch:
        batch = {}
        for name, longest in (("queries", 3), ("pages", 5)):
            vectors = padded([ragged(name, row, count=1, longest=longest)[0] for row in rows])
            batch[name], batch[f"{name}_mask"] = vectors
        if self.negatives:
            # query `row` has row % (negatives + 1) explicit negatives, ragged like the pages
            counts = [row % (self.negatives + 1) for row in rows]
            width = max(1, *counts)
            flat = [one for row, n in zip(rows, counts, strict=True) for one in self.misses(row, n, width)]
            vectors = padded(flat)
            there = (torch.arange(width) < torch.tensor(counts)[:, None])[..., None]
            batch["misses"] = vectors.values.unflatten(0, (len(rows), width))
            batch["misses_mask"] = vectors.mask.unflatten(0, (len(rows), width)) & there
        return batch

    def misses(self, row: int, count: int, width: int) -> list[Tensor]:
        nothing = [torch.zeros(1, DIM, dtype=torch.float64)] * (width - count)
        return ragged("misses", row, count=count, longest=4) + nothing if count else nothing

    def outputs(self, model: nn.Module, batch: Batch) -> Outputs:
        return {name: value if name.endswith("_mask") else model(value) for name, value in batch.items()}

    def loss(self, outputs: Outputs) -> Loss:
        losses = []
        for part in range(self.num_blocks):
            block = {name: tensor.chunk(self.num_blocks)[part] for name, tensor in outputs.items()}
            names = ["queries", "pages", *(["misses"] if self.negatives else [])]
            losses.append(self.objective(*(Vectors(block[name], block[f"{name}_mask"]) for name in names)))
        return Loss(torch.stack(losses).mean())


def flat_gradient(model: nn.Module) -> Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def by_the_engine(task: PairsTask, recipe: Recipe, world: World, size: int) -> tuple[float, Tensor]:
    """Loss and gradient of one step, as the engine takes it on this process and the others."""
    from collotype.training.grad_cache import sum_gradients

    engine, share = Engine(task, recipe, world, CPU), BATCH // world.size
    mine = range(world.rank * share, (world.rank + 1) * share)
    parts = [task.collate(mine[first : first + size]) for first in range(0, share, size)]
    loss = engine.backward(parts, step=1)
    sum_gradients(engine.parameters)
    return loss.value.item(), flat_gradient(engine.model)


def at_once(task: PairsTask) -> tuple[float, Tensor]:
    """By autograd on the whole batch, without any of the engine's machinery."""
    model = task.build().double()
    loss = task.loss(task.outputs(model, task.collate(range(BATCH)))).value
    loss.backward()
    return loss.item(), flat_gradient(model)


def gradients_of_this_process(folder: Path) -> None:
    """What every process of the launched script does: all losses, all micro-batches."""
    found = {}
    with process_group(World.from_environment(), CPU) as world:
        share = BATCH // world.size
        for name, settings in every_loss().items():
            for micro_batch in MICRO_BATCHES:
                size = min(micro_batch or share, share)
                found[f"{name} | {size}"] = by_the_engine(PairsTask(*settings), toy_recipe(batch=BATCH), world, size)
    torch.save(found, folder / f"gradients-{world.rank}.pt")


SCRIPT = """
import sys
from pathlib import Path
from tests.training.test_invariance import gradients_of_this_process
gradients_of_this_process(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_every_loss_has_the_gradient_of_the_whole_batch(processes: int, tmp_path: Path) -> None:
    done = launch(processes, SCRIPT, tmp_path)
    assert done.returncode == 0, done.stderr
    expected = {name: at_once(PairsTask(*settings)) for name, settings in every_loss().items()}
    assert len({round(value, 9) for value, _ in expected.values()}) > 25
    for rank in range(processes):
        found = torch.load(tmp_path / f"gradients-{rank}.pt", weights_only=True)
        assert len(found) >= 2 * len(expected)
        for case, (value, gradient) in found.items():
            loss, whole = expected[case.partition(" | ")[0]]
            assert value == pytest.approx(loss, abs=1e-10), case
            torch.testing.assert_close(
                gradient, whole, atol=1e-10, rtol=1e-10, msg=lambda text, at=case: f"{at}: {text}"
            )
