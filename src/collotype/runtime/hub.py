"""Repositories of the Hugging Face hub as local folders."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from collotype.runtime.errors import UserError

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def local_folder(
    source: str | Path, files: Sequence[str], kind: Literal["model", "dataset"] = "model", revision: str | None = None
) -> Path:
    """The folder `source` itself, or the hub's repository of that name, downloaded once.

    Args:
        files: patterns of the files of a repository that are needed, for example `*.json`.

    Raises:
        UserError: there is neither, or the hub cannot be reached.
    """
    if Path(source).is_dir():
        return Path(source)
    if not REPOSITORY.fullmatch(str(source)):
        raise UserError(f"{source} is no folder, and no repository of the hub (org/name) either; give one of them.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        found = snapshot_download(str(source), repo_type=kind, revision=revision, allow_patterns=list(files))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"The {kind} {source} is not here and cannot be had from the hub ({reason}); copy its "
            f"{', '.join(files)} into a folder and give that folder's path instead of {source}."
        ) from error
    return Path(found)
