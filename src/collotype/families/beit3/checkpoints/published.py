"""BEiT-3's own layout: a `.pth` file {"model": weights}, with `beit3.spm` and the list of answers next to it.

Such a file says neither its number of heads nor its limit of words, which its size does, nor anything of its training.
"""

import math
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from collotype.families.beit3.answer_vocab import ANSWERS, read_answers, write_answers
from collotype.families.beit3.checkpoints.checkpoint import PLACES, Beit3Checkpoint
from collotype.families.beit3.config import SIZES, Beit3Config, shape_of
from collotype.families.beit3.model import Beit3
from collotype.families.beit3.sizes import UNUSED_ROWS
from collotype.families.beit3.tokenizer import SENTENCE_PIECES, Beit3Tokenizer
from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_file
from collotype.runtime.model_folder import name_some
from collotype.runtime.tensor_files import WRAPPERS, only_once, read_state

UNDER = ("model", "module")
"""Where a file keeps its weights: as published and by its own trainer, or by DeepSpeed."""
OTHER_HEADS = re.compile(r"^(mlm_head\.|vision_head\.|language_head\.|logit_scale$|beit3\.encoder\.layer_norm\.)")
"""Of captioning, retrieval and pretraining, and the norm below them."""
LAST_LAYER = "head.3.weight"
"""Where a head for questions ends: [answers, 2 W]."""


def read(path: Path, tokenizer: Path | None, answers: Sequence[str] | None, new_head: bool) -> Beit3Checkpoint:
    """
    Args:
        path: a file, or a folder with one.
        tokenizer: `beit3.spm`; None: the one beside the file.
        answers: names of the head's answers; None: those of `answer2label.txt` beside the file, if it is there.
        new_head: draw one for `answers`.

    Raises:
        UserError: no such file or more than one, it is damaged or no BEiT-3 of a known size, it has no head for
            questions, or the vocabulary or the answers do not fit.
    """
    file = path if path.is_file() else only_file(path)
    tensors, left_out = named(read_state(file, UNDER, (Namespace,)), str(file), new_head)
    if LAST_LAYER not in tensors and not new_head:
        raise UserError(
            f"{file} is only pretrained and has no question-answering head, so its answers would be random; give a "
            "fine-tuned checkpoint, or train this one with a new head."
        )
    config = recognise(tensors, len(answers or ()) if new_head else len(tensors[LAST_LAYER]), str(file))
    words = Beit3Tokenizer.read(tokenizer or file.with_name(SENTENCE_PIECES), config.max_text_tokens)
    if new_head:
        return Beit3Checkpoint(config, words, None, tensors, str(file), left_out).with_new_head(answers or ())
    beside = file.with_name(ANSWERS)
    if answers is None and beside.is_file():
        answers = read_answers(beside)
    return Beit3Checkpoint(config, words, None if answers is None else tuple(answers), tensors, str(file), left_out)


def only_file(folder: Path) -> Path:
    """
    Raises:
        UserError: there are several.
    """
    files = sorted(folder.glob("*.pth"))
    if len(files) != 1:
        names = name_some([file.name for file in files])
        raise UserError(f"{folder} contains {len(files)} checkpoints ({names}); give the path of one.")
    return files[0]


def named(state: Mapping[str, Tensor], origin: str, new_head: bool) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors of a model that answers questions, and the keys of those that are of other heads: known ones, or,
    where a new head is drawn, whatever is above the backbone.

    Raises:
        UserError: two keys mean the same weight.
    """
    names = {key: WRAPPERS.sub("", key) for key in state}
    only_once(names, origin)

    def is_other(name: str) -> bool:
        return bool(OTHER_HEADS.match(name)) or (new_head and not name.startswith("beit3."))

    tensors = {name: state[key] for key, name in names.items() if not is_other(name)}
    return tensors, tuple(sorted(key for key, name in names.items() if is_other(name)))


def recognise(tensors: Mapping[str, Tensor], num_answers: int, origin: str) -> Beit3Config:
    """The configuration of the named size that these shapes are, for any size of images.

    Raises:
        UserError: it is none: heads, which no shape tells, would have to be guessed.
    """
    try:
        vocab_size, width = tensors["beit3.text_embed.weight"].shape
        patches = len(tensors[PLACES]) - UNUSED_ROWS - 1
        patch_size = tensors["beit3.vision_embed.proj.weight"].shape[-1]
        inner = len(tensors["beit3.encoder.layers.0.ffn.A.fc1.weight"])
        text_positions = len(tensors["beit3.encoder.embed_positions.B.weight"])
    except (KeyError, ValueError) as error:
        raise UserError(f"{origin} contains no BEiT-3: {error} is not among its {len(tensors)} tensors.") from error
    layers = len({match[1] for key in tensors if (match := re.match(r"beit3\.encoder\.layers\.(\d+)\.", key))})
    values = next((values for values in SIZES.values() if shape_of(values) == (width, layers)), None)
    if values is None or math.isqrt(patches) ** 2 != patches:
        raise UserError(
            f"{origin} is a BEiT-3 of an unknown size ({layers} layers, width {width}, {patches} patches), so its "
            f"number of heads is unknown; the known sizes are {', '.join(SIZES)}."
        )
    return Beit3Config.from_dict(
        {
            **values,
            "mlp_ratio": inner / width,
            "image_size": math.isqrt(patches) * patch_size,
            "patch_size": patch_size,
            "vocab_size": vocab_size,
            "text_positions": text_positions,
            "num_answers": num_answers,
        }
    )


def write(model: Beit3, folder: Path) -> None:
    """Writes into `folder` what BEiT-3's own code loads with `--finetune`, the vocabulary and the answers.

    Raises:
        UserError: the model's vocabulary is not a sentencepiece model, or it is of no size that the file tells.
    """
    config, vocabulary = model.config, model.tokenizer.vocabulary
    if vocabulary.file_name != SENTENCE_PIECES:
        raise UserError(
            f"BEiT-3's own code tokenizes questions with {SENTENCE_PIECES}, but this model has its own vocabulary of "
            f"{model.tokenizer.vocab_size:,} words; train with {SENTENCE_PIECES} to export it."
        )
    if config.label == "custom":
        raise UserError(
            "BEiT-3's own layout does not store the number of heads, so it supports only the sizes "
            f"{', '.join(SIZES)}, and this model has {config.layers} layers of width {config.hidden_size}; keep it in "
            "Collotype's layout."
        )
    model.tokenizer.save(folder)
    if model.answer_list is not None:
        write_answers(model.answer_list, folder / ANSWERS)
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in model.state_dict().items()}
    name = f"beit3_{config.label}_patch{config.patch_size}_{config.image_size}_vqa.pth"
    with atomic_file(folder / name) as scratch:
        torch.save({"model": plain}, scratch)
