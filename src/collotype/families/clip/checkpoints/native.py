"""Our own layout: `collotype.json` (architecture, activation, preprocessing), `model.safetensors`, `tokenizer.json`."""

from pathlib import Path

from collotype.families.clip.checkpoints.checkpoint import ClipCheckpoint
from collotype.families.clip.config import ClipConfig
from collotype.families.clip.model import Clip
from collotype.families.clip.tokenizer import ClipTokenizer
from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_folder, write_json
from collotype.runtime.model_folder import DESCRIPTION, read_json, read_tensors, write_tensors


def can_load(folder: Path) -> bool:
    return (folder / DESCRIPTION).is_file()


def write(model: Clip, folder: Path) -> None:
    with atomic_folder(folder) as scratch:
        write_json(scratch / DESCRIPTION, model.config.to_dict())
        write_tensors(model.state_dict(), scratch / "model.safetensors")
        model.tokenizer.save(scratch)


def read(folder: Path) -> ClipCheckpoint:
    """
    Raises:
        UserError: it is of another family, or files are missing or do not fit each other.
    """
    values = read_json(folder / DESCRIPTION)
    if values.get("family") != "clip":
        raise UserError(f"{folder} holds a {values.get('family')}, not a CLIP; give a CLIP's folder.")
    config = ClipConfig.from_dict(values)
    tokenizer = ClipTokenizer.read(folder, config.text_cfg.context_length)
    if tokenizer.vocab_size != config.text_cfg.vocab_size:
        raise UserError(
            f"{folder}: tokenizer.json has {tokenizer.vocab_size:,} tokens, the model {config.text_cfg.vocab_size:,}; "
            "copy the folder again."
        )
    return ClipCheckpoint(config, tokenizer, read_tensors(folder), str(folder / "model.safetensors"))
