"""A script of ours under torch's launcher."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def launch(processes: int, script: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Runs `script` on that many gloo processes; its first argument is `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"script-{processes}.py"
    file.write_text(script)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))), "OMP_NUM_THREADS": "1"}
    command = [*launcher, file, folder, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


TRAIN = """
import json, sys
from pathlib import Path
import torch
from collotype.runtime.errors import InterruptedRunError
from collotype.runtime.process import World, process_group
from collotype.training.engine import Hooks
from collotype.training.loop import train
from tests.training.toy import ToyTask, stop_at, toy_recipe

folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
coupled, stop, resume = settings.pop("coupled", True), settings.pop("stop", None), settings.pop("resume", False)
recipe = toy_recipe(**settings)
with process_group(World.from_environment(), torch.device("cpu")) as world:
    task = ToyTask(recipe, coupled)
    try:
        training = train(task, recipe, folder, world, torch.device("cpu"), resume, stop_at(stop))
    except InterruptedRunError:
        sys.stdout.write("stopped\\n")
    else:
        if world.is_main or recipe.train.shard == "none":
            torch.save(training.model.state_dict(), folder / f"rank-{world.rank}.pt")
"""
"""Trains the toy with the settings given as JSON; every process leaves the weights it ended with."""
