"""Weights of safetensors files by name: memory-mapped if unchanged, otherwise converted piece by piece."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open
from torch import Tensor

from collotype.runtime.dry_run import is_dry

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""As safetensors calls them."""
PIECE = 2**22
"""Bytes that are read at a time."""


class Source(Protocol):
    """Where a tensor comes from."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> torch.dtype:
        """As `tensor` gives it."""
        ...

    @property
    def lies_in(self) -> torch.dtype:
        """The type that its numbers have where they lie."""
        ...

    def tensor(self) -> Tensor: ...

    def pieces(self) -> Iterator[Tensor]:
        """Its numbers in order, in flat pieces, each of which is good until the next."""
        ...


@dataclass(frozen=True)
class Held:
    """A tensor in memory."""

    value: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    @property
    def dtype(self) -> torch.dtype:
        return self.value.dtype

    @property
    def lies_in(self) -> torch.dtype:
        return self.value.dtype

    def tensor(self) -> Tensor:
        return self.value

    def pieces(self) -> Iterator[Tensor]:
        flat = self.value.detach().contiguous().flatten()
        yield from flat.split(PIECE // flat.element_size()) if flat.numel() else ()


@dataclass(frozen=True)
class Made:
    """A tensor that is computed whenever it is asked for."""

    make: Callable[[], Tensor]
    shape: tuple[int, ...]
    dtype: torch.dtype
    lies_in: torch.dtype

    def tensor(self) -> Tensor:
        return self.make()

    def pieces(self) -> Iterator[Tensor]:
        yield from Held(self.make()).pieces()


def nbytes(source: Source) -> int:
    """As it lies."""
    return prod(source.shape) * source.lies_in.itemsize


class WeightFile:
    """A safetensors file, mapped from the first tensor on that is kept as it lies.

    Raises:
        OSError, SafetensorError: it cannot be read.
        KeyError: it has a tensor of a type that is not known.
    """

    def __init__(self, path: Path):
        self.path = path
        with path.open("rb") as file:
            start = 8 + int.from_bytes(file.read(8), "little")
        self.stored: dict[str, Stored] = {}
        with safe_open(path, "pt") as opened:
            for name in opened.offset_keys():
                stored = opened.get_slice(name)
                one = Stored(self, name, tuple(stored.get_shape()), DTYPES[stored.get_dtype()], start)
                self.stored[name], start = one, start + nbytes(one)

    @cached_property
    def mapped(self) -> "safe_open":
        return safe_open(self.path, "pt")


@dataclass(frozen=True)
class Stored:
    """A tensor in a safetensors file, from the byte `start` on."""

    file: WeightFile
    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    start: int

    @property
    def lies_in(self) -> torch.dtype:
        return self.dtype

    def tensor(self) -> Tensor:
        tensor: Tensor = self.file.mapped.get_tensor(self.name)
        return tensor

    def pieces(self) -> Iterator[Tensor]:
        left, buffer = nbytes(self), memoryview(bytearray(min(PIECE, nbytes(self))))
        with self.file.path.open("rb", buffering=0) as file:
            file.seek(self.start)
            while left:
                read = file.readinto(buffer[: min(left, len(buffer))])
                whole = read - read % self.dtype.itemsize
                if not whole:
                    raise OSError(f"{self.file.path} ends within {self.name}")
                file.seek(whole - read, 1)
                left -= whole
                yield torch.frombuffer(buffer, dtype=self.dtype, count=whole // self.dtype.itemsize)


@dataclass(frozen=True)
class Weights(Mapping[str, Tensor]):
    """Tensors by name; a value is made when it is asked for."""

    sources: Mapping[str, Source]
    files: frozenset[Path] = field(default_factory=frozenset)
    """All that decides what they are."""

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "Weights":
        if isinstance(tensors, Weights):
            return tensors
        return cls({name: Held(tensor) for name, tensor in tensors.items()})

    @classmethod
    def in_file(cls, path: Path) -> "Weights":
        """Those of a safetensors file; in a dry run what its header says of them."""
        found: Mapping[str, Source] = WeightFile(path).stored
        if is_dry():
            found = {name: Held(torch.empty(one.shape, dtype=one.dtype, device="meta")) for name, one in found.items()}
        return cls(found, frozenset([path]))

    def __getitem__(self, name: str) -> Tensor:
        return self.sources[name].tensor()

    def __iter__(self) -> Iterator[str]:
        return iter(self.sources)

    def __len__(self) -> int:
        return len(self.sources)

    def __contains__(self, name: object) -> bool:
        return name in self.sources

    def __or__(self, others: Mapping[str, Tensor]) -> "Weights":
        added = Weights.of(others)
        return Weights({**self.sources, **added.sources}, self.files | added.files)

    def named(self, names: Mapping[str, str]) -> "Weights":
        """Those with one of these names, under another: name here -> name there."""
        return Weights({new: self.sources[name] for name, new in names.items()}, self.files)

    def without(self, names: Iterable[str]) -> "Weights":
        left_out = frozenset(names)
        return self.named({name: name for name in self if name not in left_out})

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: source.shape for name, source in self.sources.items()}

    @property
    def nbytes(self) -> int:
        return sum(map(nbytes, self.sources.values()))

    @property
    def dtype(self) -> torch.dtype:
        """The floating type that most of their numbers lie in."""
        numbers: Counter[torch.dtype] = Counter()
        for source in self.sources.values():
            if source.lies_in.is_floating_point:
                numbers[source.lies_in] += prod(source.shape)
        return numbers.most_common(1)[0][0] if numbers else torch.float32

    def to(self, name: str, dtype: torch.dtype | None) -> Tensor:
        """A tensor in that type, if it has floating numbers (none: as it is), without a copy of it in its own."""
        source = self.sources[name]
        if dtype in (None, source.dtype) or not source.dtype.is_floating_point:
            return source.tensor()
        if not isinstance(source, Stored):
            return source.tensor().to(dtype)
        made = torch.empty(source.shape, dtype=dtype)
        flat, done = made.view(-1), 0
        for piece in source.pieces():
            flat[done : done + len(piece)].copy_(piece)
            done += len(piece)
        return made
