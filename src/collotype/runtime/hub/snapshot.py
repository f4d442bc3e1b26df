"""A repository at one commit: its file list, and downloading files into the cache."""

import glob
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from collotype.runtime.dry_run import is_dry
from collotype.runtime.errors import UserError
from collotype.runtime.hub import cache
from collotype.runtime.hub.commits import known, use
from collotype.runtime.hub.names import COMMIT, HubSource, endpoint
from collotype.runtime.hub.refusals import causes, in_bytes, not_fetched, refusal, require_room

T = TypeVar("T")
WAITS_S = (1.0, 2.0, 4.0)
"""Before a request is tried again that the hub was too busy for."""
LONGEST_WAIT_S = 60.0
BUSY = (408, 429, 500, 502, 503, 504)
ANSWER_WITHIN_S = 20.0
WORTH_TELLING = 10**6
"""Bytes; less is here at once."""


@dataclass(frozen=True)
class Snapshot:
    """
    Args:
        source: with its commit.
        instead: what to do with a copy of the files, for whom the hub cannot serve.
    """

    source: HubSource
    instead: str

    @property
    def folder(self) -> Path:
        """Where its files are, those that were fetched."""
        return cache.folder_of(self.source)

    @cached_property
    def files(self) -> Mapping[str, int]:
        """All paths in the repository with their sizes in bytes; without a network, what was known of them before.

        Raises:
            UserError: nothing was, and the hub is not to be asked.
        """
        if cache.is_silent() and not cache.repository_folder(self.source).is_dir():
            raise absent(self.source, self.instead)
        from huggingface_hub import get_cached_repo_tree
        from huggingface_hub.errors import CachedRepoTreeNotFoundError

        for attempt in ("from the cache", "from the hub"):
            try:
                tree = get_cached_repo_tree(
                    self.source.repository,
                    repo_type=self.source.kind,
                    revision=self.source.commit,
                    cache_dir=cache.home(),
                )
                return {file.path: file.size or 0 for file in tree}
            except CachedRepoTreeNotFoundError:
                if attempt == "from the hub" or cache.is_silent():
                    break
                self._download([])
        found = {path for path in self.folder.rglob("*") if path.is_file()}
        if not found:
            raise absent(self.source, self.instead)
        return {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in sorted(found)}

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of the repository's files of these names that are not here."""
        return [name for name in names if name in self.files and not (self.folder / name).is_file()]

    def size(self, names: Iterable[str]) -> int:
        """Bytes that are to be fetched for these files."""
        return sum(self.files[name] for name in self.missing(names))

    def fetch(self, names: Iterable[str]) -> Path:
        """The folder with those files of these names that the repository has.

        Raises:
            UserError: the hub cannot be reached or refuses; there is no room.
        """
        wanted = [name for name in names if not (self.folder / name).is_file()]
        missing = self.missing(wanted) if wanted else []
        if missing and is_dry():
            raise not_fetched(self.source, self.instead)
        if missing:
            require_room(self.source, self.size(missing))
            announce(self, missing)
            self._download(missing)
        return self.folder

    def require_access(self, names: Iterable[str]) -> None:
        """Asks the hub, without fetching any, whether it would give these files.

        Raises:
            UserError: it would not.
        """
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        if (missing := self.missing(names)) and not cache.is_silent():
            place = {"repo_type": self.source.kind, "revision": self.source.commit, "endpoint": endpoint()}
            url = hf_hub_url(self.source.repository, max(missing, key=self.files.__getitem__), **place)
            asked(
                lambda: get_hf_file_metadata(url, timeout=ANSWER_WITHIN_S, endpoint=endpoint()),
                self.source,
                self.instead,
            )

    def _download(self, names: list[str]) -> None:
        from huggingface_hub import snapshot_download

        cache.sweep(self.source)
        settings: dict[str, Any] = {
            "repo_type": self.source.kind,
            "revision": self.source.commit,
            "cache_dir": cache.home(),
            "endpoint": endpoint(),
            "tqdm_class": bars(),
            "allow_patterns": [glob.escape(n) for n in names],
        }
        with quiet():
            # of what fails, the client tries again all but the files' own requests
            asked(lambda: snapshot_download(self.source.repository, **settings), self.source, self.instead, WAITS_S[:2])


def snapshot(source: HubSource, instead: str) -> Snapshot:
    """The repository at the commit that the name means now (or meant before: `commits`). In a dry run, and offline,
    what the cache says of it.

    Raises:
        UserError: there is no such repository or revision, or the hub cannot be reached or refuses.
    """
    commit = known(source) or commit_of(source, instead)
    resolved = source.at(commit)
    use(resolved)
    return Snapshot(resolved, instead)


def absent(source: HubSource, instead: str) -> UserError:
    """That the cache has nothing of it, where the hub is not asked."""
    return not_fetched(source, instead) if is_dry() else refusal(FileNotFoundError(), source, instead)


def commit_of(source: HubSource, instead: str) -> str:
    cached = cache.cached_commit(source)
    if source.revision and COMMIT.fullmatch(source.revision):
        return source.revision
    if cache.is_silent():
        if cached:
            return cached
        raise absent(source, instead)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    api = HfApi(endpoint=endpoint())
    named: dict[str, Any] = {"repo_type": source.kind, "revision": source.revision, "timeout": ANSWER_WITHIN_S}
    try:
        info = patiently(lambda: api.repo_info(source.repository, **named), is_cached=cached is not None)
    except Exception as error:  # the hub's client raises its own, httpx' and the system's errors
        said = refusal(error, source, instead)
        if cached and not isinstance(error, RevisionNotFoundError):
            why = re.split(r"; |, and the cache in ", str(said))[0]
            note(f"{why}. Continuing with the cached commit {cached[:12]} of {source}.")
            return cached
        raise said from error
    commit = str(info.sha)
    cache.remember(source.at(commit))
    return commit


def asked(request: Callable[[], T], source: HubSource, instead: str, waits: Sequence[float] | None = None) -> T:
    """
    Raises:
        UserError: whatever went wrong.
    """
    try:
        return patiently(request, waits=waits)
    except Exception as error:  # the hub's client raises its own, httpx', hf_xet's and the system's errors
        raise refusal(error, source, instead) from error


def patiently(request: Callable[[], T], is_cached: bool = False, waits: Sequence[float] | None = None) -> T:
    """Tries again what the hub was too busy for or a network lost; without a network at all, a cache is enough."""
    for wait in WAITS_S if waits is None else waits:
        try:
            return request()
        except Exception as error:  # see `asked`
            pause = wait_of(error, wait, is_cached)
            if pause is None:
                raise
            time.sleep(pause)
    return request()


def wait_of(error: Exception, wait: float, is_cached: bool) -> float | None:
    """Seconds before the next try; none if there should be none."""
    import httpx2

    for cause in causes(error):
        response = getattr(cause, "response", None)
        if response is not None and response.status_code in BUSY:
            after = response.headers.get("Retry-After", "")
            return min(float(after), LONGEST_WAIT_S) if after.isdigit() else wait
        if isinstance(cause, httpx2.ConnectError) and is_cached:
            return None
        if isinstance(cause, httpx2.TransportError) and not isinstance(cause, httpx2.ProxyError):
            return wait
    return None


def announce(wanted: Snapshot, names: list[str]) -> None:
    """One line about what is fetched, from one process of a machine."""
    size, source = in_bytes(wanted.size(names)), wanted.source
    if wanted.size(names) > WORTH_TELLING:
        note(f"Fetching {source} ({source.commit[:12]}): {len(names)} file{'s' * (len(names) > 1)}, {size}")


def note(line: str) -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(line, file=sys.stderr)


def bars() -> type:
    """The client's bars, on a terminal only."""
    from huggingface_hub.utils import tqdm

    class Bars(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options["disable"] = options.get("disable") or not sys.stderr.isatty()
            super().__init__(*arguments, **options)

    return Bars


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the client's warnings about what it tries again, and about what is told as an error, off the terminal."""
    import logging

    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
