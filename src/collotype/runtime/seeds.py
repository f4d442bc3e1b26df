"""Random numbers as functions of named integers, independent of who computes them and when."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that is a function of `parts` alone, the same on every machine and Python."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_torch(*parts: int | str) -> None:
    """Sets torch's generators (CPU and every GPU) from `parts`."""
    import torch

    torch.manual_seed(derive_seed(*parts))
