"""Our layout: `collotype.json`, `model.safetensors`, the vocabulary, and, if answers are named, `answer2label.txt`."""

from pathlib import Path

from collotype.families.beit3.answer_vocab import ANSWERS, read_answers, write_answers
from collotype.families.beit3.checkpoints.checkpoint import Beit3Checkpoint
from collotype.families.beit3.config import Beit3Config
from collotype.families.beit3.model import Beit3
from collotype.families.beit3.tokenizer import Beit3Tokenizer
from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_folder, write_json
from collotype.runtime.model_folder import DESCRIPTION, read_json, read_tensors, write_tensors


def can_load(folder: Path) -> bool:
    return (folder / DESCRIPTION).is_file()


def write(model: Beit3, folder: Path) -> None:
    with atomic_folder(folder) as scratch:
        write_json(scratch / DESCRIPTION, model.config.to_dict())
        write_tensors(model.state_dict(), scratch / "model.safetensors")
        model.tokenizer.save(scratch)
        if model.answer_list is not None:
            write_answers(model.answer_list, scratch / ANSWERS)


def read(folder: Path) -> Beit3Checkpoint:
    """
    Raises:
        UserError: it is of another family, or files are missing or do not fit each other.
    """
    values = read_json(folder / DESCRIPTION)
    if values.get("family") != "beit3":
        raise UserError(f"{folder} holds a {values.get('family')}, not a BEiT-3; give a BEiT-3's folder.")
    config = Beit3Config.from_dict(values)
    tokenizer = Beit3Tokenizer.read(folder, config.max_text_tokens)
    answers = read_answers(folder / ANSWERS) if (folder / ANSWERS).is_file() else None
    return Beit3Checkpoint(config, tokenizer, answers, read_tensors(folder), str(folder / "model.safetensors"))
