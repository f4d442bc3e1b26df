"""Writes ONNX graphs without the onnx package.

A model is a message of Protocol Buffers (github.com/onnx/onnx/blob/main/onnx/onnx.proto); fields are written by number.
"""

import struct
from collections.abc import Sequence
from itertools import count

import numpy as np

Value = int | float | str | bytes
IR_VERSION, OPSET, CONTRIBUTED = 8, 18, "com.microsoft"
"""The domain has onnxruntime's own operators."""
FLOAT, INT8 = 1, 3
KINDS = {np.dtype(np.float32): FLOAT, np.dtype(np.int8): INT8}


class Graph:
    """Of one input, [1, n, width], and one output of the same shape, float32."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._tensors: list[bytes] = []
        self._names = (f"v{number}" for number in count())

    def constant(self, array: np.ndarray) -> str:
        name = next(self._names)
        about: list[tuple[int, Value]] = [(1, size) for size in array.shape]
        about += [(2, KINDS[array.dtype]), (8, name)]
        self._tensors.append(message(*about, (9, np.ascontiguousarray(array).tobytes())))
        return name

    def node(self, kind: str, inputs: Sequence[str], domain: str = "", **attributes: int | float) -> str:
        """Adds an operator; the name of its output."""
        return self.nodes(kind, inputs, 1, domain, **attributes)[0]

    def nodes(
        self, kind: str, inputs: Sequence[str], outputs: int, domain: str = "", **attributes: int | float
    ) -> list[str]:
        """As `node`, of several outputs."""
        names = [next(self._names) for _ in range(outputs)]
        fields: list[tuple[int, Value]] = [(1, name) for name in inputs]
        fields += [
            *((2, name) for name in names),
            (4, kind),
            (7, domain),
            *((5, attribute(*one)) for one in attributes.items()),
        ]
        self._nodes.append(message(*fields))
        return names

    def model(self, start: str, end: str, width: int) -> bytes:
        graph: list[tuple[int, Value]] = [
            *((1, one) for one in self._nodes),
            (2, "graph"),
            *((5, one) for one in self._tensors),
        ]
        graph += [(11, value_info(start, width)), (12, value_info(end, width))]
        sets = [message((1, domain), (2, version)) for domain, version in (("", OPSET), (CONTRIBUTED, 1))]
        return message((1, IR_VERSION), (7, message(*graph)), *((8, one) for one in sets))


def attribute(name: str, value: int | float) -> bytes:
    whole = isinstance(value, int)
    return message((1, name), (3 if whole else 2, value), (20, 2 if whole else 1))


def value_info(name: str, width: int) -> bytes:
    sizes = (message((1, 1)), message((2, "n")), message((1, width)))
    shape = message(*((1, size) for size in sizes))
    return message((1, name), (2, message((1, message((1, FLOAT), (2, shape))))))


def message(*fields: tuple[int, Value]) -> bytes:
    """Fields by number: whole numbers, floats, and what has a length."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [varint(number << 3), varint(value)]
        elif isinstance(value, float):
            parts += [varint(number << 3 | 5), struct.pack("<f", value)]
        else:
            content = value.encode() if isinstance(value, str) else value
            parts += [varint(number << 3 | 2), varint(len(content)), content]
    return b"".join(parts)


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the eighth set."""
    if number < 0:
        number += 1 << 64
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])
