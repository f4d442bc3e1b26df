"""Tokenizes a query in its preset's prompt, without torch."""

import json
from bisect import bisect_right
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from collotype.families.retriever.preset import Preset
from collotype.families.retriever.tokenizer import UNKNOWN
from collotype.runtime.errors import UserError
from collotype.runtime.files import write_json

MAX_TEXT_TOKENS = 7900
"""Of a page's own text: with its frame within ModernVBERT's 7,999 positions."""


class QueryReader:
    """
    Args:
        image_token: the backbone's name for a visual token.
        max_query_tokens: of a query's own text, without the preset's frame.
    """

    def __init__(self, tokenizer: Tokenizer, preset: Preset, image_token: str, max_query_tokens: int = 512):
        self.tokenizer, self.preset, self.image_token = tokenizer, preset, image_token
        self.max_query_tokens = max_query_tokens
        self.id_of(preset.augmentation_token)
        self._frame = {"add_special_tokens": preset.tokenizer_frame}

    def id_of(self, token: str) -> int:
        """
        Raises:
            UserError: the tokenizer does not have it.
        """
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
                has = f"has {len(own):,} tokens, more than this model's limit of {most:,}"
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

    def word_of(self, query: str) -> dict[int, int]:
        """The position among its vectors of each of the query's own tokens, and which of its words it is of."""
        ends = [*accumulate(map(len, query.split()))]
        # tokens' places count spaces, words' do not
        spaces = [*accumulate(map(str.isspace, query))]
        found = {}
        for place, (start, end) in self.query_places(query):
            inside = next((at for at in range(start, end) if not query[at].isspace()), None)
            if inside is not None:
                found[place] = bisect_right(ends, inside - spaces[inside])
        return found

    def write(self, file: Path) -> None:
        """All that it is, for `read`."""
        own = {"image_token": self.image_token, "max_query_tokens": self.max_query_tokens}
        write_json(file, {**own, "preset": asdict(self.preset), "tokenizer": self.tokenizer.to_str()})

    @classmethod
    def read(cls, file: Path) -> "QueryReader":
        """
        Raises:
            UserError: the file is damaged.
        """
        try:
            said = json.loads(file.read_text())
            tokenizer, preset = Tokenizer.from_str(said.pop("tokenizer")), Preset(**said.pop("preset"))
            return cls(tokenizer, preset, **said)
        except Exception as error:  # the tokenizers library raises bare Exception
            raise UserError(f"{file} is damaged ({error!r}); index the documents again into a new folder.") from error
