"""The launcher of a training program, and its processes and GPUs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from collotype.importers.mapping import MappingLedger, shown
from collotype.importers.shell import ShellCommand, ShellWord, slurm
from collotype.runtime.errors import UserError

LAUNCHERS = {
    "torchrun": "torchrun",
    "torch.distributed.run": "torchrun",
    "torch.distributed.launch": "torch.distributed.launch",
    "accelerate": "accelerate",
    "deepspeed": "deepspeed",
    **dict.fromkeys("mpirun mpiexec mpiexec.hydra orterun prterun horovodrun ibrun aprun jsrun".split(), "mpirun"),
    "srun": "srun",
}
"""By the word that starts them, those first that decide where several do: `srun torchrun …` is a torchrun."""
TOTAL = {
    "accelerate": ("--num_processes",),
    "mpirun": ("-n", "-np", "--np", "-c", "--n"),
}
PER_NODE = {
    "torchrun": ("--nproc_per_node",),
    "torch.distributed.launch": ("--nproc_per_node",),
    "deepspeed": ("--num_gpus",),
    "mpirun": ("-N", "-npernode", "--npernode", "-ppn", "--ppn"),
}
NODES = {
    "torchrun": ("--nnodes",),
    "torch.distributed.launch": ("--nnodes",),
    "deepspeed": ("--num_nodes",),
}
SLURM = ("--nodes", "--ntasks", "--ntasks-per-node", "--ntasks-per-gpu", "-N", "-n", "--tasks-per-node")
ATTACHED = re.compile(r"(-np?|-N)(\d+)")
SWITCHES = ("--standalone", "--multi_gpu", "--multi-gpu", "--exclusive", "--unbuffered", "-u", "--oversubscribe")
"""Flags of launchers that no value follows."""
COUNT = re.compile(r"[1-9]\d{0,5}")

GPUS = re.compile(
    r"(?<![\w./-])(?:gpu:)?(V-?100|[AH]-?100|A800|H800|H200|P100|T4|L4|L40S?|A10G?|A40|RTX ?\d{4})(?![\w/]|\.\w)", re.I
)
OURS = "any launcher works here and changes no number"
ENVIRONMENT = "an environment variable; a recipe does not depend on the environment"
ASSUMED = "1 process is assumed: give --processes"


@dataclass(frozen=True)
class Launch:
    """A Python program and how it is started."""

    launcher: str
    """python, torchrun, torch.distributed.launch, accelerate, deepspeed, srun or mpirun."""
    program: str
    """A script's path, or a module's name."""
    arguments: Sequence[str]
    """Words (`shell.ShellWord`) that know what of them the text does not tell."""
    flags: dict[str, str]
    """Of the launcher, and variables of the environment, by name."""
    processes: int | None = None
    """None: the text does not say."""
    devices: int | None = None
    """GPUs that the command shows its program; none: it does not say."""
    assumed: str = ""
    """Why the number of processes is not sure, in a sentence."""
    guess: int = 1
    """What is then assumed."""
    line: int = 0
    notes: tuple[str, ...] = ()
    """What was taken for granted in the script, a sentence each."""
    filled: str = ""
    """What adds words that only a run knows: xargs."""
    cut: ShellWord | None = None
    """The flag that begins a line of its own after it."""

    def shared_by(self, given: int | None) -> int:
        """How many processes share a batch; `given` by the user, where the text does not say."""
        return (given or self.processes or 1) if self.launcher == "python" else self.processes or given or self.guess

    @property
    def tail(self) -> str:
        """The last part of what is started: `train_colbert.py`, `open_clip_train.main`."""
        return PurePosixPath(self.program).name


def launch_of(command: ShellCommand) -> Launch | None:
    """How this command starts a Python program; none if it starts something else.

    Raises:
        UserError: the number of processes is none.
    """
    place = program_place(command.words)
    if place is None:
        return None
    owned = owners(command.words[:place])
    launcher = next((name for name in dict.fromkeys(LAUNCHERS.values()) if name in owned), "python")
    flags = {f"{owner} {name}": value for owner, given in owned.items() for name, value in given.items()}
    own = owned.get(launcher, {})
    job = command.job | slurm.options(words_of_options(owned.get("srun", {})))
    devices = devices_of(command.environment) or slurm.gpus_per_node(job)
    processes, assumed = processes_of(launcher, own, job, devices, command.environment)
    strange = strange_word(command.words[:place], launcher)
    if strange and not assumed:
        assumed = f"the text does not set {shown(strange)}, which starts it; {processes or 1} is assumed"
    return Launch(
        launcher=launcher,
        program=command.words[place],
        arguments=command.words[place + 1 :],
        flags=flags | command.environment,
        processes=None if assumed else processes,
        devices=devices,
        assumed=assumed,
        guess=processes or 1,
        line=command.line,
        filled=next((word for word in command.words[:place] if word in ("xargs", "parallel")), ""),
        notes=command.notes,
        cut=command.cut,
    )


def strange_word(words: Sequence[ShellWord], launcher: str) -> str:
    """A word that is not known and may say how many processes there are: before a program without launcher, or behind
    the launcher's own."""
    places = [place for place, word in enumerate(words) if LAUNCHERS.get(PurePosixPath(word).name) == launcher]
    own = words[places[-1] if places else 0 :]
    values = {place + 1 for place, word in enumerate(own) if word.startswith("-") and word not in SWITCHES}
    return next((word for place, word in enumerate(own) if word.loose and place not in values), "")


def program_place(words: Sequence[str]) -> int | None:
    """Where the script or module stands that is no launcher itself."""
    for place, word in enumerate(words):
        named = place > 0 and words[place - 1] in ("-m", "--module")
        if (named and word not in LAUNCHERS) or (word.endswith(".py") and not word.startswith("-")):
            return place
    return None


def owners(words: Sequence[ShellWord]) -> dict[str, dict[str, str]]:
    """The flags before a program by what they belong to: a launcher, or another word that starts it (`conda`)."""
    owned: dict[str, dict[str, str]] = {}
    start = 0
    for place, word in enumerate((*words, ShellWord("python"))):
        if place == len(words) or (place > start and PurePosixPath(word).name in LAUNCHERS):
            own = words[start:place]
            if own:
                name = PurePosixPath(own[0]).name
                owned[LAUNCHERS.get(name, name)] = owned.get(LAUNCHERS.get(name, name), {}) | flags_of(own[1:])
            start = place
    return owned


def flags_of(words: Sequence[str]) -> dict[str, str]:
    """`--name value`, `--name=value`, `-n8`; names as written."""
    flags = {}
    for word, after in pairwise((*words, "")):
        if attached := ATTACHED.fullmatch(word):
            flags[attached[1]] = attached[2]
        elif word.startswith("--") and "=" in word:
            name, _, value = word.partition("=")
            flags[name] = value
        elif word.startswith("-") and word not in ("-m", "--module", "-", "--"):
            flags[word] = "" if after.startswith("-") or is_program(after) else after
    return flags


def words_of_options(flags: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" if name.startswith("--") else f"{name}{value}" for name, value in flags.items()]


def is_program(word: str) -> bool:
    return word.startswith("python") or PurePosixPath(word).name in LAUNCHERS or word.endswith(".py")


def processes_of(
    launcher: str, flags: Mapping[str, str], job: Mapping[str, str], devices: int | None, environment: Mapping[str, str]
) -> tuple[int | None, str]:
    """How many processes a launcher starts, and why that is not sure."""
    if launcher == "python":
        world_size, tasks = environment.get("WORLD_SIZE", ""), slurm.tasks(job) or 1
        count = int(world_size) if "RANK" in environment and COUNT.fullmatch(world_size) else 1
        return count, f"the job has {tasks} tasks, but without srun only one of them starts" if tasks > count else ""
    if launcher == "srun":
        started = slurm.tasks(job)
        return started, "" if started else f"srun's number of tasks is not in the text; {ASSUMED}"
    unknown: list[str] = []
    total = count_of(flags, TOTAL.get(launcher, ()), launcher, unknown)
    per_node = count_of(flags, PER_NODE.get(launcher, ()), launcher, unknown, devices)
    nodes = count_of(flags, NODES.get(launcher, ()), launcher, unknown)
    if unknown:
        return (total or (per_node or 1) * (nodes or 1)), f"{unknown[0]}; 1 is assumed: give --processes"
    if launcher in ("torchrun", "torch.distributed.launch"):
        return (per_node or 1) * (nodes or 1), ""
    listed = total or listed_slots(launcher, flags, per_node)
    if listed:
        return listed, ""
    if per_node:
        return per_node * (nodes or 1), ""
    if launcher == "mpirun" and (slots := slurm.tasks(job)):
        return slots, ""
    if devices and launcher in ("accelerate", "deepspeed"):
        return devices * (
            nodes or 1
        ), f"{launcher}'s number of processes is not given; one for each of {devices} GPUs is assumed"
    return None, f"{launcher}'s number of processes is not in the text; {ASSUMED}"


def listed_slots(launcher: str, flags: Mapping[str, str], per_node: int | None) -> int | None:
    """Of hosts or GPUs that are named one by one: `-H a:4,b:4`, `--include localhost:0,1`, `--map-by ppr:8:node`."""
    if launcher == "deepspeed" and (included := flags.get("--include")):
        return sum(len(host.partition(":")[2].split(",")) for host in included.split("@") if ":" in host) or None
    hosts = next((flags[name] for name in ("-H", "-host", "--host", "-hosts") if flags.get(name)), "")
    if launcher != "mpirun" or not re.fullmatch(r"[\w.:,-]+", hosts):
        return None
    named = [one.partition(":")[2] for one in hosts.split(",") if one]
    return sum(int(slots) if slots.isdigit() else per_node or 1 for slots in named)


def count_of(
    flags: Mapping[str, str], names: tuple[str, ...], launcher: str, unknown: list[str], devices: int | None = None
) -> int | None:
    """What a flag counts; what only a run knows is noted as unknown.

    Raises:
        UserError: it is given and no number.
    """
    for name, value in flags.items():
        if not is_one_of(name, names):
            continue
        if value in ("gpu", "auto") and devices:
            return devices
        if "$" in value or "`" in value or value in ("gpu", "auto"):
            unknown.append(f"{launcher} {name} is {shown(value)}, which the text does not set")
            return None
        if not COUNT.fullmatch(value.partition(":")[0]):
            raise UserError(f"{launcher} {name} is {shown(value)!r}; it must be a number from 1 to 999999.")
        return int(value.partition(":")[0])
    return None


def is_one_of(flag: str, names: Sequence[str]) -> bool:
    """Launchers write `--nproc-per-node` and `--nproc_per_node`."""
    return flag.replace("-", "_") in {name.replace("-", "_") for name in names}


def devices_of(environment: Mapping[str, str]) -> int | None:
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    if re.fullmatch(r"[\w-]+(,[\w-]+)*,?", visible):
        return len([one for one in visible.split(",") if one])
    return None


def device_named(text: str) -> str | None:
    """The GPU that a text speaks of; none if it names none, or several."""
    found = {name.upper().replace("-", "") for name in GPUS.findall(text)}
    return found.pop() if len(found) == 1 else None


def account_for_launch(ledger: MappingLedger, launch: Launch | None, given: int | None = None) -> None:
    """Notes what becomes of the launcher's flags and of the environment, and what of the launch was assumed."""
    if launch and launch.assumed and not given:
        ledger.assume("processes", launch.assumed)
    for note in launch.notes if launch else ():
        ledger.assume(*note.split(": ", 1))
    for name in launch.flags if launch else ():
        owner, _, flag = name.partition(" ")
        if flag and is_one_of(flag, [*counting(owner)]):
            ledger.account("origin.processes", (name,))
        elif launch and name == "CUDA_VISIBLE_DEVICES" and launch.devices and "devices" in ledger.settings:
            ledger.account("origin.devices", (name,))
        else:
            ledger.leave(name, OURS if flag else ENVIRONMENT)


def counting(launcher: str) -> Iterator[str]:
    """The flags of a launcher that say how many processes there are."""
    for names in (TOTAL, PER_NODE, NODES):
        yield from names.get(launcher, ())
    if launcher == "srun":
        yield from SLURM
