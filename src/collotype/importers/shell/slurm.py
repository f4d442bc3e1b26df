"""Slurm's settings of a job: `#SBATCH` lines, and the options of `sbatch`, `salloc` and `srun`."""

import re
import shlex
from collections.abc import Mapping, Sequence

from collotype.importers.shell.words import ShellWord

SHORT = {
    "-N": "--nodes",
    "-n": "--ntasks",
    "-c": "--cpus-per-task",
    "-G": "--gpus",
    "-J": "--job-name",
    "-a": "--array",
    "-p": "--partition",
    "--tasks": "--ntasks",
    "--tasks-per-node": "--ntasks-per-node",
}
COUNTED = {
    "SLURM_NNODES": "--nodes",
    "SLURM_JOB_NUM_NODES": "--nodes",
    "SLURM_NTASKS": "--ntasks",
    "SLURM_NPROCS": "--ntasks",
    "SLURM_NTASKS_PER_NODE": "--ntasks-per-node",
    "SLURM_CPUS_PER_TASK": "--cpus-per-task",
    "SLURM_GPUS": "--gpus",
    "SLURM_GPUS_PER_NODE": "--gpus-per-node",
    "SLURM_GPUS_PER_TASK": "--gpus-per-task",
    "SLURM_GPUS_ON_NODE": "gpus on a node",
    "SLURM_ARRAY_TASK_ID": "--array",
    "SLURM_JOB_NAME": "--job-name",
}
"""Variables that Slurm sets, and the option each holds."""
NUMBER = re.compile(r"(?:\w+:)*(\d{1,6})(?:-\d+)?")


def directives(text: str) -> dict[str, str]:
    """The options of the `#SBATCH` lines, which Slurm reads down to the first command."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("#SBATCH"):
            try:
                words = shlex.split(line.removeprefix("#SBATCH"), comments=True)
            except ValueError:
                words = line.split()[1:]
            found |= options(words)
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return found


def options(words: Sequence[str]) -> dict[str, str]:
    """Options by their long names."""
    found: dict[str, str] = {}
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        after = words[place + 1] if place + 1 < len(words) and not words[place + 1].startswith("-") else ""
        if attached := re.fullmatch(r"(-[NncGJap])(.+)", word):
            found[SHORT[attached[1]]] = attached[2]
        elif word.startswith("-"):
            found[SHORT.get(name, name)] = value if equals else after
    return found


def count(options: Mapping[str, str], name: str) -> int | None:
    """The number that an option holds: `4`, `a100:4`, of `2-4` the smaller."""
    found = NUMBER.fullmatch(options.get(name, ""))
    return int(found[1]) or None if found else None


def gpus_per_node(options: Mapping[str, str]) -> int | None:
    listed = re.search(r"gpu(?::[\w.-]+)*?(?::(\d{1,4}))?(?:\(|,|$)", options.get("--gres", ""))
    in_list = int(listed[1] or 1) if listed else None
    nodes, per_task = count(options, "--nodes") or 1, count(options, "--gpus-per-task")
    total = count(options, "--gpus")
    per_node = count(options, "--gpus-per-node") or in_list or (total // nodes if total else None)
    return per_node or (per_task * (tasks(options) or 1) // nodes if per_task else None)


def tasks(options: Mapping[str, str]) -> int | None:
    """How many processes `srun` starts; none if no option says so. Without others, one for each node."""
    nodes, total, per_node = (count(options, name) for name in ("--nodes", "--ntasks", "--ntasks-per-node"))
    if total:
        return total
    if per_node:
        return per_node * (nodes or 1)
    per_gpu, gpus = count(options, "--ntasks-per-gpu"), count(options, "--gpus")
    if per_gpu and (gpus or count(options, "--gpus-per-node")):
        return per_gpu * (gpus or (count(options, "--gpus-per-node") or 1) * (nodes or 1))
    if "--nodes" in options or "--ntasks" in options:
        return nodes if "--ntasks" not in options else None
    return None


def environment(options: Mapping[str, str]) -> dict[str, ShellWord]:
    """The variables of Slurm that these options fill in."""
    known = dict(options)
    if options:
        known.setdefault("--nodes", "1")
        if total := tasks(options):
            known.setdefault("--ntasks", str(total))
        if gpus := gpus_per_node(options):
            known["gpus on a node"] = str(gpus)
    held = {variable: known[name] for variable, name in COUNTED.items() if name in known}
    return {
        variable: ShellWord(value)
        for variable, value in held.items()
        if value and (variable == "SLURM_JOB_NAME" or re.fullmatch(r"\d{1,6}", value))
    }
