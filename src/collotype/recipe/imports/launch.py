"""Who starts a training program, on how many processes and GPUs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from collotype.recipe.imports.ledger import Ledger, shown
from collotype.recipe.imports.shell import Command
from collotype.runtime.errors import UserError

LAUNCHERS = {
    "torchrun": "torchrun",
    "torch.distributed.run": "torchrun",
    "torch.distributed.launch": "torch.distributed.launch",
    "accelerate": "accelerate",
    "deepspeed": "deepspeed",
    "mpirun": "mpirun",
    "mpiexec": "mpirun",
    "srun": "srun",
}
"""By the word that starts them, those first that decide where several do: `srun torchrun …` is a torchrun."""
PER_NODE = ("--nproc_per_node", "--ntasks_per_node", "--num_gpus")
NODES = ("--nnodes", "--num_nodes", "--nodes", "-N")
TOTAL = ("--num_processes", "--ntasks", "-n", "-np", "--np")
ATTACHED = re.compile(r"(-np?|-N)(\d+)")
COUNT = re.compile(r"[1-9]\d{0,5}")

GPUS = re.compile(
    r"(?<![\w./-])(?:gpu:)?(V-?100|[AH]-?100|A800|H800|H200|P100|T4|L4|L40S?|A10G?|A40|RTX ?\d{4})(?![\w/]|\.\w)", re.I
)
OURS = "here any launcher will do, and changes no number"
ENVIRONMENT = "a variable of the environment; recipes are the same wherever they run"


@dataclass(frozen=True)
class Launch:
    """A Python program and how it is started."""

    launcher: str
    """python, torchrun, torch.distributed.launch, accelerate, deepspeed, srun or mpirun."""
    program: str
    """A script's path, or a module's name."""
    arguments: list[str]
    flags: dict[str, str]
    """Of the launcher, and variables of the environment, by name."""
    processes: int | None = None
    """None: the command does not say."""
    devices: int | None = None
    """GPUs that the command shows its program; none: it does not say."""

    def shared_by(self, told: int | None) -> int:
        """How many processes share a batch; `told` by the user, where the command does not say."""
        return told or 1 if self.launcher == "python" else self.processes or told or 1

    @property
    def tail(self) -> str:
        """The last part of what is started: `train_colbert.py`, `open_clip_train.main`."""
        return PurePosixPath(self.program).name


def launch_of(command: Command) -> Launch | None:
    """How this command starts a Python program; none if it starts something else.

    Raises:
        UserError: the number of processes is one that only a shell knows, or none.
    """
    place = program_place(command.words)
    if place is None:
        return None
    before = command.words[:place]
    tails = [PurePosixPath(word).name for word in before]
    launcher = next((name for word, name in LAUNCHERS.items() if word in tails), "python")
    flags = flags_of(before)
    devices = devices_of(flags, command.environment)
    return Launch(
        launcher=launcher,
        program=command.words[place],
        arguments=command.words[place + 1 :],
        flags={f"{launcher} {name}": value for name, value in flags.items()} | command.environment,
        processes=1 if launcher == "python" else processes_of(launcher, flags, devices),
        devices=devices,
    )


def program_place(words: Sequence[str]) -> int | None:
    """Where the script or module stands that is no launcher itself."""
    for place, word in enumerate(words):
        named = place > 0 and words[place - 1] in ("-m", "--module")
        if (named and word not in LAUNCHERS) or (word.endswith(".py") and not word.startswith("-")):
            return place
    return None


def flags_of(words: Sequence[str]) -> dict[str, str]:
    """`--name value`, `--name=value`, `-n8`; names as written."""
    flags = {}
    for word, after in pairwise((*words, "")):
        if attached := ATTACHED.fullmatch(word):
            flags[attached[1]] = attached[2]
        elif word.startswith("--") and "=" in word:
            name, _, value = word.partition("=")
            flags[name] = value
        elif word.startswith("-") and word not in ("-m", "--module", "-"):
            flags[word] = "" if after.startswith("-") or is_program(after) else after
    return flags


def is_program(word: str) -> bool:
    return word.startswith("python") or PurePosixPath(word).name in LAUNCHERS or word.endswith(".py")


def processes_of(launcher: str, flags: dict[str, str], devices: int | None) -> int | None:
    total = count_of(flags, TOTAL, launcher)
    per_node, nodes = count_of(flags, PER_NODE, launcher, devices), count_of(flags, NODES, launcher)
    if launcher in ("torchrun", "torch.distributed.launch"):
        return (per_node or 1) * (nodes or 1)
    if total is not None:
        return total
    return None if per_node is None and nodes is None else (per_node or devices or 1) * (nodes or 1)


def count_of(flags: dict[str, str], names: tuple[str, ...], launcher: str, devices: int | None = None) -> int | None:
    """
    Raises:
        UserError: it is given and no number.
    """
    for name, value in flags.items():
        if not is_one_of(name, names):
            continue
        if value in ("gpu", "auto") and devices:
            return devices
        if not COUNT.fullmatch(value.partition(":")[0]):
            raise UserError(f"{launcher} {name} is {shown(value)!r}, which is no number from 1 to 999999; write one.")
        return int(value.partition(":")[0])
    return None


def is_one_of(flag: str, names: Sequence[str]) -> bool:
    """Launchers write `--nproc-per-node` and `--nproc_per_node`."""
    return flag.replace("-", "_") in {name.replace("-", "_") for name in names}


def devices_of(flags: dict[str, str], environment: dict[str, str]) -> int | None:
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    if re.fullmatch(r"[\w-]+(,[\w-]+)*,?", visible):
        return len([one for one in visible.split(",") if one])
    asked = re.search(r"(?:gpu:(?:\w+:)?|^)(\d{1,6})$", flags.get("--gres", flags.get("--gpus-per-node", "")))
    return int(asked[1]) or None if asked else None


def device_named(text: str) -> str | None:
    """The GPU that a text speaks of; none if it names none, or several."""
    found = {name.upper().replace("-", "") for name in GPUS.findall(text)}
    return found.pop() if len(found) == 1 else None


def account_for_launch(ledger: Ledger, launch: Launch | None) -> None:
    """Notes what becomes of the launcher's flags and of the environment."""
    for name in launch.flags if launch else ():
        flag = name.partition(" ")[2]
        if is_one_of(flag, (*PER_NODE, *NODES, *TOTAL)):
            ledger.account("origin.processes", (name,))
        elif name == "CUDA_VISIBLE_DEVICES" and launch.devices:
            ledger.account("origin.devices", (name,))
        else:
            ledger.leave(name, OURS if flag else ENVIRONMENT)
