"""`record.json`: what ran, on what, with which outcome. Two records can be compared."""

import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from collotype.runtime.errors import UserError
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
KEYS = ("recipe", "plan", "environment", "hub", "data", "model", "timing", "results", "verdict", "events")
SINCE: dict[str, Any] = {"hub": {}}
"""What records of earlier versions lack."""


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


def write_record(folder: Path, **parts: Any) -> dict[str, Any]:
    """Writes `record.json` with exactly the contract's keys; returns it."""
    record = {key: parts[key] for key in KEYS}
    write_json(folder / "record.json", record)
    return record


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a finished run.

    Raises:
        UserError: the folder is not a run, or the run has not ended.
    """
    try:
        record = SINCE | json.loads((folder / "record.json").read_text())
        return {key: record[key] for key in KEYS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} has no readable record.json ({error!r}); a run writes it at its end, so finish the run with "
            "--resume, or give the folder of a finished one."
        ) from error
