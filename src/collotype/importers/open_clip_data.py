"""The training data of an open_clip command: tables, shards and their weights, augmentation. (data.py,
transform.py.)"""

import ast
import math
import re
from collections.abc import Iterator
from typing import Any

from collotype.importers.launch import Launch
from collotype.importers.mapping import LARGEST, MappingLedger, shown
from collotype.runtime.errors import UserError

AUGMENTATION = ("scale", "ratio", "color_jitter", "color_jitter_prob", "gray_scale_prob", "re_prob", "re_count")
OF_TIMM = ("ratio", "re_prob", "re_count")
"""Ignored without use_timm=True."""
PIPE = re.compile(r"pipe:\s*aws s3 cp (?:--[\w-]+ )*(s3://\S+) -")
SHARD_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")


def take_data(ledger: MappingLedger, launch: Launch) -> None:
    path = ledger.text("--train-data")
    if path is None:
        other = [word for word in launch.arguments if word.startswith("--train-data-list")]
        raise UserError(
            "The command has no --train-data: what it trains on; "
            + (
                f"{other[0].split('=')[0]} is a fork's flag that is not read: write its data as --train-data."
                if other
                else "add it."
            )
        )
    kind = ledger.text("--dataset-type", "auto") or "auto"
    table = kind == "csv" or (kind == "auto" and path.endswith((".csv", ".tsv")))
    if kind == "auto" and not path.endswith((".csv", ".tsv", ".tar")) and "$" not in path:
        ledger.assume("--dataset-type", "open_clip cannot tell the type from the file extension; shards are assumed")
    if table:
        separator = ledger.text("--csv-separator", "\t") or "\t"
        source: Any = {
            "source": "captions",
            "path": path,
            "image_column": ledger.text("--csv-img-key", "filepath"),
            "caption_column": ledger.text("--csv-caption-key", "title"),
            "separator": separator.replace("\\t", "\t"),
        }
        names: tuple[str, ...] = ("--csv-img-key", "--csv-caption-key", "--csv-separator")
    else:
        names = ("--json-text-key", "--text-key", "--image-key", "--train-data-upsampling-factors")
        source = sources_of(ledger, path)
    ledger.recipe("data.train", source, "--train-data", "--dataset-type", *names)
    ledger.beside(dataset=path)
    ledger.beside(seeded_shuffle=False)
    take_augmentation(ledger)


def sources_of(ledger: MappingLedger, path: str) -> Any:
    """The sources of tars; with upsampling factors, which are a shard's, one for each with its weight."""
    in_json, member = (ledger.text(name) for name in ("--json-text-key", "--text-key"))
    # of several alternatives, joined by semicolons, the first
    caption, *others = (f"json:{in_json}" if in_json else member or "txt").split(";")
    if others:
        ledger.leave("captions", f"one file per sample contains them; {caption} is used", ";".join(others))
    if shards := shards_of(path):
        ledger.beside(shards=shards)
    common = {"source": "shards", **({"caption": caption} if caption != "txt" else {})}
    if suffixes := ledger.text("--image-key"):
        common["picture"] = suffixes
    factors = ledger.text("--train-data-upsampling-factors")
    if not factors:
        return {**common, "path": unpiped(path)}
    paths = path.split("::")
    numbers = MappingLedger(ledger.tool, dict(enumerate_factors(factors.split("::"))))
    if len(numbers.given) != len(paths):
        raise UserError(
            f"--train-data has {len(paths)} sources, but --train-data-upsampling-factors has {len(numbers.given)} "
            f"numbers ({shown(factors)}); give one for each source."
        )
    if not ledger.switch("--dataset-resampled"):
        ledger.assume("--train-data-upsampling-factors", "open_clip stops without --dataset-resampled", factors)
    weights = [
        numbers.number(name, 1.0) * (shards_of(one, 1) or 1) for name, one in zip(numbers.given, paths, strict=True)
    ]
    if not all(shards_of(one, 1) for one in paths):
        ledger.assume("weights", "factors are per shard, and the number of shards is unknown", factors)
    return [{**common, "path": unpiped(one), "weight": weight} for one, weight in zip(paths, weights, strict=True)]


def take_augmentation(ledger: MappingLedger) -> None:
    asked = {key: text for key, _, text in (one.partition("=") for one in ledger.given.get("--aug-cfg") or ())}
    timm = asked.pop("use_timm", "False") == "True"
    read = {key: text for key, text in asked.items() if key in AUGMENTATION and (timm or key not in OF_TIMM)}
    if not timm and "color_jitter_prob" not in read:
        read.pop("color_jitter", None)
    for key in (key for key in asked if key not in read):
        ledger.leave(f"--aug-cfg {key}", "open_clip does not read it, or needs another key with it", asked[key])
    chosen = {"scale": [0.9, 1.0]} | {key: augmentation_value(key, text) for key, text in read.items()}
    if isinstance(jitter := chosen.get("color_jitter"), float):
        chosen["color_jitter"] = [jitter] * 3 + [0.0]
    ledger.recipe("data.augmentation", chosen, "--aug-cfg")


def shards_of(path: str, single: int | None = None) -> int | None:
    """How many tars a brace pattern means; without one `single`, where it names a tar, else none."""
    total = 0
    for source in path.split("::"):
        ranges = [int(last) - int(first) + 1 for first, last in SHARD_RANGE.findall(source)]
        if not ranges and single and source.endswith((".tar", ".tar -")):
            ranges = [single]
        if not ranges or min(ranges) < 1:
            return None
        total += math.prod(ranges)
    return total if total <= LARGEST else None


def unpiped(path: str) -> str:
    """`pipe:aws s3 cp s3://… -` as the address that the pipe reads."""
    return "::".join(PIPE.sub(r"\1", one) for one in path.split("::"))


def enumerate_factors(factors: list[str]) -> Iterator[tuple[str, str]]:
    for number, factor in enumerate(factors, 1):
        yield f"--train-data-upsampling-factors ({number})", factor


def augmentation_value(key: str, text: str) -> Any:
    """A value as open_clip reads it, by the grammar of Python's literals.

    Raises:
        UserError: it is no number and no row of numbers.
    """
    try:
        value = ast.literal_eval(text) if len(text) <= 200 else None
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        value = None
    row: list[Any] = list(value) if isinstance(value, tuple | list) else [value]
    if not row or not all(isinstance(one, int | float) and not isinstance(one, bool) and abs(one) < 1e6 for one in row):
        raise UserError(f"--aug-cfg {key} is {shown(text)}; it must be one or more numbers, such as scale=(0.4,1.0).")
    if key == "re_count":
        return int(row[0])
    return [float(one) for one in row] if isinstance(value, tuple | list) else float(row[0])
