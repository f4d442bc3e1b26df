"""Queries and page images to tensors, as the preset says and the backbone looks."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from tokenizers import Encoding, Tokenizer

from collotype.families.retriever.preset import Preset
from collotype.families.retriever.tokenizer import UNKNOWN
from collotype.families.retriever.transforms import VisualLayout
from collotype.runtime.errors import UserError
from collotype.runtime.files import write_text

MAX_TEXT_TOKENS = 7900
"""Of a page's own text: with its frame within ModernVBERT's 7,999 positions."""


class Processor:
    """The text and image side of a retriever; B texts or images, T tokens.

    Args:
        image_token, pad_token: the backbone's names for a visual token and for padding.
        max_query_tokens: of a query's own text, without the preset's frame.
        own_tokens_only: leave the frame out of a query's tensors.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        preset: Preset,
        layout: VisualLayout,
        image_token: str,
        pad_token: str,
        max_query_tokens: int = 512,
        own_tokens_only: bool = False,
    ):
        self.max_query_tokens, self.own_tokens_only = max_query_tokens, own_tokens_only
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

    def query_ids(self, query: str, cut: bool = False, most: int | None = None) -> tuple[list[int], list[int]]:
        """Token ids of a query in the preset's frame, and the positions of its own words among them.

        Args:
            cut: leave what is beyond `max_query_tokens` out; else it is an error.
            most: of its own tokens, in the place of `max_query_tokens`.

        Raises:
            UserError: the query is empty or too long, holds the token that stands for a page, or names a word that a
                word-level tokenizer has never seen.
        """
        if not query.strip():
            raise UserError(f"The query {query!r} is empty; give it at least one word.")
        if self.image_token in query:
            raise UserError(
                f"The query {query!r} contains {self.image_token}, the placeholder of a page; leave it out."
            )
        encoded, own = self._in_frame(query)
        start, most = len(self.preset.query_bos + self.preset.query_prefix), most or self.max_query_tokens
        if len(own) > most:
            if not cut:
                has = f"has {len(own):,} tokens, and this model takes at most {most:,}"
                raise UserError(f"The query {query[:40]!r}… {has}; shorten it.")
            query = query[: encoded.offsets[own[most - 1]][1] - start]
            encoded, own = self._in_frame(query)
        unknown = [query[encoded.offsets[i][0] - start : encoded.offsets[i][1] - start] for i in own]
        unknown = [word for word, i in zip(unknown, own, strict=True) if encoded.tokens[i] == UNKNOWN]
        if unknown:
            raise UserError(
                f"The query {query!r} has words that are not in this model's vocabulary ({', '.join(unknown)}); its "
                f"{self.tokenizer.get_vocab_size()} words are listed in tokenizer.json."
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

    def is_too_long(self, query: str, most: int | None = None) -> bool:
        """Has the query more than `max_query_tokens`? No token is less than a byte, so most need not be tokenized."""
        most = most or self.max_query_tokens
        return len(query.encode()) > most and len(self._in_frame(query)[1]) > most

    def text_ids(self, text: str) -> list[int]:
        """Token ids of a page's text, in the frame of a query: MAX_TEXT_TOKENS of its own at most, or none."""
        text = text.replace(self.image_token, " ")
        if text.strip():
            return self.query_ids(text, cut=True, most=MAX_TEXT_TOKENS)[0]
        return self.tokenizer.encode(self.preset.query(""), **self._frame).ids

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
        found = (self.query_ids(query, cut) for query in queries)
        return self.padded([[ids[place] for place in own] if self.own_tokens_only else ids for ids, own in found])

    def pages(self, images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """As `queries`, and the layout's image inputs, bytes that the model scales on its own device."""
        return {**self.padded([self.page_ids(image.size) for image in images]), **self.layout.batch(images)}

    def padded(self, ids: Sequence[list[int]]) -> dict[str, torch.Tensor]:
        """What `queries` gives, of token ids."""
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
