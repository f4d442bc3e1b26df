"""Our own layout: `collotype.json` (architecture, preset, adapter), `model.safetensors`, `tokenizer.json`."""

from pathlib import Path

from collotype.families.retriever.backbones import BACKBONES
from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint
from collotype.families.retriever.checkpoints.weights import canonical, name_in_file
from collotype.families.retriever.config import RetrieverConfig
from collotype.families.retriever.model import Retriever
from collotype.families.shared.checkpoints import read_description, write_native
from collotype.runtime.errors import UserError
from collotype.runtime.model_folder import DESCRIPTION, read_tensors, read_tokenizer


def write(model: Retriever, folder: Path) -> None:
    """Under canonical key names, so that no version of transformers decides what is in the file."""
    tensors = {name_in_file(model.row, key): tensor for key, tensor in model.state_dict().items()}
    write_native(folder, model.config.to_dict(), tensors, model.processor.save)


def read(folder: Path) -> RetrieverCheckpoint:
    values = read_description(folder, "retriever")
    backbone = values.get("backbone")
    if backbone not in BACKBONES:
        raise UserError(f"{folder} has the unknown backbone {backbone!r}; known backbones are {', '.join(BACKBONES)}.")
    try:
        config = RetrieverConfig.from_dict(values)
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{folder / DESCRIPTION} does not describe a retriever ({error!r}); copy or train the model again."
        ) from error
    row = BACKBONES[backbone]
    origin = str(folder / "model.safetensors")
    return RetrieverCheckpoint(config, read_tokenizer(folder), canonical(row, read_tensors(folder), origin), origin)
