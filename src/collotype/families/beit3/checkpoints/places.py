"""Where a BEiT-3 lies, and what of it is read; told without torch."""

from pathlib import Path

from collotype.families.beit3.answer_vocab import ANSWERS
from collotype.families.beit3.tokenizer import SENTENCE_PIECES, WORDS
from collotype.families.shared import checkpoints as shared
from collotype.runtime.errors import UserError
from collotype.runtime.hub import ModelLocation, Need, place_of
from collotype.runtime.model_folder import DESCRIPTION


def can_load(source: str | Path) -> bool:
    """Is this a published checkpoint? No file is opened; what is ours, which says its family itself, is none."""
    path = Path(source)
    return not shared.is_native(path) and (path.suffix == ".pth" or (path / SENTENCE_PIECES).is_file())


def fetched(source: str | Path) -> Path:
    """The file or folder, with all that is read of it.

    Raises:
        UserError: there is none, or the hub cannot be reached or refuses.
    """
    return shared.local(source, place_in, files_of)


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
