"""Turns queries and page images into tensors, by preset and backbone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from tokenizers import Tokenizer

from collotype.families.retriever.backbones import ROWS
from collotype.families.retriever.config import RetrieverConfig
from collotype.families.retriever.preset import Preset
from collotype.families.retriever.query_reader import QueryReader
from collotype.families.retriever.transforms import VisualLayout
from collotype.runtime.files import write_text

if TYPE_CHECKING:
    import torch


class Processor(QueryReader):
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
        super().__init__(tokenizer, preset, image_token, max_query_tokens)
        self.layout, self.own_tokens_only = layout, own_tokens_only
        self.image_id, self.pad_id = self.id_of(image_token), self.id_of(pad_token)
        self._page_lengths: dict[tuple[int, int], int] = {}

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

    def visual_tokens(self, size: tuple[int, int]) -> "tuple[torch.Tensor, tuple[int, int]]":
        """Which vectors of a page of that (width, height) look at its places, line by line, and the (rows, columns)."""
        import torch

        places = (torch.tensor(self.page_ids(size)) == self.image_id).nonzero()[:, 0]
        return places[self.layout.order(size).ravel()], self.layout.grid(size)

    def queries(self, queries: Sequence[str], cut: bool = False) -> "dict[str, torch.Tensor]":
        """`input_ids` int64 and `attention_mask` bool, [B, T], padded on the preset's side; `cut` as of `query_ids`."""
        found = (self.query_ids(query, cut) for query in queries)
        return self.padded([[ids[place] for place in own] if self.own_tokens_only else ids for ids, own in found])

    def pages(self, images: Sequence[Image.Image]) -> "dict[str, torch.Tensor]":
        """As `queries`, and the layout's image inputs, bytes that the model scales on its own device."""
        return {**self.padded([self.page_ids(image.size) for image in images]), **self.layout.batch(images)}

    def padded(self, ids: Sequence[list[int]]) -> "dict[str, torch.Tensor]":
        """What `queries` gives, of token ids."""
        import torch

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


def make_processor(config: RetrieverConfig, tokenizer: Tokenizer) -> Processor:
    seeing = config.seeing
    row = ROWS[seeing.backbone]
    layout = row.layout(seeing.backbone_config, config.preset.max_visual_tokens)
    own, most = config.interaction == "sparse", config.max_query_tokens
    return Processor(tokenizer, config.preset, layout, row.image_token, row.pad_token, most, own_tokens_only=own)
