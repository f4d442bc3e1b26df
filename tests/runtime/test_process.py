"""Every launcher's way of telling a process its place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from collotype.runtime import process
from collotype.runtime.errors import UserError
from collotype.runtime.process import meeting_point
from collotype.runtime.world import LAUNCHERS, World

ROOT = Path(__file__).parents[2]
VARIABLES = {name for launcher in LAUNCHERS for name in launcher} | {"MASTER_ADDR", "MASTER_PORT"}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, World()),
        ({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, World(3, 4, 1)),
        ({"RANK": "3", "WORLD_SIZE": "4"}, World(3, 4, 3)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}, World(1, 2, 0)),
        ({"PMI_RANK": "5", "PMI_SIZE": "8", "MPI_LOCALRANKID": "1"}, World(5, 8, 1)),
        ({"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "0"}, World(2, 4, 0)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, World()),
    ],
)
def test_a_place_is_found(environment: dict, place: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert World.from_environment() == place


def test_contradictions_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "4")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UserError, match="RANK is 4, but WORLD_SIZE is 4"):
        World.from_environment()
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(UserError, match="RANK is 'first', not a number"):
        World.from_environment()


def test_several_machines_need_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert meeting_point(World(1, 2, 1)) == ("127.0.0.1", process.DEFAULT_PORT)
    with pytest.raises(UserError, match="MASTER_ADDR is not set"):
        meeting_point(World(1, 2, 0))
    monkeypatch.setenv("SLURM_LAUNCH_NODE_IPADDR", "10.0.0.1")
    assert meeting_point(World(1, 2, 0)) == ("10.0.0.1", process.DEFAULT_PORT)


SCRIPT = """
import sys
import torch
from collotype.runtime.process import World, gather_objects, process_group

with process_group(World.from_environment(), torch.device("cpu")) as world:
    print(gather_objects(world.rank), flush=True)
"""


@pytest.mark.parametrize("launcher", ["mpirun", "srun"])
def test_processes_meet_without_torchs_launcher(launcher: str, tmp_path: Path) -> None:
    """Two processes with the variables these launchers set."""
    names = {"mpirun": LAUNCHERS[1], "srun": LAUNCHERS[3]}[launcher]
    (tmp_path / "script.py").write_text(SCRIPT)
    started = []
    for rank in range(2):
        place = {names.rank: str(rank), names.size: "2", names.local_rank: str(rank), "MASTER_PORT": "29533"}
        command = [sys.executable, tmp_path / "script.py"]
        started.append(subprocess.Popen(command, env={**os.environ, **place}, stdout=subprocess.PIPE, text=True))
    assert [one.communicate(timeout=60)[0] for one in started] == ["[0, 1]\n"] * 2


def test_nobody_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    alone = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_PORT": "29535", "COLLOTYPE_JOIN_WITHIN_S": "2"}
    command = [sys.executable, "-m", "collotype", "run", "desk-colpali", "--out", tmp_path / "run"]
    done = subprocess.run(command, env={**os.environ, **alone}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert (
        "Process 1 of 2 could not reach the others at 127.0.0.1:29535" in done.stderr and "MASTER_PORT" in done.stderr
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "launcher",
    [
        # may add --local-rank=N to our arguments
        ["torch.distributed.launch", "--nproc-per-node=2", "--master-port=29534"],
        # says multi_gpu where it means several processes; ours take the CPU where there is no GPU
        ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--main_process_port=29536"],
    ],
)
def test_launchers_start_us_as_they_are(launcher: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", *launcher, "-m", "collotype", "check", "desk-colpali", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"processes": 2') == 2
