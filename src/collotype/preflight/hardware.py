"""What a device can do, of the one that is here or of one that is named."""

import re
import time
from contextlib import suppress
from typing import Any

import torch
from torch.nn import functional

from collotype.runtime.device import describe_device, memory_limit
from collotype.runtime.errors import UserError

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

Hardware = dict[str, Any]
"""`kind` (cpu or cuda), `capability` ([major, minor], of a GPU), `memory_mib`, and `tflops` of matrix products in half
precision (of a CPU `with_rate`: measured, in the run's precision), where they are known."""


def present(device: torch.device) -> tuple[str, Hardware]:
    """The device's name, and what it can do."""
    name = describe_device(device)
    if device.type == "cuda":
        found = {"capability": list(torch.cuda.get_device_capability(device))}
        found["memory_mib"] = torch.cuda.get_device_properties(device).total_memory // 2**20
        card = next((card for card in sorted(CARDS, key=len, reverse=True) if card in name.upper()), None)
        return name, {"kind": "cuda", **found, **({"tflops": CARDS[card][2]} if card else {})}
    found = {"kind": device.type}
    with suppress(UserError):
        found["memory_mib"] = memory_limit(device) // 2**20
    return name, found


def with_rate(hardware: Hardware, precision: str | None) -> Hardware:
    """The same with `tflops`, if it is this machine's CPU: bf16 may be six times slower there than fp32, or faster."""
    return {**hardware, "tflops": cpu_tflops(precision)} if hardware["kind"] == "cpu" else hardware


def cpu_tflops(precision: str | None = None, patience_s: float = 0.06) -> float:
    """Of products as a layer has them, on the threads that torch uses, while the machine does whatever else it does:
    a run is no better off. torch has another product for layers than `torch.mm`: 12 times as fast in bf16 here."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}.get(precision or "", torch.float32)
    rows, side = 256, 1024
    tokens, weight, times = torch.ones(rows, side, dtype=dtype), torch.ones(side, side, dtype=dtype), 0
    functional.linear(tokens, weight)
    began = time.perf_counter()
    while (seconds := time.perf_counter() - began) < patience_s or not times:
        functional.linear(tokens, weight)
        times += 1
    return round(times * 2 * rows * side**2 / seconds / 1e12, 6)


def named(name: str) -> tuple[str, Hardware]:
    """The same of a card by its name; a size after it (V100-16GB) says its memory.

    Raises:
        UserError: a card we do not know.
    """
    asked = re.sub(r"[\s_-]+", " ", name.strip().upper()).removeprefix("NVIDIA ").removeprefix("TESLA ")
    size = re.search(r"(\d+) ?GB", asked)
    plain = re.sub(r" ?(SXM\d?|PCIE|\d+ ?GB|TI)\b", "", asked).strip()
    if plain not in CARDS:
        raise UserError(f"No card {name!r}; known are {', '.join(CARDS)}.")
    capability, memory, tflops = CARDS[plain]
    memory = int(size[1]) if size else memory
    found = {"capability": list(capability), "memory_mib": memory * 1024, "tflops": tflops}
    return f"{plain} ({memory} GB)", {"kind": "cuda", **found}
