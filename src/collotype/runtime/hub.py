"""Repositories of the Hugging Face hub as local folders."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from collotype.runtime.dry import is_dry
from collotype.runtime.errors import UserError

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""How the hub names one: org/name."""


def fetch(
    repository: str,
    files: Sequence[str],
    kind: Literal["model", "dataset"],
    instead: str,
    revision: str | None = None,
) -> Path:
    """The folder with the repository's files, downloaded unless the hub's cache has them. In a dry run the cache alone
    is asked.

    Args:
        files: patterns, for example `*.json`.
        instead: what to do with a copy of the files, for a user whom the hub refuses.

    Raises:
        UserError: the hub cannot be reached, has no such repository, or refuses.
    """
    if is_dry() and not cached(repository, kind):
        raise UserError(
            f"The {kind} {repository} is not here yet: a run fetches it from the Hugging Face hub. For an offline run, "
            f"{instead}."
        )
    from huggingface_hub import snapshot_download

    wanted = {"repo_type": kind, "revision": revision, "allow_patterns": list(files), "local_files_only": is_dry()}
    try:
        return Path(snapshot_download(repository, **wanted))
    except Exception as error:  # the hub's client raises its own, httpx' and the system's errors
        why = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        raise UserError(
            f"The {kind} {repository} is not here and cannot be fetched from the Hugging Face hub ({why}); check the "
            f"name and the network, or {instead}."
        ) from error


def cached(repository: str, kind: str) -> bool:
    """Has the hub's cache anything of the repository? Its client, which takes half a second to import, is not asked."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    return (cache / f"{kind}s--{repository.replace('/', '--')}").is_dir()
