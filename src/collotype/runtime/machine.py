"""The hardware of this machine, without torch."""

import os
import re
import sys
from pathlib import Path

from collotype.runtime.errors import UserError
from collotype.runtime.world import World

GPUS = ("nvidia0", "nvidiactl", "dxg", "kfd")
"""Of NVIDIA's driver, of WSL's and of AMD's, what there is in /dev where torch may find a GPU."""


def may_have_gpu() -> bool:
    """May torch find a GPU, or is another device than the CPU asked for? Then only torch can tell."""
    if forced := os.environ.get("COLLOTYPE_DEVICE"):
        return forced != "cpu"
    return sys.platform == "win32" or any(Path("/dev", name).exists() for name in GPUS)


def cpu_threads() -> int:
    """On how many threads torch computes where nobody has told it another number: on no more than there are cores."""
    limits = [os.environ.get(variable, "").split(",")[0] for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")]
    return max(1, min([cores(), *(int(number) for number in limits if number.isdigit())]))


def cores() -> int:
    """That this process may use, of which each counts once, however many threads it runs at a time."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    siblings = set()
    for number in usable:
        place = Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list")
        siblings.add(place.read_text() if place.is_file() else str(number))
    return len(siblings)


def cpu_units() -> set[str]:
    """What the processor has, as Linux calls it: avx2, amx_bf16, …; nothing where it is not told."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^(?:flags|Features)\s*:(.*)", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.is_file() else None
    return set(found[1].split()) if found else set()


def describe_cpu(threads: int) -> str:
    return f"CPU, {threads} thread{'s' * (threads > 1)}"


def memory_for_process() -> int:
    """The memory in bytes that this process may come to hold: its part of what the machine has left.

    Raises:
        UserError: this system does not tell.
    """
    try:
        available = re.findall(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())[0]
        resident = re.findall(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]
        return (int(resident) + int(available) // World.from_environment().size) * 1024
    except (OSError, IndexError) as error:
        raise UserError(
            "train.micro_batch is auto, but this system does not report its free memory; give a number."
        ) from error
