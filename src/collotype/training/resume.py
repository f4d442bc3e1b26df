"""Checkpoints that are whole or absent, and going on from the last whole one."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from collotype.runtime.files import atomic_folder, remove, write_bytes, write_json


class Checkpoints:
    """The folder `checkpoints/` of a run: `step-NNNNNN/{model.pt, optimizer.pt, state.json}`.

    A checkpoint appears by a rename after its files are synced, and `state.json` holds their digests: what a kill or a
    full disk left is never taken for a checkpoint.
    """

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep

    def steps(self) -> list[int]:
        names = [path.name.removeprefix("step-") for path in self.folder.glob("step-*")]
        return sorted(int(name) for name in names if name.isdigit())

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}"

    def save(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, facts: dict[str, Any]) -> Path:
        """Writes the checkpoint of `step`, then removes all but the newest `keep`."""
        with atomic_folder(self.path(step)) as folder:
            digests = {}
            for name, state in (("model.pt", model.state_dict()), ("optimizer.pt", optimizer.state_dict())):
                content = io.BytesIO()
                torch.save(state, content)
                write_bytes(folder / name, content.getvalue())
                digests[name] = hashlib.sha256(content.getvalue()).hexdigest()
            write_json(folder / "state.json", {"step": step, "sha256": digests, **facts})
        for old in self.steps()[: -self.keep]:
            remove(self.path(old))
        return self.path(step)

    def facts(self, step: int) -> dict[str, Any] | None:
        """What `save` was told, if every file of the checkpoint is as it was written."""
        try:
            state = json.loads((self.path(step) / "state.json").read_text())
            for name, value in state["sha256"].items():
                if hashlib.sha256((self.path(step) / name).read_bytes()).hexdigest() != value:
                    return None
        except (OSError, ValueError, KeyError, AttributeError):
            return None
        return state

    def newest(self) -> tuple[int, dict[str, Any], list[int]]:
        """The newest whole checkpoint's step and facts (0 and none, if there is none); damaged ones are removed.

        Returns:
            step, facts, and the steps of the damaged ones.
        """
        damaged = []
        for step in reversed(self.steps()):
            facts = self.facts(step)
            if facts is not None:
                return step, facts, damaged
            damaged.append(step)
            remove(self.path(step))
        return 0, {}, damaged

    def load(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """The weights and the optimiser's state of a checkpoint that `newest` named."""
        model.load_state_dict(torch.load(self.path(step) / "model.pt", map_location="cpu", weights_only=True))
        optimizer.load_state_dict(torch.load(self.path(step) / "optimizer.pt", map_location="cpu", weights_only=True))
