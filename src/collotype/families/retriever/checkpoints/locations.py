"""Where a retriever is, in which layout, and which files are read; mostly without torch."""

import json
from pathlib import Path
from typing import Any

from collotype.families.shared.checkpoints import ModelFiles, is_native
from collotype.runtime import hub
from collotype.runtime.errors import UserError
from collotype.runtime.hub import Need
from collotype.runtime.hub.models import ModelLocation, below, locate
from collotype.runtime.model_folder import DESCRIPTION, read_json, require_there

ADAPTER_CONFIG, ADAPTER_STEM = "adapter_config.json", "adapter_model"
"""Of an adapter: what describes it, and what its weights are called."""
MODULES, PRESET = "modules.json", "collotype_preset.json"
"""Of sentence-transformers' folders; the second is ours."""
SMALL = (
    DESCRIPTION,
    ADAPTER_CONFIG,
    MODULES,
    PRESET,
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
)
"""What is read before weights: by these a layout is known, and whether it is one of a retriever."""
MODULE_FILES = ("config.json", "model.safetensors")
"""Of a module of sentence-transformers in a folder of its own."""


def fetched(source: str | Path, base: str | None = None) -> list[ModelLocation]:
    """As `locations`, with all that is read of them."""
    found = locations(source, base)
    for place in found:
        place.fetch(files_of(place))
    return found


def locations(source: str | Path, base: str | None = None) -> list[ModelLocation]:
    """Where the model lies, and, of an adapter, its base: what tells what they are is there, and no weights yet.

    Raises:
        UserError: there is none, or it is in no layout we know.
    """
    place = locate(source, SMALL, ("the *.json", "the *.safetensors"))
    if place is None:
        raise UserError(f"There is no folder {source}; give a model's folder, or a hub repository (org/name).")
    folder = place.folder
    if is_adapter(folder):
        if base:
            require_there(base)
        where = base or base_of(folder)
        if not Path(where).is_dir() and not hub.parse(where, "model"):
            raise UserError(
                f"The adapter in {folder} needs the base {where}, which was not found; give its path with --base."
            )
        return [place, *locations(where)]
    if is_native(folder) and (stated := base_stated(folder)):
        where = base or stated["source"]
        if not Path(where).is_dir() and not hub.parse(where, "model"):
            raise UserError(
                f"The model in {folder} is an adapter of {where}, which was not found; give its path with --base, "
                "or run `collotype convert` where it was trained."
            )
        return [place, *locations(where, None if base else stated["base"])]
    if not is_native(folder) and not any((folder / name).is_file() for name in (MODULES, "config.json")):
        there = ", ".join(place.names()[:5]) or "nothing"
        raise UserError(
            f"{folder} contains no retriever in a known layout (it contains {there}); give a folder with "
            "collotype.json, config.json, modules.json or adapter_config.json, for example runs/desk-colpali/model."
        )
    return [place]


def address_of(source: str | Path) -> str:
    """By which a model is found again, from wherever: its folder, or its repository at a commit."""
    place = locations(source)[0]
    return str(place.folder.resolve()) if place.found is None else f"{place.name}@{place.found.source.commit}"


def needs_of(source: str | Path, base: str | None = None) -> list[Need]:
    """What `read` will fetch, if it will."""
    return [need for place in locations(source, base) for need in place.needs(files_of(place))]


def files_of(place: ModelLocation) -> list[str]:
    """Exactly what is read of a repository; nothing of a folder, which is as it is.

    Raises:
        UserError: it has no weights, or is a model of another kind.
    """
    if place.found is None:
        return []
    folder, tokenizer = place.folder, "tokenizer.json"
    if is_adapter(folder):
        return [*place.weights(ADAPTER_STEM), tokenizer]
    if is_native(folder):
        return [*place.weights("model"), tokenizer]
    read_kind(folder)
    modules = modules_of(folder) if (folder / MODULES).is_file() else {}
    inside = {path.relative_to(folder).as_posix() for path in modules.values()} - {"."}
    beside = [name for part in inside for name in below(place.found.files, part) if name.endswith(MODULE_FILES)]
    return [*place.weights("model"), tokenizer, *beside]


def read_kind(folder: Path) -> None:
    """
    Raises:
        UserError: `config.json` is of no backbone that we know.
    """
    from collotype.families.retriever.checkpoints.checkpoint import read_backbone

    values = read_json(folder / "config.json")
    read_backbone(values.get("vlm_config", values), folder / "config.json")


def text_encoder_files(location: ModelLocation) -> list[str]:
    """As `files_of`."""
    return [*location.weights("model"), "tokenizer.json"] if location.found else []


TEXT_ENCODER = ModelFiles(
    small=("config.json",),
    to_copy=("config.json", "model.safetensors", "tokenizer.json"),
    expected="a text encoder's folder, or a hub repository (org/name)",
    needed=text_encoder_files,
)
"""What a student's text tower starts from."""


def is_adapter(folder: Path) -> bool:
    return (folder / ADAPTER_CONFIG).is_file()


def base_of(folder: Path) -> str:
    """The base an adapter names: a path, taken from the adapter's folder if it is relative, or a hub's repository
    at the revision that peft notes beside it, if it does.

    Raises:
        UserError: it names none.
    """
    values = read_json(folder / ADAPTER_CONFIG)
    base, revision = values.get("base_model_name_or_path"), values.get("revision")
    if not base:
        raise UserError(f"{folder / ADAPTER_CONFIG} names no base model; give it with --base.")
    if (folder / base).is_dir():
        return str(folder / base)
    return f"{base}@{revision}" if revision and "@" not in base else base


def base_stated(folder: Path) -> dict[str, Any] | None:
    """What `collotype.json` says of the base that lies elsewhere."""
    return read_json(folder / DESCRIPTION).get("base")


def modules_of(folder: Path) -> dict[str, Path]:
    """The folders of the modules by the last part of their type, in order."""
    try:
        modules = json.loads((folder / MODULES).read_text())
        return {module["type"].rpartition(".")[2]: folder / module["path"] for module in modules}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / MODULES} is not a list of modules ({error!r}); copy the folder again.") from error
