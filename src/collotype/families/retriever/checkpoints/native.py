"""Our own layout: `collotype.json` (architecture, preset, adapter), `model.safetensors`, `tokenizer.json`."""

from pathlib import Path

from collotype.families.retriever.backbones import BACKBONES
from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint
from collotype.families.retriever.checkpoints.weights import canonical, name_in_file
from collotype.families.retriever.model import Retriever, RetrieverConfig
from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_folder, write_json
from collotype.runtime.model_folder import DESCRIPTION, read_json, read_tensors, read_tokenizer, write_weights


def can_load(folder: Path) -> bool:
    return (folder / DESCRIPTION).is_file()


def write(model: Retriever, folder: Path) -> None:
    """Writes the model under canonical key names, so that no version of transformers decides what is in the file."""
    tensors = {name_in_file(model.row, key): tensor for key, tensor in model.state_dict().items()}
    with atomic_folder(folder) as scratch:
        write_json(scratch / DESCRIPTION, model.config.to_dict())
        write_weights(tensors, scratch)
        model.processor.save(scratch)


def read(folder: Path) -> RetrieverCheckpoint:
    values = read_json(folder / DESCRIPTION)
    family, backbone = values.get("family"), values.get("backbone")
    if family != "retriever" or backbone not in BACKBONES:
        raise UserError(
            f"{folder} holds a {family} of the backbone {backbone!r}; a retriever's is one of {', '.join(BACKBONES)}."
        )
    try:
        config = RetrieverConfig.from_dict(values)
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{folder / DESCRIPTION} does not describe a retriever ({error!r}); copy or train the model again."
        ) from error
    row = BACKBONES[backbone]
    origin = str(folder / "model.safetensors")
    return RetrieverCheckpoint(config, read_tokenizer(folder), canonical(row, read_tensors(folder), origin), origin)
