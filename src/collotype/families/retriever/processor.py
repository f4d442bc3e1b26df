"""Queries and page images to tensors, as the preset says."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from collotype.families.retriever.backbones.row import Backbone
from collotype.families.retriever.preset import Preset
from collotype.runtime.errors import UserError
from collotype.runtime.files import write_text

SPECIAL_TOKENS = ("<pad>", "<eos>", "<bos>", "<unk>", "<image>", "<unused0>", "\n")


def word_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """A lower-case word vocabulary of exactly the words and marks in `texts`, in alphabetical order."""
    tokenizer = Tokenizer(models.WordLevel({}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    words = {word for text in texts for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text.lower())}
    vocabulary = {token: number for number, token in enumerate([*SPECIAL_TOKENS, *sorted(words)])}
    tokenizer.model = models.WordLevel(vocabulary, unk_token="<unk>")
    return tokenizer


class Processor:
    """The text and image side of a retriever; B texts or images, T tokens."""

    def __init__(
        self, tokenizer: Tokenizer, preset: Preset, backbone: Backbone, image_size_px: int, patch_size_px: int
    ):
        self.tokenizer, self.preset, self.backbone = tokenizer, preset, backbone
        self.image_size_px = image_size_px
        self.grid = image_size_px // patch_size_px
        """Patches along one side of a page."""
        self.num_image_tokens = self.grid**2
        self.page_ids = self._page_ids()

    def _id(self, token: str) -> int:
        number = self.tokenizer.token_to_id(token)
        if number is None:
            raise UserError(f"The tokenizer has no token {token!r}, which the preset {self.preset.name} needs.")
        return number

    def _page_ids(self) -> list[int]:
        preset = self.preset
        text = self.tokenizer.encode(preset.page_prompt, add_special_tokens=False).ids
        newline = [self._id("\n")] * preset.page_newline
        return (
            [self._id(self.backbone.image_token)] * self.num_image_tokens
            + [self._id("<bos>")] * preset.bos_count
            + text
            + newline
        )

    def query_ids(self, query: str) -> tuple[list[int], list[int]]:
        """Token ids of a query in the preset's frame, and the positions of its own words among them.

        Raises:
            UserError: the query is empty, or names a word that a word-level tokenizer has never seen.
        """
        preset = self.preset
        own = self.tokenizer.encode(query, add_special_tokens=False)
        if not own.ids:
            raise UserError(f"The query {query!r} is empty; give it at least one word.")
        unknown = [query[slice(*own.offsets[i])] for i, number in enumerate(own.ids) if number == self._id("<unk>")]
        if unknown:
            raise UserError(
                f"The query {query!r} has words this model was never shown ({', '.join(unknown)}); its vocabulary of "
                f"{self.tokenizer.get_vocab_size()} words is in tokenizer.json."
            )
        prefix = self.tokenizer.encode(preset.query_prefix, add_special_tokens=False).ids
        head = [self._id("<bos>")] * preset.bos_count + prefix
        tail = [self._id(preset.augmentation_token)] * preset.augmentation_count + [
            self._id("\n")
        ] * preset.query_newline
        return head + own.ids + tail, list(range(len(head), len(head) + len(own.ids)))

    def query_words(self, query: str) -> list[tuple[int, str]]:
        """The query's own tokens: (position among its vectors, text)."""
        ids, positions = self.query_ids(query)
        return [(position, self.tokenizer.id_to_token(ids[position])) for position in positions]

    def queries(self, queries: Sequence[str]) -> dict[str, torch.Tensor]:
        """`input_ids` int64 and `attention_mask` bool, [B, T], padded right."""
        return self._pad([self.query_ids(query)[0] for query in queries])

    def pages(self, images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """As `queries`, and `pixel_values` uint8 [B, 3, size, size]: the model scales them on its own device."""
        inputs = self._pad([self.page_ids] * len(images))
        return {**inputs, "pixel_values": torch.from_numpy(np.stack([self._pixels(image) for image in images]))}

    def _pixels(self, image: Image.Image) -> np.ndarray:
        side = (self.image_size_px, self.image_size_px)
        try:
            # an opaque page is what a reader sees: a transparent picture lies on white paper
            if image.has_transparency_data:
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
            image = image.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:
            name = getattr(image, "filename", "") or "a page image"
            raise UserError(f"{name} cannot be read as a picture ({error}); replace it or leave it out.") from error
        if image.size != side:
            image = image.resize(side, Image.Resampling.BICUBIC)
        return np.asarray(image).transpose(2, 0, 1)

    def _pad(self, ids: list[list[int]]) -> dict[str, torch.Tensor]:
        longest = max(map(len, ids))
        padded = torch.full((len(ids), longest), self._id("<pad>"))
        mask = torch.zeros(len(ids), longest, dtype=torch.bool)
        for row, numbers in enumerate(ids):
            padded[row, : len(numbers)] = torch.tensor(numbers)
            mask[row, : len(numbers)] = True
        return {"input_ids": padded, "attention_mask": mask}

    def save(self, folder: Path) -> None:
        write_text(folder / "tokenizer.json", self.tokenizer.to_str(pretty=True))
