"""Our own layout: `collotype.json` (architecture, preset, adapter and where its base lies), `model.safetensors`,
`tokenizer.json`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collotype.families.retriever.backbones import ROWS
from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint
from collotype.families.retriever.checkpoints.weights import canonical, name_in_file
from collotype.families.retriever.config import RetrieverConfig
from collotype.families.retriever.lora_targets import PROJECTION
from collotype.families.retriever.model import Retriever
from collotype.families.shared.checkpoints import read_description, write_native
from collotype.runtime.digest import kept_digest
from collotype.runtime.errors import UserError
from collotype.runtime.model_folder import DESCRIPTION, read_tokenizer
from collotype.runtime.tensor_files import read_tensors
from collotype.runtime.weights import Weights


@dataclass(frozen=True)
class Base:
    """What an adapter was trained on, and where that lies."""

    source: str
    """A folder, or a repository at a commit."""
    base: str | None
    """Its own, if it is an adapter whose base is not where it says."""
    preset: str
    weights: Weights

    @property
    def sha256(self) -> str:
        return kept_digest(self.weights.sources, self.weights.files)

    def to_dict(self) -> dict[str, Any]:
        return {"source": self.source, "base": self.base, "preset": self.preset, "sha256": self.sha256}


def write(model: Retriever, folder: Path, base: Base | None = None, trained: Collection[str] = ()) -> None:
    """Writes the model under canonical key names, so that no version of transformers decides what is in the file.

    Args:
        base: of an adapter: where the weights lie that are not `trained`; they are not written.
        trained: names of weights beside the adapter's own.
    """
    tensors = {name_in_file(model.row, key): tensor for key, tensor in model.state_dict().items()}
    kept = frozenset(base.weights if base else ()) - set(trained)
    own = {name: tensor for name, tensor in tensors.items() if name not in kept}
    described = model.config.to_dict() | ({"base": base.to_dict()} if base else {})
    write_native(folder, described, own, model.processor.save)


def read(folder: Path, base: RetrieverCheckpoint | None = None) -> RetrieverCheckpoint:
    """
    Args:
        base: what the folder says that its weights are an adapter of.

    Raises:
        UserError: it is of another family, files are missing, or the base is another than it was trained on.
    """
    values = read_description(folder, "retriever")
    backbone = values.get("backbone")
    if backbone not in ROWS:
        raise UserError(f"{folder} has the unknown backbone {backbone!r}; the known ones are {', '.join(ROWS)}.")
    try:
        config = RetrieverConfig.from_dict({name: value for name, value in values.items() if name != "base"})
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{folder / DESCRIPTION} does not describe a retriever ({error!r}); copy or train the model again."
        ) from error
    row = ROWS[backbone]
    origin = str(folder / "model.safetensors")
    own = canonical(row, read_tensors(folder), origin)
    tensors = on_base(folder, values["base"], own, base, config) if base else own
    return RetrieverCheckpoint(config, read_tokenizer(folder), tensors, origin)


def on_base(
    folder: Path, stated: Mapping[str, Any], own: Weights, base: RetrieverCheckpoint, config: RetrieverConfig
) -> Weights:
    """
    Raises:
        UserError: it is not the base that the folder's adapter was trained on.
    """
    weights = of_base(base.tensors, config.dim)
    found = Base(base.origin, None, stated["preset"], weights).sha256
    if found != stated["sha256"]:
        raise UserError(
            f"The adapter in {folder} was trained on {stated['source']} (weights {stated['sha256'][:12]}), but "
            f"{base.origin} has other weights ({found[:12]}); give the original base with --base."
        )
    return weights | own


def of_base(weights: Weights, dim: int | None) -> Weights:
    """Without its projection where the model has none."""
    return weights if dim else weights.without(name for name in weights if name.startswith(PROJECTION))
