"""Embeddings and page texts on disk, keyed by digests of the weights and pages that they were made from."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from collotype.runtime.files import atomic_file, write_json


def key_of(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class Cache:
    """Blocks below a folder, each file whole or absent; without a folder everything is made anew."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder
        self.hits = self.misses = 0

    def vectors(self, kind: str, key: str, start: int, make: Callable[[], list[Tensor]]) -> list[Tensor]:
        """Ragged float32 [num_vectors, D] tensors of the block that begins at `start`."""
        if self.folder is None:
            return make()
        path = self.folder / kind / key[:32] / f"{start:07d}.safetensors"
        try:
            with safe_open(path, "pt") as file:
                if file.metadata()["key"] == key:
                    self.hits += 1
                    return list(file.get_tensor("vectors").split(file.get_tensor("lengths").tolist()))
        except (OSError, SafetensorError, KeyError, TypeError, RuntimeError):
            pass  # not there, or not whole: made anew
        self.misses += 1
        found = make()
        tensors = {"vectors": torch.cat(found), "lengths": torch.tensor([len(vectors) for vectors in found])}
        with atomic_file(path) as scratch:
            save_file(tensors, scratch, {"key": key})
        return found

    def texts(self, kind: str, key: str, start: int, make: Callable[[], list[str]]) -> list[str]:
        """The texts of a block, as `vectors`."""
        if self.folder is None:
            return make()
        path = self.folder / kind / key[:32] / f"{start:07d}.json"
        try:
            kept = json.loads(path.read_text())
            if kept["key"] == key:
                self.hits += 1
                return list(kept["texts"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self.misses += 1
        found = make()
        write_json(path, {"key": key, "texts": found})
        return found
