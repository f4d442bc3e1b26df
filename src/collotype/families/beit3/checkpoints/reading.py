"""Reads a BEiT-3 in any supported layout, strictly."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from collotype.families.beit3.checkpoints import native, published
from collotype.families.beit3.checkpoints.checkpoint import Beit3Checkpoint
from collotype.families.beit3.checkpoints.locations import FILES, can_load
from collotype.families.shared import checkpoints as shared
from collotype.runtime.errors import UserError


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
    path = FILES.fetched(source)
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


LAYOUTS = {"beit3": published.write}
"""What a model can be exported to."""
export = partial(shared.export, LAYOUTS)
