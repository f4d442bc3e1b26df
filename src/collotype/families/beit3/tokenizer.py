"""Questions to token ids: BEiT-3's sentence pieces as published, or a closed vocabulary of words.

The ids of both begin with the same frame: start 0, padding 1, end 2, unknown 3.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from collotype.families.beit3.config import PUBLISHED_VOCABULARY
from collotype.runtime.errors import UserError, first_line
from collotype.runtime.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

START, PAD, END, UNKNOWN = range(4)
FRAME = 4
SENTENCE_PIECES, WORDS = "beit3.spm", "words.txt"
"""Names of the files that hold a vocabulary."""
PUBLISHED_PIECES = 64_000
"""Of the published beit3.spm."""
WORD = re.compile(r"\w+|[^\w\s]")


class Beit3TokenIds(NamedTuple):
    """Token ids of one question, with its start and end, and whether some of it was left out to fit the limit."""

    ids: list[int]
    cut: bool


class Vocabulary(Protocol):
    """What a text is spelled in."""

    file_name: str
    content: bytes
    """Of its file."""
    rows: int
    """Of the embedding that goes with it."""

    def ids(self, text: str) -> list[int]:
        """A text's own, without start and end."""


class SentencePieces:
    """A sentencepiece model with the ids of XLM-RoBERTa: a piece's number plus one, after the frame's four.

    Args:
        content: of a `.spm` file.
        origin: what errors name.

    Raises:
        UserError: it is no such file, or its first pieces are not unknown, start and end.
    """

    file_name = SENTENCE_PIECES

    def __init__(self, content: bytes, origin: str):
        from sentencepiece import SentencePieceProcessor

        self.content = content
        try:
            self.processor = SentencePieceProcessor(model_proto=content)
            pieces = self.processor.get_piece_size()
        except RuntimeError as error:
            pieces, reason = 0, first_line(error)
        else:
            reason = "it is empty"
        if not pieces:
            raise UserError(
                f"{origin} is not a sentencepiece model ({reason}); give the beit3.spm that is published with BEiT-3's "
                "checkpoints."
            )
        special = (self.processor.unk_id(), self.processor.bos_id(), self.processor.eos_id())
        if special != (0, 1, 2):
            raise UserError(
                f"{origin} numbers unknown, start and end as {special}, but BEiT-3's numbers are (0, 1, 2); give the "
                "beit3.spm that is published with its checkpoints."
            )
        # one more for the padding, which no piece is, and one for the mask of pretraining
        self.rows = PUBLISHED_VOCABULARY if pieces == PUBLISHED_PIECES else pieces + 2

    def ids(self, text: str) -> list[int]:
        return [piece + 1 if piece else UNKNOWN for piece in self.processor.encode(text)]


class Words:
    """A token for each word and mark, case folded.

    Raises:
        UserError: there is no word, or one appears twice.
    """

    file_name = WORDS

    def __init__(self, words: Sequence[str], origin: str = WORDS):
        self.content = "".join(f"{word}\n" for word in words).encode()
        self.numbers = {word: FRAME + number for number, word in enumerate(words)}
        self.rows = FRAME + len(words)
        if not words or len(self.numbers) < len(words):
            raise UserError(
                f"{origin} has {len(words)} words, but only {len(self.numbers)} different ones; copy it again."
            )

    def ids(self, text: str) -> list[int]:
        """
        Raises:
            UserError: the text has words that are not in the vocabulary.
        """
        words = split(text)
        unknown = [word for word in words if word not in self.numbers]
        if unknown:
            raise UserError(
                f"The question {text!r} has words that are not in this model's vocabulary ({', '.join(unknown)}); its "
                f"{len(self.numbers)} words are listed in {WORDS}."
            )
        return [self.numbers[word] for word in words]


def split(text: str) -> list[str]:
    return WORD.findall(text.casefold())


class Beit3Tokenizer:
    """
    Args:
        max_tokens: the most tokens of a question, start and end included.
    """

    def __init__(self, vocabulary: Vocabulary, max_tokens: int = 64):
        self.vocabulary, self.max_tokens = vocabulary, max_tokens

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding that goes with it."""
        return self.vocabulary.rows

    def __call__(self, question: str) -> Beit3TokenIds:
        """
        Raises:
            UserError: the question has words that are not in a closed vocabulary.
        """
        return self.framed(self.vocabulary.ids(question))

    def framed(self, own: Sequence[int]) -> Beit3TokenIds:
        """A question that is in tokens already, without start and end."""
        room = self.max_tokens - 2
        return Beit3TokenIds([START, *own[:room], END], len(own) > room)

    def batch(self, questions: Sequence[str], cut: bool = False) -> "tuple[Tensor, Tensor]":
        """As `pad`.

        Args:
            cut: leave out what is beyond the limit; else it is an error.

        Raises:
            UserError: a question is too long, or has words that are not in a closed vocabulary.
        """
        rows = [self(question) for question in questions]
        too_long = [question for question, row in zip(questions, rows, strict=True) if row.cut]
        if too_long and not cut:
            raise UserError(
                f"{len(too_long)} of {len(questions)} questions are longer than the {self.max_tokens} tokens this "
                f"model takes (the first: {too_long[0][:40]!r}…); shorten or truncate them."
            )
        return pad([row.ids for row in rows])

    def save(self, folder: Path) -> None:
        write_bytes(folder / self.vocabulary.file_name, self.vocabulary.content)

    @classmethod
    def read(cls, source: Path, max_tokens: int) -> "Beit3Tokenizer":
        """
        Args:
            source: a `.spm` file, or a folder with `beit3.spm` or `words.txt`.

        Raises:
            UserError: there is no such file, or it cannot be read.
        """
        named = [source / name for name in (SENTENCE_PIECES, WORDS)] if source.is_dir() else [source]
        file = next((file for file in named if file.is_file()), None)
        if file is None:
            raise UserError(f"There is no {' or '.join(map(str, named))}; give the path of beit3.spm.")
        try:
            content = file.read_bytes()
            if file.name == WORDS:
                return cls(Words(content.decode().split("\n")[:-1], str(file)), max_tokens)
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{file} cannot be read ({error}); copy it again.") from error
        return cls(SentencePieces(content, str(file)), max_tokens)


def pad(rows: Sequence[Sequence[int]]) -> "tuple[Tensor, Tensor]":
    """Token ids int64 [len(rows), T] and what of them is real, bool; T is the longest row's."""
    import torch

    ids = torch.full((len(rows), max(map(len, rows), default=0)), PAD)
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = True
    return ids, mask


def word_tokenizer(texts: Iterable[str], max_tokens: int = 64) -> Beit3Tokenizer:
    """A vocabulary of exactly the words and marks in `texts`, in alphabetical order, of a token each."""
    return Beit3Tokenizer(Words(sorted({word for text in texts for word in split(text)})), max_tokens)
