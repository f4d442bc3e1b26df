"""Repositories of the Hugging Face hub: resolves names and revisions to a folder with the needed files.

    source = parse("vidore/colpali-v1.3@v1.0", "model")
    found = snapshot(source, "copy it into a folder and give that")
    folder = found.fetch(["config.json", "model.safetensors"])

The client, huggingface_hub, is imported where it is asked.
"""

from collotype.runtime.hub.commits import commits, used
from collotype.runtime.hub.models import ModelLocation, locate
from collotype.runtime.hub.names import HubSource, parse, plain
from collotype.runtime.hub.needs import Need, require_all
from collotype.runtime.hub.refusals import NotFetchedError, in_bytes
from collotype.runtime.hub.snapshot import Snapshot, snapshot

__all__ = [
    "HubSource",
    "ModelLocation",
    "Need",
    "NotFetchedError",
    "Snapshot",
    "commits",
    "in_bytes",
    "locate",
    "parse",
    "plain",
    "require_all",
    "snapshot",
    "used",
]
