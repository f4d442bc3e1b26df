"""Queries and page images to tensors, as the preset says and the backbone looks."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from PIL import Image
from tokenizers import AddedToken, Encoding, Tokenizer, models, normalizers, pre_tokenizers

from collotype.families.retriever.pixels import VisualLayout
from collotype.families.retriever.preset import IMAGE, Preset
from collotype.runtime.errors import UserError
from collotype.runtime.files import write_text

UNKNOWN = "<unk>"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
MAX_WORDS = 8192
"""Words of an open vocabulary that are a token each; the rest is spelled."""


def word_tokenizer(texts: Iterable[str], special_tokens: Sequence[str]) -> Tokenizer:
    """A lower-case word vocabulary of the special tokens and then exactly the words and marks in `texts`, in
    alphabetical order."""
    vocabulary = numbered([*special_tokens, *sorted(count_words(texts, special_tokens))])
    return lower_case_tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN), special_tokens)


def spelling_tokenizer(texts: Iterable[str], frame: Iterable[str], special_tokens: Sequence[str]) -> Tokenizer:
    """A lower-case vocabulary to which no word is unknown: those of `frame`, and the most common words of `texts` that
    occur more than once, are a token each, other words are spelled in the characters of `texts`, other characters in
    UTF-8 bytes."""
    counts, kept = count_words(texts, special_tokens), set(count_words(frame, special_tokens))
    common = sorted((word for word, count in counts.items() if count > 1), key=lambda word: (-counts[word], word))
    characters = {character for word in counts for character in word}
    vocabulary = numbered([*special_tokens, *BYTES, *sorted(characters | kept | set(common[:MAX_WORDS]))])
    spelling = models.BPE(vocabulary, [], unk_token=UNKNOWN, byte_fallback=True, ignore_merges=True)
    return lower_case_tokenizer(spelling, special_tokens)


def count_words(texts: Iterable[str], special_tokens: Sequence[str]) -> Counter[str]:
    """How often each lower-case word or mark stands in `texts`, special tokens apart."""
    special = re.compile("|".join(map(re.escape, [IMAGE, *special_tokens])))
    split = pre_tokenizers.Whitespace().pre_tokenize_str
    return Counter(word for text in texts for word, _ in split(special.sub(" ", text).lower()))


def numbered(tokens: Iterable[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokens)}


def lower_case_tokenizer(model: models.Model, special_tokens: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special_tokens])
    return tokenizer


class Processor:
    """The text and image side of a retriever; B texts or images, T tokens.

    Args:
        image_token, pad_token: the backbone's names for a visual token and for padding.
        max_query_tokens: of a query's own text, without the preset's frame.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        preset: Preset,
        layout: VisualLayout,
        image_token: str,
        pad_token: str,
        max_query_tokens: int = 512,
    ):
        self.max_query_tokens = max_query_tokens
        self.tokenizer, self.preset, self.layout, self.image_token = tokenizer, preset, layout, image_token
        self.image_id, self.pad_id = self._id(image_token), self._id(pad_token)
        self._id(preset.augmentation_token)
        self._frame = {"add_special_tokens": preset.tokenizer_frame}
        self._page_lengths: dict[tuple[int, int], int] = {}

    def _id(self, token: str) -> int:
        number = self.tokenizer.token_to_id(token)
        if number is None:
            raise UserError(f"The tokenizer has no token {token!r}, which the preset {self.preset.name} needs.")
        return number

    def query_ids(self, query: str, cut: bool = False) -> tuple[list[int], list[int]]:
        """Token ids of a query in the preset's frame, and the positions of its own words among them.

        Args:
            cut: leave what is beyond `max_query_tokens` out; else it is an error.

        Raises:
            UserError: the query is empty or too long, holds the token that stands for a page, or names a word that a
                word-level tokenizer has never seen.
        """
        if not query.strip():
            raise UserError(f"The query {query!r} is empty; give it at least one word.")
        if self.image_token in query:
            raise UserError(f"The query {query!r} holds {self.image_token}, which stands for a page; leave it out.")
        encoded, own = self._in_frame(query)
        start = len(self.preset.query_bos + self.preset.query_prefix)
        if len(own) > self.max_query_tokens:
            if not cut:
                has = f"has {len(own):,} tokens, and this model takes {self.max_query_tokens:,} at most"
                raise UserError(f"The query {query[:40]!r}… {has}; shorten it.")
            query = query[: encoded.offsets[own[self.max_query_tokens - 1]][1] - start]
            encoded, own = self._in_frame(query)
        unknown = [query[encoded.offsets[i][0] - start : encoded.offsets[i][1] - start] for i in own]
        unknown = [word for word, i in zip(unknown, own, strict=True) if encoded.tokens[i] == UNKNOWN]
        if unknown:
            raise UserError(
                f"The query {query!r} has words this model was never shown ({', '.join(unknown)}); its vocabulary of "
                f"{self.tokenizer.get_vocab_size()} words is in tokenizer.json."
            )
        return encoded.ids, own

    def _in_frame(self, query: str) -> tuple[Encoding, list[int]]:
        encoded = self.tokenizer.encode(self.preset.query(query), **self._frame)
        start = len(self.preset.query_bos + self.preset.query_prefix)
        own = [
            place
            for place, (first, last) in enumerate(encoded.offsets)
            if last > start and first < start + len(query) and first < last
        ]
        return encoded, own

    def is_too_long(self, query: str) -> bool:
        """Has the query more than `max_query_tokens`? No token is less than a byte, so most need not be tokenized."""
        return len(query.encode()) > self.max_query_tokens and len(self._in_frame(query)[1]) > self.max_query_tokens

    def query_words(self, query: str, cut: bool = False) -> list[tuple[int, str]]:
        """The query's own tokens: (position among its vectors, text); `cut` as of `query_ids`."""
        ids, positions = self.query_ids(query, cut)
        return [(position, self.tokenizer.decode([ids[position]]).strip()) for position in positions]

    def query_places(self, query: str) -> list[tuple[int, tuple[int, int]]]:
        """The query's own tokens: (position among its vectors, where in the query its characters begin and end)."""
        encoded, own = self._in_frame(query)
        start = len(self.preset.query_bos + self.preset.query_prefix)
        return [
            (place, (max(0, encoded.offsets[place][0] - start), min(len(query), encoded.offsets[place][1] - start)))
            for place in own
        ]

    def page_ids(self, size: tuple[int, int]) -> list[int]:
        """Token ids of a page of that (width, height) in pixels."""
        text = self.preset.page(self.layout.text(size, self.image_token))
        return self.tokenizer.encode(text, **self._frame).ids

    def page_length(self, size: tuple[int, int]) -> int:
        """The number of tokens of a page of that (width, height)."""
        grid = self.layout.grid(size)
        if grid not in self._page_lengths:
            self._page_lengths[grid] = len(self.page_ids(size))
        return self._page_lengths[grid]

    def visual_tokens(self, size: tuple[int, int]) -> tuple[torch.Tensor, tuple[int, int]]:
        """Which vectors of a page of that (width, height) look at its places, line by line, and the (rows, columns)."""
        places = (torch.tensor(self.page_ids(size)) == self.image_id).nonzero()[:, 0]
        return places[self.layout.order(size).ravel()], self.layout.grid(size)

    def queries(self, queries: Sequence[str], cut: bool = False) -> dict[str, torch.Tensor]:
        """`input_ids` int64 and `attention_mask` bool, [B, T], padded on the preset's side; `cut` as of `query_ids`."""
        return self._pad([self.query_ids(query, cut)[0] for query in queries])

    def pages(self, images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """As `queries`, and the layout's image inputs, bytes that the model scales on its own device."""
        return {**self._pad([self.page_ids(image.size) for image in images]), **self.layout.batch(images)}

    def _pad(self, ids: list[list[int]]) -> dict[str, torch.Tensor]:
        longest, left = max(map(len, ids)), self.preset.padding_side == "left"
        padded = torch.full((len(ids), longest), self.pad_id)
        mask = torch.zeros(len(ids), longest, dtype=torch.bool)
        for row, numbers in enumerate(ids):
            place = slice(longest - len(numbers), longest) if left else slice(0, len(numbers))
            padded[row, place] = torch.tensor(numbers)
            mask[row, place] = True
        return {"input_ids": padded, "attention_mask": mask}

    def save(self, folder: Path) -> None:
        write_text(folder / "tokenizer.json", self.tokenizer.to_str(pretty=True))
