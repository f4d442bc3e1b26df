"""What a device can do, of the one that is here or of one that is named."""

import re
import time
from contextlib import suppress
from typing import Any

import torch

from collotype.runtime.device import describe_device, memory_limit
from collotype.runtime.errors import UserError
from collotype.runtime.threads import one_thread

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
precision (of a CPU measured, in fp32), where they are known."""


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
    return name, {**found, **({"tflops": cpu_tflops()} if device.type == "cpu" else {})}


def cpu_tflops(side: int = 384, patience_s: float = 0.03) -> float:
    """Of fp32 matrix products on as many threads as torch uses: one thread's, since several wait for each other where
    the machine has other work, and the best of what fits into `patience_s`, for the same reason."""
    matrix, best, threads = torch.ones(side, side), float("inf"), torch.get_num_threads()
    with one_thread():
        torch.mm(matrix, matrix)
        until = time.perf_counter() + patience_s
        while (began := time.perf_counter()) < until:
            torch.mm(matrix, matrix)
            best = min(best, time.perf_counter() - began)
    return round(threads * 2 * side**3 / best / 1e12, 4)


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
