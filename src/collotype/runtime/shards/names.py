"""Resolves the shards of a recipe: paths, patterns, or addresses such as `s3://bucket/train-0000.tar`."""

import re
from collections.abc import Iterable, Sequence
from glob import glob
from pathlib import Path
from urllib.parse import unquote

from collotype.runtime.errors import UserError
from collotype.runtime.hub import HubSource, snapshot
from collotype.runtime.hub.names import Kind

ASSETS = Path(__file__).parents[2] / "assets"
PACKAGED = "collotype:"
"""How the name of a shard begins that comes with the package."""
HUB = "hf://"
WILD = re.compile(r"[*?\[]")
TAR = re.compile(r"\.(tar|tgz)\b")


def is_remote(name: str) -> bool:
    return "://" in name


def is_shards(source: str) -> bool:
    """Is this a source of tar shards, in one of the ways that `shard_names` knows?"""
    parts = [part.strip() for part in source.split("::")]
    return any(
        TAR.search(Path(part).name) or (is_remote(part) and part.endswith("/")) or any(Path(part).glob("*.tar"))
        for part in parts
    )


def shard_names(source: str | Sequence[str]) -> list[str]:
    """The shards of a source, in order: a pattern (`train-{0000..0575}.tar`, `shards/*.tar`), a folder, several of them
    joined by `::`, or a list.

    Raises:
        UserError: a shard is missing, a pattern matches none, or one shard is named twice.
    """
    parts = [source] if isinstance(source, str) else source
    names = [name for part in parts for each in part.split("::") for name in matching(each.strip())]
    missing = [name for name in names if not is_remote(name) and not Path(name).is_file()]
    if missing:
        raise UserError(f"{len(missing)} of {len(names)} shards are missing: {some(missing)}; correct the path.")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise UserError(f"{some(twice)} is named more than once; give the source a weight instead of repeating it.")
    if not names:
        raise UserError("The source names no shard; give a path, a pattern or a folder of .tar files.")
    return names


def matching(pattern: str) -> list[str]:
    """The shards of one pattern or folder."""
    if pattern.startswith(PACKAGED):
        return [str(ASSETS / name) for name in expand(pattern.removeprefix(PACKAGED))]
    if pattern.startswith("pipe:"):
        raise UserError(f"{pattern!r} is a command, whose output has no random access; give the shards' addresses.")
    if pattern.startswith(HUB):
        pattern = at_commit(pattern)
    if not is_remote(pattern) and Path(pattern).is_dir():
        pattern = f"{pattern}/*.tar"
    elif is_remote(pattern) and pattern.endswith("/"):
        pattern += "*.tar"
    return [name for each in expand(pattern) for name in (found(each) if WILD.search(each) else [each])]


def at_commit(address: str) -> str:
    """`hf://datasets/org/name[@revision]/path` with the commit that the revision is now, or was when it was kept."""
    path = address.removeprefix(HUB)
    kind: Kind = "dataset" if path.startswith("datasets/") else "model"
    found = re.fullmatch(r"([^/@]+/[^/@]+)(?:@(refs/pr/\d+|[^/]+))?/(.*)", path.removeprefix("datasets/"))
    if found is None:
        raise UserError(
            f"{address} is not the path of a file in a repository; give hf://datasets/organisation/name/path.tar."
        )
    source = HubSource(kind, found[1], unquote(found[2]) if found[2] else None)
    commit = snapshot(source, "copy the shards into a folder and give that").source.commit
    return f"{HUB}{'datasets/' if kind == 'dataset' else ''}{found[1]}@{commit}/{found[3]}"


def expand(pattern: str) -> list[str]:
    """`{0..3}`, `{000..123}` and `{a,b}`, as a shell expands them, each name once; other braces are part of a name."""
    from braceexpand import braceexpand

    try:
        return list(dict.fromkeys(braceexpand(pattern, escape=False)))
    except ValueError:
        return [pattern]


def found(pattern: str) -> list[str]:
    """What `*` and `?` stand for, sorted."""
    if is_remote(pattern):
        from collotype.runtime.shards.remote import remote_glob

        names = remote_glob(pattern)
    else:
        names = sorted(glob(pattern, recursive=True))
    if not names:
        raise UserError(f"{pattern} matches no shard; correct the path.")
    return names


def some(names: Iterable[str], most: int = 3) -> str:
    """The first of a list of names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
