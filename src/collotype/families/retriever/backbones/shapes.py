"""The shapes of a backbone's named sizes (`shapes.json`), so that a plan need not import transformers.

python -m collotype.families.retriever.backbones.shapes        writes the file anew
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from collotype.families.retriever.backbones.spec import BackboneSpec

FILE = Path(__file__).with_name("shapes.json")
NUMBER = re.compile(r"\.\d+\.")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A backbone's parameters, but for the rows of its words, and its linear layers."""

    parameters: int
    linear: dict[str, tuple[int, int]]
    """By canonical name: (inputs, outputs)."""


def measure(row: BackboneSpec, config: Mapping[str, Any]) -> Shape:
    """Of a configuration, on torch's device `meta`."""
    from torch import nn

    from collotype.runtime.shapes import shapes_only

    with shapes_only():
        backbone = row.build(config)
    words = config["text_config"]["vocab_size"] * row.hidden_size(config)
    linear = {
        row.canonical(f"backbone.{name}.weight").removesuffix(".weight"): (layer.in_features, layer.out_features)
        for name, layer in backbone.named_modules()
        if isinstance(layer, nn.Linear)
    }
    return Shape(parameters=sum(weight.numel() for weight in backbone.parameters()) - words, linear=linear)


def packed(shape: Shape) -> dict[str, Any]:
    """Layers that are alike share an entry: {"backbone.layers.*.q_proj": [first, last, inputs, outputs]}."""
    by_kind: dict[tuple[str, tuple[int, int]], list[int]] = {}
    for name, size in shape.linear.items():
        found = NUMBER.search(name)
        by_kind.setdefault((NUMBER.sub(".*.", name, count=1), size), []).append(int(found[0][1:-1]) if found else 0)
    return {
        "parameters": shape.parameters,
        "linear": [
            [name, *size, first, last] for (name, size), numbers in by_kind.items() for first, last in runs(numbers)
        ],
    }


def runs(numbers: list[int]) -> list[tuple[int, int]]:
    """First and last of every run of numbers without a gap."""
    starts = [number for number in numbers if number - 1 not in numbers]
    return [
        (start, next(last for last in range(start, max(numbers) + 1) if last + 1 not in numbers)) for start in starts
    ]


@cache
def shapes() -> dict[str, Shape]:
    """By "BACKBONE/SIZE"."""
    return {
        name: Shape(
            parameters=one["parameters"],
            linear={
                kind.replace(".*.", f".{number}.", 1): (inputs, outputs)
                for kind, inputs, outputs, first, last in one["linear"]
                for number in range(first, last + 1)
            },
        )
        for name, one in json.loads(FILE.read_text()).items()
    }


def write() -> None:
    from collotype.families.retriever.backbones import BACKBONES

    found = {}
    for row in BACKBONES.values():
        vocabulary = {token: number for number, token in enumerate(row.special_tokens)}
        for name, size in row.sizes.items():
            found[f"{row.name}/{name}"] = packed(measure(row, row.configure(size, vocabulary)))
    lines = ",\n".join(f'"{name}": {json.dumps(one)}' for name, one in found.items())
    FILE.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    write()
