"""Our own layout: `collotype.json` (architecture, activation, preprocessing), `model.safetensors`, `tokenizer.json`."""

from pathlib import Path

from collotype.families.clip.checkpoints.checkpoint import ClipCheckpoint
from collotype.families.clip.config import ClipConfig
from collotype.families.clip.model import Clip
from collotype.families.clip.tokenizer import ClipTokenizer
from collotype.families.shared.checkpoints import read_description, write_native
from collotype.runtime.errors import UserError
from collotype.runtime.tensor_files import read_tensors


def write(model: Clip, folder: Path) -> None:
    write_native(folder, model.config.to_dict(), model.state_dict(), model.tokenizer.save)


def read(folder: Path) -> ClipCheckpoint:
    """
    Raises:
        UserError: it is of another family, or files are missing or do not fit each other.
    """
    config = ClipConfig.from_dict(read_description(folder, "clip"))
    tokenizer = ClipTokenizer.read(folder, config.text_cfg.context_length)
    if tokenizer.vocab_size != config.text_cfg.vocab_size:
        raise UserError(
            f"{folder}: tokenizer.json has {tokenizer.vocab_size:,} tokens, but the model has "
            f"{config.text_cfg.vocab_size:,}; copy the folder again."
        )
    return ClipCheckpoint(config, tokenizer, read_tensors(folder), str(folder / "model.safetensors"))
