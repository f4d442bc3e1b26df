"""Which files of a BEiT-3 are read; without torch."""

from pathlib import Path

from collotype.families.beit3.answer_vocab import ANSWERS
from collotype.families.beit3.tokenizer import SENTENCE_PIECES, WORDS
from collotype.families.shared.checkpoints import ModelFiles, is_native
from collotype.runtime.hub import ModelLocation
from collotype.runtime.model_folder import DESCRIPTION


def can_load(source: str | Path) -> bool:
    """Is this a published checkpoint? No file is opened; what is ours, which says its family itself, is none."""
    path = Path(source)
    return not is_native(path) and (path.suffix == ".pth" or (path / SENTENCE_PIECES).is_file())


def needed(location: ModelLocation) -> list[str]:
    published = [name for name in location.names() if name.endswith(".pth")]
    weights = location.weights("model") if location.has(DESCRIPTION) else published
    return [*weights, SENTENCE_PIECES, WORDS, ANSWERS]


FILES = ModelFiles(
    small=(DESCRIPTION,),
    to_copy=("the .pth file", SENTENCE_PIECES),
    expected="a model's folder or a checkpoint's .pth file",
    needed=needed,
)
