"""Digests of weights."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collotype.runtime.dry_run import is_dry
from collotype.runtime.errors import UserError
from collotype.runtime.files import cache_folder, write_json
from collotype.runtime.stage_messages import in_gb, stage

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from collotype.runtime.weights import Source, Weights

Marks = tuple[tuple[str, Any, int], ...]
UNREAD = ""
"""In the place of a digest that nobody has computed."""


def state_digest(model: "nn.Module", dtype: "torch.dtype | None" = None) -> str:
    """A digest of every weight and buffer by name, as numbers of `dtype` (None: as they are); UNREAD on a dry run,
    where they have no values."""
    from collotype.runtime.weights import Held

    if is_dry():
        return UNREAD
    return digest({name: Held(tensor.detach().cpu()) for name, tensor in model.state_dict().items()}, dtype)


def digest(sources: "Mapping[str, Source]", dtype: "torch.dtype | None") -> str:
    """A digest of tensors by name, read in pieces."""
    import torch

    content = hashlib.sha256()
    for name, source in sorted(sources.items()):
        content.update(name.encode())
        for piece in source.pieces():
            content.update(piece.to(dtype or piece.dtype).view(torch.uint8).numpy().data)
    return content.hexdigest()


@dataclass(frozen=True)
class FileDigest:
    """The digest of a loaded model's weights, kept by what is cheap to see of the files that they come from."""

    sources: "Mapping[str, Source]"
    """By the names of the model's state."""
    files: frozenset[Path]
    marks: Marks
    """What the model's tensors were when they were loaded."""
    seen: list[list[Any]]
    """What was seen of the files then."""

    @classmethod
    def of_loaded(cls, model: "nn.Module", weights: "Weights", names: Mapping[str, str]) -> "FileDigest | None":
        """Of a model just loaded from files: key of its state -> name of the weight."""
        if not weights.files:
            return None
        sources = {key: weights.sources[name] for key, name in names.items()}
        return cls(sources, weights.files, marks_of(model), seen_of(weights.files))

    def of(self, model: "nn.Module", facts: str) -> str | None:
        """What `state_digest` gives of the weights in float32; none where the model, or a file, has changed since.

        Args:
            facts: all beside the files that decides what the weights are.
        """
        if marks_of(model) != self.marks or seen_of(self.files) != self.seen:
            return None
        return kept_digest(self.sources, self.files, facts)


def kept_digest(sources: "Mapping[str, Source]", files: frozenset[Path], facts: str = "") -> str:
    """The digest of tensors in float32, kept by the files they come from and read again when one of these changes.

    Args:
        facts: all beside the files that decides what they are.
    """
    import torch

    kept = cache_folder() / "digests" / f"{key_of(sources, files, facts)}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(kept.read_text())["sha256"])
    if is_dry():
        return UNREAD
    size = sum(file.stat().st_size for file in files)
    with stage(f"reading {in_gb(size)} of weights once to compute their digest"):
        found = digest(sources, torch.float32)
    with suppress(UserError):
        # where nothing can be kept it is read again
        write_json(kept, {"sha256": found, "files": sorted(map(str, files))})
    return found


def key_of(sources: "Mapping[str, Source]", files: frozenset[Path], facts: str) -> str:
    """Names and shapes, and each file's place, size and times: a copy in its place has others."""
    import transformers

    shapes = [[key, list(source.shape), str(source.dtype)] for key, source in sources.items()]
    return hashlib.sha256(json.dumps([facts, shapes, seen_of(files), transformers.__version__]).encode()).hexdigest()


def seen_of(files: Iterable[Path]) -> list[list[Any]]:
    """Of each file its place, size and times; nothing of one that is gone."""
    found = []
    for place in sorted(file.resolve() for file in files):
        with suppress(OSError):
            status = place.stat()
            found.append([str(place), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino])
    return found


def marks_of(model: "nn.Module") -> Marks:
    """Changes with what is done to a model: torch counts what is written into a tensor."""
    named: Iterable[tuple[str, Tensor]] = chain(model.named_parameters(), model.named_buffers())
    return tuple((name, tensor.dtype, version(tensor)) for name, tensor in named)


def version(tensor: "Tensor") -> int:
    return 0 if tensor.is_inference() else tensor._version
