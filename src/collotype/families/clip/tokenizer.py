"""Captions to token ids: CLIP's byte pairs as published, or a closed vocabulary of words.

Both clean and split a text as open_clip's SimpleTokenizer does. The splitting is left to the package `regex`, which is
what it was defined by: other engines know other versions of Unicode.
"""

import gzip
import hashlib
import html
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenizers import AddedToken, Tokenizer, models

from collotype.runtime.errors import UserError
from collotype.runtime.files import write_text
from collotype.runtime.model_folder import read_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

VOCABULARY = Path(str(files("collotype") / "assets" / "clip" / "bpe_simple_vocab_16e6.txt.gz"))
VOCABULARY_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
MERGES = 49_152 - 256 - 2
"""Lines of the vocabulary's file that CLIP uses, after the first."""
BPE_TOKENS = 49_408
"""Of CLIP's own vocabulary, start and end included."""
START, END, PAD = "<start_of_text>", "<end_of_text>", "<pad>"
PATTERN = rf"{START}|{END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+"
PAD_ID = 0
"""After the end; seen by no token that counts. In the published vocabulary it is that of `!`."""


class ClipTokenIds(NamedTuple):
    """Token ids of one text, with its start and end, and whether some of it was left out to fit the context."""

    ids: list[int]
    cut: bool


class ClipTokenizer:
    """
    Args:
        tokenizer: of words that are already split; its largest id is that of the end.
        context_length: the most tokens of a text, start and end included.

    Raises:
        UserError: it has no start and end, or another token has a larger id than the end (which is found by that).
    """

    def __init__(self, tokenizer: Tokenizer, context_length: int = 77):
        self.tokenizer, self.context_length = tokenizer, context_length
        self.vocab_size = tokenizer.get_vocab_size()
        self.is_bpe = isinstance(tokenizer.model, models.BPE)
        start, end = (tokenizer.token_to_id(token) for token in (START, END))
        if start is None or end != self.vocab_size - 1:
            raise UserError(
                f"The tokenizer has {START} as {start} and {END} as {end} of {self.vocab_size} tokens; a CLIP "
                f"tokenizer needs both, with {END} as its last token."
            )
        self.start_id, self.end_id = start, end

    def __call__(self, text: str) -> ClipTokenIds:
        """
        Raises:
            UserError: the text has words that a closed vocabulary does not.
        """
        words = split(text)
        if self.is_bpe:
            words = [spell_bytes(word) for word in words]
        else:
            self._check(text, words)
        own = self.tokenizer.encode(words, is_pretokenized=True, add_special_tokens=False).ids if words else []
        room = self.context_length - 2
        return ClipTokenIds([self.start_id, *own[:room], self.end_id], len(own) > room)

    def _check(self, text: str, words: Iterable[str]) -> None:
        unknown = [word for word in words if self.tokenizer.token_to_id(word) is None]
        if unknown:
            raise UserError(
                f"The text {text!r} has words that are not in this model's vocabulary ({', '.join(unknown)}); its "
                f"{self.vocab_size} words are listed in tokenizer.json."
            )

    def batch(self, texts: Sequence[str], cut: bool = False) -> "Tensor":
        """Ids int64 [len(texts), context_length].

        Args:
            cut: leave out what is beyond the context; else it is an error.

        Raises:
            UserError: a text is too long, or has words that a closed vocabulary does not.
        """
        rows = [self(text) for text in texts]
        too_long = [text for text, row in zip(texts, rows, strict=True) if row.cut]
        if too_long and not cut:
            raise UserError(
                f"{len(too_long)} of {len(texts)} texts are longer than the {self.context_length} tokens this model "
                f"takes (the first: {too_long[0][:40]!r}…); shorten or truncate them."
            )
        return self.pad([row.ids for row in rows])

    def pad(self, rows: Sequence[Sequence[int]]) -> "Tensor":
        """Ids of texts as int64 [len(rows), context_length]."""
        import torch

        padded = torch.full((len(rows), self.context_length), PAD_ID)
        for row, ids in zip(padded, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids)
        return padded

    def to_str(self) -> str:
        return self.tokenizer.to_str(pretty=True)

    def save(self, folder: Path) -> None:
        write_text(folder / "tokenizer.json", self.to_str())

    @classmethod
    def read(cls, folder: Path, context_length: int) -> "ClipTokenizer":
        """
        Raises:
            UserError: there is no readable tokenizer.json, or it is of no CLIP.
        """
        return cls(read_tokenizer(folder), context_length)


def clean(text: str) -> str:
    """Mojibake and twice-escaped HTML repaired, runs of white space as one space, lower case."""
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).lower()


@cache
def pattern() -> Any:
    import regex

    return regex.compile(PATTERN, regex.IGNORECASE)


def split(text: str) -> list[str]:
    """The words, digits and runs of marks of a text, cleaned."""
    return list(pattern().findall(clean(text)))


def byte_letters() -> list[str]:
    """A visible character for each byte: itself where it is one, else one from 256 on."""
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte if byte in visible else next(others)) for byte in range(256)]


BYTE_LETTERS = dict(enumerate(byte_letters()))


def spell_bytes(word: str) -> str:
    """A word as the visible characters of its UTF-8 bytes."""
    return word.encode().decode("latin-1").translate(BYTE_LETTERS)


def bpe_tokenizer(context_length: int = 77, vocabulary: Path = VOCABULARY) -> ClipTokenizer:
    """CLIP's own, of 49,408 tokens.

    Raises:
        UserError: the vocabulary's file is missing or is not the published one.
    """
    return ClipTokenizer(Tokenizer.from_str(published_bpe(vocabulary)), context_length)


@cache
def published_bpe(vocabulary: Path) -> str:
    try:
        packed = vocabulary.read_bytes()
    except OSError as error:
        raise UserError(f"CLIP's vocabulary cannot be read ({error}); install collotype again.") from error
    found = hashlib.sha256(packed).hexdigest()
    if found != VOCABULARY_SHA256:
        raise UserError(
            f"{vocabulary} is not CLIP's published vocabulary (1,356,917 bytes, SHA-256 {VOCABULARY_SHA256[:12]}…): "
            f"it has {len(packed):,} bytes and {found[:12]}…; copy the file again."
        )
    lines = gzip.decompress(packed).decode().split("\n")
    pairs = (line.split() for line in lines[1 : MERGES + 1])
    merges = [(first, second) for first, second in pairs]
    letters = sorted(byte_letters())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges)]
    numbers = {token: number for number, token in enumerate(tokens)}
    return with_frame(models.BPE(numbers, merges, end_of_word_suffix="</w>"))


def with_frame(model: models.Model) -> str:
    """The tokenizer of that model, with start and end as its last tokens."""
    tokenizer = Tokenizer(model)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (START, END)])
    return tokenizer.to_str()


def word_tokenizer(texts: Iterable[str], context_length: int = 77) -> ClipTokenizer:
    """A vocabulary of exactly the words and marks in `texts`, in alphabetical order, of a token each."""
    words = sorted({word for text in texts for word in split(text)} - {START, END})
    numbers = {token: number for number, token in enumerate([PAD, *words])}
    return ClipTokenizer(Tokenizer.from_str(with_frame(models.WordLevel(numbers, unk_token=PAD))), context_length)
