"""What tells one set of weights from another."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collotype.runtime.errors import UserError
from collotype.runtime.files import cache_folder, write_json
from collotype.runtime.stages import in_gb, stage

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from collotype.runtime.weights import Source, Weights

Marks = tuple[tuple[str, Any, int], ...]


def state_digest(model: "nn.Module", dtype: "torch.dtype | None" = None) -> str:
    """A digest of every weight and buffer by name, as numbers of `dtype` (none: as they are)."""
    from collotype.runtime.weights import Held

    return digest({name: Held(tensor.detach().cpu()) for name, tensor in model.state_dict().items()}, dtype)


def digest(sources: "Mapping[str, Source]", dtype: "torch.dtype | None") -> str:
    """A digest of tensors by name, read in pieces."""
    import torch

    content = hashlib.sha256()
    for name, source in sorted(sources.items()):
        content.update(name.encode())
        for piece in source.pieces():
            content.update(piece.to(dtype or piece.dtype).view(torch.uint8).numpy())
    return content.hexdigest()


@dataclass(frozen=True)
class FileDigest:
    """The digest of a loaded model's weights, kept by what is cheap to see of the files that they come from."""

    sources: "Mapping[str, Source]"
    """By the names of the model's state."""
    files: frozenset[Path]
    marks: Marks
    """What the model's tensors were when they were loaded."""

    @classmethod
    def of_loaded(cls, model: "nn.Module", weights: "Weights", names: Mapping[str, str]) -> "FileDigest | None":
        """Of a model just loaded from files: key of its state -> name of the weight."""
        if not weights.files:
            return None
        return cls({key: weights.sources[name] for key, name in names.items()}, weights.files, marks_of(model))

    def of(self, model: "nn.Module", facts: str) -> str | None:
        """What `state_digest` gives of the weights in float32; none where the model has changed since it was loaded.

        Args:
            facts: all beside the files that decides what the weights are.
        """
        import torch

        if marks_of(model) != self.marks:
            return None
        kept = cache_folder() / "digests" / f"{self.key(facts)}.json"
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads(kept.read_text())["sha256"])
        size = sum(file.stat().st_size for file in self.files)
        with stage(f"reading {in_gb(size)} of weights once, to know them by their digest"):
            found = digest(self.sources, torch.float32)
        with suppress(UserError):
            # where nothing can be kept it is read again
            write_json(kept, {"sha256": found, "files": sorted(map(str, self.files))})
        return found

    def key(self, facts: str) -> str:
        """Names and shapes, and each file's place, size and times: a copy in its place has others."""
        import transformers

        shapes = [[key, list(source.shape), str(source.dtype)] for key, source in self.sources.items()]
        seen = sorted(seen_of(file) for file in self.files)
        versions = [transformers.__version__]
        return hashlib.sha256(json.dumps([facts, shapes, seen, versions]).encode()).hexdigest()


def seen_of(file: Path) -> list[Any]:
    place = file.resolve()
    told = place.stat()
    return [str(place), told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino]


def marks_of(model: "nn.Module") -> Marks:
    """Changes with what is done to a model: torch counts what is written into a tensor."""
    named: Iterable[tuple[str, Tensor]] = chain(model.named_parameters(), model.named_buffers())
    return tuple((name, tensor.dtype, version(tensor)) for name, tensor in named)


def version(tensor: "Tensor") -> int:
    return 0 if tensor.is_inference() else tensor._version
