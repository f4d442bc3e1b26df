"""The hub's local cache, read without its client, which takes half a second to import."""

import os
import re
import sys
import time
from pathlib import Path

from collotype.runtime.dry_run import is_dry
from collotype.runtime.errors import UserError
from collotype.runtime.files import write_text
from collotype.runtime.hub.names import COMMIT, HubSource

SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")
GROWS_WITHIN_S = 1.0
"""A file that somebody is fetching has grown after this time."""


def home() -> Path:
    """Where the client keeps repositories."""
    above = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{above}/huggingface"
    place = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(os.path.expandvars(place)).expanduser().resolve()


def is_offline() -> bool:
    """Was it said that no network is to be asked?"""
    client = sys.modules.get("huggingface_hub.constants")
    asked = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return asked.upper() in ("1", "ON", "YES", "TRUE") or bool(client and client.is_offline_mode())


def is_silent() -> bool:
    """Is no request to be made, because of that or because this is a dry run?"""
    return is_dry() or is_offline()


def repository_folder(source: HubSource) -> Path:
    """All that the cache has of a repository."""
    return home() / f"{source.kind}s--{source.repository.replace('/', '--')}"


def folder_of(source: HubSource) -> Path:
    """The files of a commit."""
    return repository_folder(source) / "snapshots" / source.commit


def cached_commit(source: HubSource) -> str | None:
    """What a branch, a tag or a short commit was when it was asked for last; none where it never was."""
    revision, place = source.revision or "main", repository_folder(source)
    if COMMIT.fullmatch(revision):
        return revision
    if (place / "refs" / revision).is_file():
        return (place / "refs" / revision).read_text().strip()
    found = (
        [path.name for path in (place / "snapshots").glob(f"{revision}*")] if SHORT_COMMIT.fullmatch(revision) else []
    )
    return found[0] if len(found) == 1 else None


def remember(source: HubSource) -> None:
    """Notes what a branch or a tag is now, as the client does; a cache that cannot be written is left alone."""
    ref = repository_folder(source) / "refs" / (source.revision or "main")
    try:
        if source.revision != source.commit and (not ref.is_file() or ref.read_text().strip() != source.commit):
            ref.parent.mkdir(parents=True, exist_ok=True)
            write_text(ref, source.commit)
    except (OSError, UserError):
        return


def cached_revisions(source: HubSource) -> list[str]:
    """Branches, tags and commits that the cache has something of, in words."""
    refs = repository_folder(source) / "refs"
    named = {str(path.relative_to(refs)): path.read_text().strip() for path in refs.rglob("*") if path.is_file()}
    commits = [path.name for path in (repository_folder(source) / "snapshots").glob("*") if path.is_dir()]
    return [
        *(f"{name} ({commit[:12]})" for name, commit in sorted(named.items()) if commit in commits),
        *(commit[:12] for commit in sorted(commits) if commit not in named.values()),
    ]


def sweep(source: HubSource) -> None:
    """Removes what killed downloads left: the client gives each attempt a file of its own name, and goes on with none.

    A file that another process is fetching is locked by it, and where locks do not hold, it grows.
    """
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock

    left = {path: path.stat().st_size for path in repository_folder(source).glob("blobs/*.incomplete")}
    if not left:
        return
    time.sleep(GROWS_WITHIN_S)
    for path, size in left.items():
        lock = home() / ".locks" / repository_folder(source).name / f"{path.name.split('.')[0]}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with WeakFileLock(lock, timeout=0.1):
                if path.is_file() and path.stat().st_size == size:
                    path.unlink()
        except (Timeout, OSError):
            continue
