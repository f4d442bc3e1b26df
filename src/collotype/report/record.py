"""Writes and reads `record.json`: what ran, on what, with which result."""

import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict, cast

from collotype.evaluation.results import Results
from collotype.report.plan import Plan
from collotype.report.verdict import Verdict
from collotype.runtime.errors import UserError, reason
from collotype.runtime.files import write_json

PACKAGES = (
    "collotype",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "pillow",
    "pyarrow",
    "pypdfium2",
)
SINCE: dict[str, Any] = {"hub": {}}
"""What records of earlier versions lack."""


class Record(TypedDict):
    recipe: dict[str, Any]
    """Resolved: it runs again."""
    plan: Plan
    environment: dict[str, Any]
    hub: dict[str, str]
    """The commits of what came from the hub."""
    data: dict[str, Any]
    model: dict[str, Any]
    timing: dict[str, Any]
    results: Results
    verdict: Verdict | None
    """What was expected beside what came out; None where a recipe expects nothing."""
    events: list[dict[str, Any]]


KEYS = tuple(Record.__annotations__)


def environment(device: str, threads: int, launch: dict[str, Any]) -> dict[str, Any]:
    """Versions, machine and launch."""
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "machine": platform.machine(),
        "system": platform.system(),
        "device": device,
        "threads": threads,
        "launch": launch,
        "command": sys.argv,
    }


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def write_record(folder: Path, record: Record) -> None:
    write_json(folder / "record.json", record)


def read_record(folder: Path) -> Record:
    """The record of a finished run.

    Raises:
        UserError: the folder is not a run, or the run has not ended.
    """
    try:
        read = SINCE | json.loads((folder / "record.json").read_text())
        record: Any = {key: read[key] for key in KEYS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} has no readable record.json ({reason(error)}), which a run writes when it finishes; finish the "
            "run with --resume, or give the folder of a finished one."
        ) from error
    return cast(Record, record)
