"""The capabilities of this machine's device or of a named GPU."""

import re
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from collotype.report.plan import Hardware
from collotype.runtime.errors import UserError
from collotype.runtime.machine import cpu_threads, cpu_units, describe_cpu, may_have_gpu, memory_for_process
from collotype.runtime.world import World

if TYPE_CHECKING:
    import torch

CARDS: dict[str, tuple[tuple[int, int], int, int]] = {
    "P100": ((6, 0), 16, 19),
    "V100": ((7, 0), 32, 112),
    "T4": ((7, 5), 16, 65),
    "RTX 2080": ((7, 5), 11, 81),
    "A100": ((8, 0), 80, 312),
    "A800": ((8, 0), 80, 312),
    "A10": ((8, 6), 24, 125),
    "A10G": ((8, 6), 24, 70),
    "A40": ((8, 6), 48, 150),
    "RTX 3090": ((8, 6), 24, 71),
    "L4": ((8, 9), 24, 121),
    "L40": ((8, 9), 48, 181),
    "L40S": ((8, 9), 48, 362),
    "RTX 4090": ((8, 9), 24, 165),
    "H100": ((9, 0), 80, 989),
    "H800": ((9, 0), 80, 989),
    "H200": ((9, 0), 141, 989),
}
"""Compute capability, memory in GiB (of several models the largest), TFLOP/s of dense matrix products in half precision
(data sheets)."""


def at_hand(world: World) -> tuple[str, Hardware]:
    """What `present` says of the device that this process would take; torch is asked only where there may be a GPU."""
    if not may_have_gpu():
        return describe_cpu(cpu_threads()), of_cpu()
    from collotype.runtime.device import pick_device

    return present(pick_device(world))


def present(device: "torch.device") -> tuple[str, Hardware]:
    """The device's name, and what it can do."""
    from collotype.runtime.device import describe_device

    name = describe_device(device)
    if device.type != "cuda":
        return name, {**of_cpu(), "kind": device.type}
    import torch

    found: Hardware = {"kind": "cuda", "capability": list(torch.cuda.get_device_capability(device))}
    found["memory_mib"] = torch.cuda.get_device_properties(device).total_memory // 2**20
    if card := next((card for card in sorted(CARDS, key=len, reverse=True) if card in name.upper()), None):
        found["tflops"] = CARDS[card][2]
    return name, found


def of_cpu() -> Hardware:
    found: Hardware = {"kind": "cpu"}
    with suppress(UserError):
        found["memory_mib"] = memory_for_process() // 2**20
    return found


def with_rate(hardware: Hardware, precision: str | None) -> Hardware:
    """The same with `tflops`, if it is this machine's CPU: bf16 may be six times slower there than fp32, or faster."""
    return {**hardware, "tflops": cpu_tflops(precision)} if hardware["kind"] == "cpu" else hardware


ROWS, SIDE = 256, 1024
"""Of the products that are measured: rows of tokens, and a layer's inputs and outputs."""


HALF = {
    "bf16": (("amx_bf16", 4.0), ("avx512_bf16", 2.0), ("bf16", 2.0)),
    "fp16": (("amx_fp16", 4.0), ("avx512_fp16", 2.0), ("asimdhp", 2.0)),
}
"""How many times as fast as in float32 a processor multiplies in half precision, about, by what it has for it."""
WITHOUT_UNITS = 1 / 8
"""Of one that has nothing, measured."""


def cpu_tflops(precision: str | None = None, patience_s: float = 0.06) -> float:
    """Of products as a layer has them, on the threads that torch uses, while the machine does whatever else it does:
    a run is no better off. On each core NumPy multiplies as fast as torch; half precision, which it has not, is
    measured where torch is there already, as in a run, and else told by the processor's units."""
    half = HALF.get(precision or "")
    if half and "torch" in sys.modules:
        rate = rate_of(half_product(str(precision)), patience_s)
    else:
        multiply, threads = whole_product("float64" if precision == "fp64" else "float32"), cpu_threads()
        with ThreadPoolExecutor(threads) as pool:
            # a layer's product is done when the slowest of its threads is
            rate = threads * min(pool.map(lambda _: rate_of(multiply, patience_s), range(threads)))
        if half:
            rate *= next((times for unit, times in half if unit in cpu_units()), WITHOUT_UNITS)
    return round(rate * 2 * ROWS * SIDE**2 / 1e12, 6)


def rate_of(work: Callable[[], object], patience_s: float) -> float:
    """How often a second it is done."""
    work()
    began, times = time.perf_counter(), 0
    while (seconds := time.perf_counter() - began) < patience_s or not times:
        work()
        times += 1
    return times / seconds


def half_product(precision: str) -> Callable[[], object]:
    """torch has another product for layers than `torch.mm`: 12 times as fast in bf16 on processors without units for
    it."""
    import torch
    from torch.nn import functional

    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    tokens, weight = torch.ones(ROWS, SIDE, dtype=dtype), torch.ones(SIDE, SIDE, dtype=dtype)
    return lambda: functional.linear(tokens, weight)


def whole_product(dtype: str) -> Callable[[], object]:
    """On one core, as the command line sets NumPy."""
    import numpy as np

    tokens, weight = np.ones((ROWS, SIDE), dtype), np.ones((SIDE, SIDE), dtype)
    return lambda: tokens @ weight


def named(name: str) -> tuple[str, Hardware]:
    """The same of a card by its name; a size after it (V100-16GB) says its memory.

    Raises:
        UserError: a card we do not know.
    """
    asked = re.sub(r"[\s_-]+", " ", name.strip().upper()).removeprefix("NVIDIA ").removeprefix("TESLA ")
    size = re.search(r"(\d+) ?GB", asked)
    plain = re.sub(r" ?(SXM\d?|PCIE|\d+ ?GB|TI)\b", "", asked).strip()
    if plain not in CARDS:
        raise UserError(f"Unknown GPU {name!r}; the known ones are {', '.join(CARDS)}.")
    capability, memory, tflops = CARDS[plain]
    memory = int(size[1]) if size else memory
    found: Hardware = {"kind": "cuda", "capability": list(capability), "memory_mib": memory * 1024, "tflops": tflops}
    return f"{plain} ({memory} GB)", found
