"""What several tests need: the command line as a user runs it, and a run small enough for a test."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

import collotype

# how long an example takes on a busy machine says nothing of the code
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

SMALL = {"train.steps": 6, "train.batch": 8, "train.checkpoint_every": 2, "evaluate": [], "expect": []}


def as_flags(overrides: dict) -> list[str]:
    return [flag for key, value in overrides.items() for flag in ("--set", f"{key}={value}")]


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess]:
    """`cli("run", "desk-colpali", …)` in a process of its own."""

    cache = tmp_path_factory.mktemp("cache")

    def call(*arguments: str, **settings) -> subprocess.CompletedProcess:
        environment = {**os.environ, "COLLOTYPE_CACHE": str(cache), **settings.pop("env", {})}
        command = [*settings.pop("launcher", [sys.executable]), "-m", "collotype", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, **settings)

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small finished run of desk-colpali, evaluated, with an expectation it misses."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    missed = {"dataset": "sheets/held-out", "metric": "ndcg_at_5", "value": 0.9, "tolerance": 0.01, "source": "a test"}
    changes = {**SMALL, "evaluate": [{"suite": "sheets", "every_steps": 3}], "expect": [missed]}
    collotype.run("desk-colpali", out=folder, overrides=changes)
    return folder
