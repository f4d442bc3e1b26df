"""Checkpoints, written completely or not at all, and resuming from the last one.

torch.distributed.checkpoint takes a second to import, which a command that writes none should not pay.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from collotype.runtime.files import atomic_folder, remove, write_json
from collotype.runtime.process import on_main
from collotype.runtime.world import World

FLAT: dict[str, Any] = {"flatten_optimizer_state_dict": True, "ignore_frozen_params": True, "strict": False}
"""Frozen weights are left out: they are a function of the recipe."""

NOTHING: Mapping[str, Tensor] = MappingProxyType({})


class Checkpoints:
    """The folder `checkpoints/` of a run: `step-NNNNNN/{*.safetensors, state.json}`.

    Weights and optimiser state are written by torch.distributed.checkpoint, each process its part, and read by any
    number of processes, sharded or not. A checkpoint appears by a rename after its files are synced, and `state.json`
    holds their digests: what a kill or a full disk left is never taken for a checkpoint.
    """

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep

    def steps(self) -> list[int]:
        names = [path.name.removeprefix("step-") for path in self.folder.glob("step-*")]
        return sorted(int(name) for name in names if name.isdigit())

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}"

    def save(
        self,
        step: int,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        facts: dict[str, Any],
        world: World,
        sharded: bool = False,
        best: int | None = None,
        beside: Mapping[str, Tensor] = NOTHING,
    ) -> None:
        """Writes the checkpoint of `step`, then removes all but the newest `keep` and that of step `best`.

        Args:
            beside: what else a step changes, by names of its own.

        Every process calls this; only where the model is sharded does any but the main one write.
        """
        with ExitStack() as whole_or_absent:
            folder = on_main(world, lambda: whole_or_absent.enter_context(atomic_folder(self.path(step))))
            if sharded:
                write({**state_of(model, optimizer), **beside}, folder, alone=False)
            else:
                on_main(world, lambda: write({**state_of(model, optimizer), **beside}, folder, alone=True))

            def finish() -> None:
                digests = {file.name: digest(file) for file in sorted(folder.glob("*.safetensors"))}
                write_json(folder / "state.json", {"step": step, "sha256": digests, **facts})
                whole_or_absent.close()
                for old in self.steps()[: -self.keep]:
                    if old != best:
                        remove(self.path(old))

            on_main(world, finish)

    def facts(self, step: int) -> dict[str, Any] | None:
        """What `save` was told, if every file of the checkpoint is as it was written."""
        try:
            state: dict[str, Any] = json.loads((self.path(step) / "state.json").read_text())
            if any(digest(self.path(step) / name) != value for name, value in state["sha256"].items()):
                return None
        except (OSError, ValueError, KeyError, AttributeError):
            return None
        return state

    def newest(self) -> tuple[int, dict[str, Any], list[int]]:
        """The newest whole checkpoint's step and facts (0 and none, if there is none); damaged ones are removed.

        Returns:
            step, facts, and the steps of the damaged ones.
        """
        damaged: list[int] = []
        for step in reversed(self.steps()):
            facts = self.facts(step)
            if facts is not None:
                return step, facts, damaged
            damaged.append(step)
            remove(self.path(step))
        return 0, {}, damaged

    def load(
        self,
        step: int,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        sharded: bool = False,
        beside: Mapping[str, Tensor] = NOTHING,
    ) -> None:
        """The weights and the optimiser's state of a checkpoint that `newest` named, and, in place, what was saved
        beside them; every process calls this."""
        import torch.distributed.checkpoint as dcp
        from torch.distributed.checkpoint import HuggingFaceStorageReader
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

        tensors, flat = {**state_of(model, optimizer), **beside}, StateDictOptions(**FLAT)
        reader = HuggingFaceStorageReader(str(self.path(step)))
        with unheard("torch.distributed is disabled"):
            dcp.load(tensors, storage_reader=reader, no_dist=not sharded)
        weights, state = get_state_dict(model, optimizer, options=flat)
        loaded: dict[str, Any] = {**state}
        loaded |= {name: tensors[f"optimizer.{name}"] for name, value in state.items() if isinstance(value, Tensor)}
        weights = {name: tensors[f"model.{name}"] for name in weights}
        set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=loaded, options=flat)


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Everything a step changes; learning rates and other settings are the recipe's."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

    weights, state = get_state_dict(model, optimizer, options=StateDictOptions(**FLAT))
    found: dict[str, Any] = {f"model.{name}": value for name, value in weights.items()}
    return found | {f"optimizer.{name}": value for name, value in state.items() if isinstance(value, Tensor)}


def write(tensors: dict[str, Tensor], folder: Path, alone: bool) -> None:
    """Each process's part of `tensors` as safetensors files; `alone` writes without the other processes."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint import HuggingFaceStorageWriter

    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        with unheard("torch.distributed is disabled"):
            dcp.save(tensors, storage_writer=writer, no_dist=alone)
    except dcp.api.CheckpointException as error:
        # a full disk is to be told as such
        for problem, _ in error.failures.values():
            if isinstance(problem, OSError):
                raise problem from error
        raise


@contextmanager
def unheard(beginning: str) -> Iterator[None]:
    """Keeps a warning that begins so, and says what was asked for, from the user."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=beginning)
        yield


def digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
