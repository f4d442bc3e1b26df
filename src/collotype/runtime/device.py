"""Which device a process computes on."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from collotype.runtime.errors import UserError, first_line
from collotype.runtime.machine import describe_cpu, memory_for_process
from collotype.runtime.world import World


def pick_device(world: World) -> torch.device:
    """This process's GPU where there is one, else the CPU. `COLLOTYPE_DEVICE` overrides it.

    Raises:
        UserError: COLLOTYPE_DEVICE names no device.
    """
    forced = os.environ.get("COLLOTYPE_DEVICE")
    if forced:
        try:
            return torch.device(forced)
        except RuntimeError as error:
            raise UserError(
                f"COLLOTYPE_DEVICE is {forced!r}, which is not a device; use cpu, cuda or cuda:1."
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda", world.local_rank % torch.cuda.device_count())
    return torch.device("cpu")


@contextmanager
def room_on(device: torch.device, advice: str) -> Iterator[None]:
    """Turns a full GPU into a UserError with that advice."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(f"{describe_device(device)} ran out of memory ({first_line(error)}); {advice}.") from error


def describe_device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return describe_cpu(torch.get_num_threads())


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
AUTO = "auto"
UNITS = {torch.bfloat16: ("amx_bf16", "avx512_bf16", "bf16"), torch.float16: ("amx_fp16", "avx512_fp16")}
"""What a CPU has, one of it, that computes in half precision; without, torch does it several times slower than in
float32."""


def computes_in(device: torch.device, dtype: torch.dtype) -> bool:
    """Has the device units for matrix products in this type?"""
    if dtype not in UNITS or device.type not in ("cpu", "cuda"):
        return True
    if device.type == "cuda":
        return dtype is torch.float16 or torch.cuda.is_bf16_supported(including_emulation=False)
    has = torch.cpu.get_capabilities()
    return any(has.get(unit) for unit in UNITS[dtype])


def choose_dtype(name: str | None, lies_in: torch.dtype, device: torch.device) -> torch.dtype:
    """The type that a model's weights are held and computed in.

    Args:
        name: of DTYPES; auto, which keeps half precision where the device computes in it; None: fp32.
        lies_in: the type of the weights in their files.

    Raises:
        UserError: no such type, or one that this GPU does not compute in.
    """
    if name not in (None, AUTO, *DTYPES):
        raise UserError(f"Unknown dtype {name!r}; the choices are {AUTO}, {', '.join(DTYPES)}.")
    if name == AUTO:
        return lies_in if lies_in in UNITS and computes_in(device, lies_in) else torch.float32
    chosen = DTYPES[name or "fp32"]
    if device.type == "cuda" and not computes_in(device, chosen):
        raise UserError(f"The dtype is {name}, which {describe_device(device)} does not support; use fp16 or fp32.")
    return chosen


def computed_on(device: torch.device) -> str:
    """What decides the last digits of a model's outputs here: the kind of device, and what autocast, if this is within
    it, has matrix products in."""
    kind = device.type
    half = f" in {torch.get_autocast_dtype(kind)}" if torch.is_autocast_enabled(kind) else ""
    return kind + half


def peak_memory(device: torch.device) -> int:
    """The most memory in bytes this process has held so far, or since `reset_peak_memory`: on the GPU where it
    computes there, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    in_kibibytes = sys.platform != "darwin"
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if in_kibibytes else 1)


def reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def memory_limit(device: torch.device) -> int:
    """The memory in bytes that this process may come to hold: the GPU's, or its part of what the machine has left.

    Raises:
        UserError: this system does not tell.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    return memory_for_process()
