"""Our layout: `collotype.json`, `model.safetensors`, the vocabulary, and, if answers are named, `answer2label.txt`."""

from pathlib import Path

from collotype.families.beit3.answer_vocab import ANSWERS, read_answers, write_answers
from collotype.families.beit3.checkpoints.checkpoint import Beit3Checkpoint
from collotype.families.beit3.config import Beit3Config
from collotype.families.beit3.model import Beit3
from collotype.families.beit3.tokenizer import Beit3Tokenizer
from collotype.families.shared.checkpoints import read_description, write_native
from collotype.runtime.tensor_files import read_tensors


def write(model: Beit3, folder: Path) -> None:
    def save_vocabulary(scratch: Path) -> None:
        model.tokenizer.save(scratch)
        if model.answer_list is not None:
            write_answers(model.answer_list, scratch / ANSWERS)

    write_native(folder, model.config.to_dict(), model.state_dict(), save_vocabulary)


def read(folder: Path) -> Beit3Checkpoint:
    """
    Raises:
        UserError: it is of another family, or files are missing or do not fit each other.
    """
    config = Beit3Config.from_dict(read_description(folder, "beit3"))
    tokenizer = Beit3Tokenizer.read(folder, config.max_text_tokens)
    answers = read_answers(folder / ANSWERS) if (folder / ANSWERS).is_file() else None
    return Beit3Checkpoint(config, tokenizer, answers, read_tensors(folder), str(folder / "model.safetensors"))
