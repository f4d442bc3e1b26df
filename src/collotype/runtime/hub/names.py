"""Parses the names and addresses of hub repositories."""

import os
import re
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import unquote

from collotype.runtime.errors import UserError

Kind = Literal["model", "dataset"]
NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(\w[\w./-]*))?")
"""How the hub names one, org/name, and after it a branch, a tag or a commit."""
COMMIT = re.compile(r"[0-9a-f]{40}")
PREFIXES = ("hf-hub:", "hf://")
"""How open_clip and fsspec write that a name is the hub's."""
HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
OF_DATASETS = "datasets/"
OF_OTHERS = ("spaces/", "collections/", "models/", OF_DATASETS)
FOLDERS = ("runs/", "checkpoints/", "data/", "outputs/", "results/", "weights/")
"""What people call folders of their own: a missing one of them is not asked for at the hub, unless a prefix says so."""
RENAMED = {
    "vidore/colpali_train_set_detailed": "vidore/colpali_train_set",
    "manu/colpali-data-ir": "manu/colpali-queries (with corpus: manu/colpali-corpus)",
    "manu/colpali-data": "manu/colpali-corpus",
}
"""Names in configurations of earlier colpali-engine versions, and where that data is."""


@dataclass(frozen=True)
class HubSource:
    """A repository of the hub at a revision: what was asked for, and, once that is known, its commit."""

    kind: Kind
    repository: str
    """org/name."""
    revision: str | None = None
    """A branch, a tag or a commit; None: the main branch."""
    commit: str = ""
    """Empty until it is known."""

    @property
    def key(self) -> str:
        """What was asked for, in one word: `vidore/colpali-v1.3`, `datasets/vidore/colpali_train_set@v2`."""
        prefix = OF_DATASETS if self.kind == "dataset" else ""
        return f"{prefix}{self.repository}" + (f"@{self.revision}" if self.revision else "")

    def __str__(self) -> str:
        return f"the {self.kind} {self.repository}" + (f" at {self.revision}" if self.revision else "")

    @property
    def page(self) -> str:
        """Its address, for a browser."""
        return f"{endpoint()}/{OF_DATASETS if self.kind == 'dataset' else ''}{self.repository}"

    def at(self, commit: str) -> "HubSource":
        return replace(self, commit=commit)


def endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def parse(text: object, kind: Kind) -> HubSource | None:
    """The repository that a name or a pasted address means: `org/name`, `org/name@REVISION`, `hf-hub:org/name`,
    `https://huggingface.co/org/name/tree/REVISION`. None for what can be none.

    Raises:
        UserError: it is the address of something else.
    """
    written = str(text)
    name = address_parts(written) or written
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    said: Kind | None = "dataset" if name.startswith(OF_DATASETS) else None
    found = NAME.fullmatch(name.removeprefix(OF_DATASETS).rstrip("/"))
    if name == written and name.startswith(FOLDERS):
        return None
    if found is None or found[1].startswith(OF_OTHERS):
        if name != written:
            raise UserError(f"{written} is not the address of a {kind} on the hub; give its name as organisation/name.")
        return None
    if said is None and name != written and not written.startswith(PREFIXES):
        said = "model"
    if said not in (None, kind):
        raise UserError(f"{written} is a {said} on the hub, but a {kind} is needed here; give the name of one.")
    return HubSource(kind, found[1], found[2])


def address_parts(text: str) -> str | None:
    """`[datasets/]org/name[@revision]` of a page's address on the hub; none for what is no such address."""
    bare = re.sub(r"^https?:/+", "", text.strip())
    hosts = (*HOSTS, re.sub(r"^https?://", "", endpoint()))
    host = next((host for host in hosts if bare.startswith(f"{host}/")), None)
    if host is None:
        return None
    path = re.split(r"[?#]", bare.removeprefix(f"{host}/"))[0].strip("/").removesuffix(".git")
    prefix = OF_DATASETS if path.startswith(OF_DATASETS) else ""
    parts = path.removeprefix(prefix).split("/")
    revision = revision_in(parts[2:])
    return prefix + "/".join(parts[:2]) + (f"@{revision}" if revision else "")


def revision_in(parts: list[str]) -> str | None:
    """Of what follows the name in an address: tree/main, blob/refs%2Fpr%2F5/config.json, resolve/…, commit/…"""
    if len(parts) < 2 or parts[0] not in ("tree", "blob", "resolve", "raw", "commit", "commits"):
        return None
    if parts[1:3] == ["refs", "pr"]:
        return "/".join(parts[1:4])
    return unquote(parts[1])


def plain(name: str | None) -> str | None:
    """The name without its revision, for tables of published names; what is not a name of the hub stays as it is."""
    for kind in ("model", "dataset") if name else ():
        try:
            found = parse(name, kind)
        except UserError:
            continue
        return found.repository if found else name
    return name
