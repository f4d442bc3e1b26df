"""BatchNorm whose numbers are those of the recipe's groups, however a batch is cut."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from collotype.runtime.errors import InterruptedRunError, UserError
from collotype.runtime.world import ALONE, World
from collotype.training.batch_norm import GroupedBatchNorm2d, group_batch_norm, move_running_statistics
from collotype.training.loop import train
from collotype.training.settings import require_whole_groups
from tests.training.processes import launch
from tests.training.test_engine import assert_same, losses
from tests.training.toy import ToyTask, stop_at, toy_recipe

INPUTS = torch.randn(8, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def norm(group: int | None) -> GroupedBatchNorm2d:
    plain = nn.BatchNorm2d(3).double()
    nn.init.normal_(plain.weight)
    (grouped,) = group_batch_norm(nn.Sequential(plain), group)
    return grouped


@pytest.mark.parametrize("group", [2, 4, 8, None])
def test_each_group_is_normalised_by_its_own_statistics(group: int | None) -> None:
    ours, plain = norm(group), nn.BatchNorm2d(3).double()
    plain.load_state_dict(ours.state_dict())
    parts = INPUTS.split(group or 8)
    torch.testing.assert_close(ours(INPUTS), torch.cat([plain(part) for part in parts]), atol=1e-12, rtol=0)
    assert ours.eval()(INPUTS).isfinite().all()


def test_running_statistics_move_once_a_step_towards_the_mean_over_groups() -> None:
    ours = norm(4)
    with torch.no_grad():
        ours(INPUTS)
    for part in INPUTS.split(4):
        ours(part)
    assert (ours.running_mean == 0).all()
    move_running_statistics(ours)
    means = torch.stack([part.mean((0, 2, 3)) for part in INPUTS.split(4)]).mean(0)
    variances = torch.stack([part.var((0, 2, 3)) for part in INPUTS.split(4)]).mean(0)
    torch.testing.assert_close(ours.running_mean, 0.1 * means, atol=1e-12, rtol=0)
    torch.testing.assert_close(ours.running_var, 0.9 + 0.1 * variances, atol=1e-12, rtol=0)
    assert ours.num_batches_tracked == 1


class Convolved(ToyTask):
    """The toy's vectors as 1 x T images of four channels, convolved and normalised."""

    batch_norm_group: int | None = None

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(4, 6, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 1))
        return group_batch_norm(layers, self.batch_norm_group)

    def outputs(self, model: nn.Module, batch):
        # the number of vectors differs between examples; six is room for all
        images = lambda x: nn.functional.pad(x, (0, 0, 0, 6 - x.shape[1])).permute(0, 2, 1)[:, :, None]  # noqa: E731
        left, right = (model(images(batch[name]))[:, :, 0].permute(0, 2, 1) for name in ("left", "right"))
        mask = nn.functional.pad(batch["mask"], (0, 6 - batch["mask"].shape[1]))
        return {"left": left, "right": right, "mask": mask}


def train_convolved(folder: Path, group: int | None, world: World = ALONE, **settings):
    recipe = toy_recipe(**settings)
    task = Convolved(recipe)
    task.batch_norm_group = group
    return train(task, recipe, folder, world, torch.device("cpu")).model.state_dict()


PROCESSES = """
import json, sys
from pathlib import Path
import torch
from collotype.runtime.process import World, process_group
from tests.training.test_batch_norm import train_convolved

settings = json.loads(sys.argv[2])
with process_group(World.from_environment(), torch.device("cpu")) as world:
    weights = train_convolved(Path(sys.argv[1]), settings.pop("group"), world, **settings)
    torch.save(weights, Path(sys.argv[1]) / f"rank-{world.rank}.pt")
"""


@pytest.mark.parametrize(
    ("group", "processes", "settings"),
    [
        (4, 1, {"micro_batch": 4}),
        (2, 1, {"micro_batch": 4, "gradient_checkpointing": True}),
        (2, 2, {}),
        (2, 2, {"micro_batch": 2}),
        (None, 2, {}),
    ],
)
def test_nothing_but_the_group_changes_a_number(
    group: int | None, processes: int, settings: dict, tmp_path: Path
) -> None:
    straight = train_convolved(tmp_path / "straight", group)
    if processes == 1:
        cut = train_convolved(tmp_path / "cut", group, **settings)
    else:
        done = launch(processes, PROCESSES, tmp_path / "cut", json.dumps({"group": group, **settings}))
        assert done.returncode == 0, done.stderr
        cut = torch.load(tmp_path / "cut" / "rank-1.pt", weights_only=True)
    assert losses(tmp_path / "cut") == pytest.approx(losses(tmp_path / "straight"), abs=1e-10)
    assert_same(straight, cut, 1e-10)


def test_statistics_go_on_after_a_stop(tmp_path: Path) -> None:
    straight = train_convolved(tmp_path / "straight", 4)
    recipe = toy_recipe()

    def task() -> Convolved:
        made = Convolved(recipe)
        made.batch_norm_group = 4
        return made

    with pytest.raises(InterruptedRunError):
        train(task(), recipe, tmp_path / "cut", ALONE, torch.device("cpu"), hooks=stop_at(3))
    resumed = train(task(), recipe, tmp_path / "cut", ALONE, torch.device("cpu"), resume=True).model.state_dict()
    assert_same(straight, resumed)


def test_a_group_is_never_cut() -> None:
    require_whole_groups(4, 16, 8, 4)
    require_whole_groups(16, 16, 8, 8)
    with pytest.raises(UserError, match="batch_norm_group is 8, which does not divide the micro-batch of 4"):
        require_whole_groups(8, 16, 8, 4)
    with pytest.raises(UserError, match="statistics of the whole batch"):
        require_whole_groups(16, 16, 16, 8)
