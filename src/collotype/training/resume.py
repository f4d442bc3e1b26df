"""Checkpoints that are whole or absent, and going on from the last whole one."""

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_folder, sweep_partial, write_bytes, write_json


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Checkpoints:
    """The folder `checkpoints/` of a run: `step-NNNNNN/{model.pt, optimizer.pt, state.json}`.

    A checkpoint appears by a rename after its files are synced, and `state.json` holds their digests: what a kill or a
    full disk left is never taken for a checkpoint.
    """

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep

    def steps(self) -> list[int]:
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}"

    def save(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, facts: dict[str, Any]) -> Path:
        with atomic_folder(self.path(step)) as folder:
            for name, state in (("model.pt", model.state_dict()), ("optimizer.pt", optimizer.state_dict())):
                content = io.BytesIO()
                torch.save(state, content)
                write_bytes(folder / name, content.getvalue())
            digests = {name: digest(folder / name) for name in ("model.pt", "optimizer.pt")}
            write_json(folder / "state.json", {"step": step, "sha256": digests, **facts})
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self.path(old))
        return self.path(step)

    def is_whole(self, step: int) -> bool:
        try:
            state = json.loads((self.path(step) / "state.json").read_text())
            return all(digest(self.path(step) / name) == value for name, value in state["sha256"].items())
        except (OSError, ValueError, KeyError):
            return False

    def restore(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, facts: dict[str, Any]
    ) -> tuple[int, list[int]]:
        """Loads the last whole checkpoint into model and optimizer.

        Returns:
            its step (0 without any), and the steps of damaged ones that were passed over.

        Raises:
            UserError: the checkpoint belongs to a run with other `facts` (recipe, data).
        """
        sweep_partial(self.folder)
        damaged = []
        for step in reversed(self.steps()):
            if not self.is_whole(step):
                damaged.append(step)
                continue
            state = json.loads((self.path(step) / "state.json").read_text())
            for name, value in facts.items():
                if state.get(name) != value:
                    raise UserError(
                        f"{self.path(step)} was written with another {name} ({state.get(name)}, now {value}); "
                        "resume with the settings it was started with, or start anew with --overwrite."
                    )
            model.load_state_dict(torch.load(self.path(step) / "model.pt", map_location="cpu", weights_only=True))
            optimizer.load_state_dict(
                torch.load(self.path(step) / "optimizer.pt", map_location="cpu", weights_only=True)
            )
            return step, damaged
        return 0, damaged
