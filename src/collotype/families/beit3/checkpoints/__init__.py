"""BEiT-3s in folders and files, ours and the published ones; read strictly, whichever it is."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from collotype.families.beit3.answer_vocab import ANSWERS
from collotype.families.beit3.checkpoints import native, published
from collotype.families.beit3.checkpoints.checkpoint import Beit3Checkpoint
from collotype.families.beit3.tokenizer import SENTENCE_PIECES, WORDS
from collotype.families.shared import checkpoints as shared
from collotype.runtime.errors import UserError
from collotype.runtime.hub import ModelLocation, Need, place_of
from collotype.runtime.model_folder import DESCRIPTION


def can_load(source: str | Path) -> bool:
    """Is this a published checkpoint? No file is opened; what is ours, which says its family itself, is none."""
    path = Path(source)
    return not shared.is_native(path) and published.can_load(path)


def read(
    source: str | Path,
    *,
    tokenizer: str | Path | None = None,
    answers: Sequence[str] | None = None,
    image_size: int | None = None,
    new_head: bool = False,
) -> Beit3Checkpoint:
    """What a folder, a published `.pth` file or a repository of the hub holds.

    Args:
        tokenizer: path of `beit3.spm`, if it is not beside a published file.
        answers: names of the answers, where the source has none; with `new_head` those to train for.
        image_size: of the images, if another than the source's.
        new_head: for training: have pooler and head drawn for `answers` when the model is made, whatever is there.

    Raises:
        UserError: no layout we know, another kind of model, weights that are missing or left over, a head that is
            missing or has other answers, or a vocabulary that does not fit.
    """
    if new_head and not answers:
        raise UserError("A new head needs a list of answers; give one with data.answers.")
    path = shared.local(source, place_in, files_of)
    if path.is_dir() and shared.is_native(path):
        if tokenizer is not None:
            raise UserError(f"{source} has its own vocabulary; leave tokenizer out.")
        found = native.read(path)
        if answers is not None:
            found = found.with_new_head(answers) if new_head else found.with_answers(answers)
    elif can_load(path):
        found = published.read(path, None if tokenizer is None else Path(tokenizer), answers, new_head)
    else:
        raise UserError(
            f"{source} contains no BEiT-3 in a known layout; give a folder with collotype.json, or a .pth file with "
            "beit3.spm beside it."
        )
    return found if image_size is None else found.at(image_size)


def place_in(source: str | Path) -> ModelLocation:
    place = place_of(source, (DESCRIPTION,), ("the .pth file", SENTENCE_PIECES))
    if place is None:
        raise UserError(f"There is no folder or file {source}; give a model's folder or a checkpoint's .pth file.")
    return place


def files_of(place: ModelLocation) -> list[str]:
    """Exactly what is read of a repository."""
    weights = place.weights("model") if place.has(DESCRIPTION) else [n for n in place.names() if n.endswith(".pth")]
    return [*weights, SENTENCE_PIECES, WORDS, ANSWERS]


def needs_of(source: str | Path) -> list[Need]:
    return shared.needs_of(source, place_in, files_of)


LAYOUTS = {"beit3": published.write}
"""What a model can be exported to."""
export = partial(shared.export, LAYOUTS)
