"""A distilled text encoder as search sees it: its queries are computed in NumPy on mapped weights, so neither torch nor
its teacher is read for one. Pages, which are its teacher's, are encoded by the retriever that it is a part of."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tokenizers import Tokenizer

from collotype.families.retriever.backbones import ROWS
from collotype.families.retriever.config import require_dim
from collotype.families.retriever.preset import Preset
from collotype.families.retriever.query_reader import QueryReader
from collotype.runtime.errors import UserError
from collotype.search.encoders.bert import EPSILON
from collotype.search.encoders.minilm import read_embeddings, read_layer
from collotype.search.encoders.tower import Tower, linear
from collotype.search.pages import EncodedPage, EncodedQuery, Page

if TYPE_CHECKING:
    from PIL import Image

KNOWN = {
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "layer_norm_eps",
    "type_vocab_size",
    "vocab_size",
    "pad_token_id",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
}
"""What may be said of the tower; all else of BERT is as published."""


class StudentEncoder:
    """
    Args:
        folder: of the student; about: its `collotype.json`.
        dim: cut vectors to so many numbers; none: whole.
        load: the whole retriever, a `RetrieverEncoder`.

    Raises:
        UserError: its files are damaged, or its vectors have not so many numbers.
    """

    looks_at: Literal["picture"] = "picture"

    def __init__(self, folder: Path, about: dict[str, Any], dim: int | None, load: Callable[[], Any]):
        shape = about["backbone_config"]["text_config"]
        self.name, self.load, self.pooling = str(folder), load, about["pooling"]
        self.interaction: Literal["late", "single"] = about["interaction"]
        width, taught = about["dim"] or shape["hidden_size"], about["pages"]
        require_dim(dim, width, self.name)
        self.dim = dim or width
        self.identity = identity(taught["sha256"], dim, width)
        try:
            weights = Mapped(folder / "model.safetensors")
            layers = [read_layer(weights, f"backbone.encoder.layer.{n}") for n in range(shape["num_hidden_layers"])]
            embeddings = read_embeddings(weights, "backbone.embeddings")
            names = [f"custom_text_proj.{kind}" for kind in ("weight", "bias")] if about["dim"] else []
            self.projection = dict(zip(("own.weight", "own.bias"), map(weights.get_tensor, names), strict=False))
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the tokenizers library raises bare Exception
            raise UserError(f"The student in {folder} is damaged ({error!r}); copy the folder again.") from error
        self.tower = Tower(embeddings, layers, shape["num_attention_heads"], shape.get("layer_norm_eps", EPSILON))
        self.reader = QueryReader(
            tokenizer, Preset(**about["preset"]), ROWS[taught["backbone"]].image_token, about["max_query_tokens"]
        )

    @cached_property
    def whole(self) -> Any:
        return self.load()

    @property
    def model(self) -> Any:
        return self.whole.model

    def require_trained(self, pool_factor: int | None) -> None:
        """As of `RetrieverEncoder`."""
        self.whole.require_trained(pool_factor)

    def encode_pages(self, pages: Sequence[Page]) -> list[EncodedPage]:
        encoded: list[EncodedPage] = self.whole.encode_pages(pages)
        return encoded

    def encode_images(self, images: "Sequence[Image.Image]") -> list[EncodedQuery]:
        encoded: list[EncodedQuery] = self.whole.encode_images(images)
        return encoded

    def encode_queries(self, queries: Sequence[str]) -> list[EncodedQuery]:
        rows = [self.reader.query_ids(query)[0] for query in queries]
        return [
            by_word(self.reader, self.interaction, query, self.vectors(states))
            for query, states in zip(queries, self.tower.states(rows), strict=True)
        ]

    def vectors(self, states: np.ndarray) -> np.ndarray:
        """Of a query's last hidden states [T, H], float32 [T or 1, dim] of unit length.

        Raises:
            UserError: they are not finite.
        """
        if self.interaction == "single":
            states = states[-1:] if self.pooling == "last" else states.mean(axis=0, keepdims=True)
        found = unit(linear(self.projection, "own", states) if self.projection else states)
        if not np.isfinite(found).all():
            raise UserError(f"The student {self.name} has weights that are not finite; train it again.")
        return found if self.dim == found.shape[1] else unit(found[:, : self.dim])


class Mapped:
    """The float32 tensors of a safetensors file, each mapped: of a table only the rows that are asked for are read."""

    def __init__(self, path: Path):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            self.path, self.start, self.tensors = path, 8 + length, json.loads(file.read(length))

    def get_tensor(self, name: str) -> np.ndarray:
        """
        Raises:
            KeyError: it has none of that name; ValueError: it is of another type.
        """
        entry = self.tensors[name]
        if entry["dtype"] != "F32":
            raise ValueError(f"{name} is {entry['dtype']}")
        offset = self.start + entry["data_offsets"][0]
        return np.memmap(self.path, np.float32, "r", offset, tuple(entry["shape"]))


def description(model: str) -> dict[str, Any] | None:
    """`collotype.json` of a student that can be computed here; none of anything else."""
    try:
        about = json.loads((Path(model) / "collotype.json").read_text())
        is_one = about["backbone"] == "text" and about["pages"]["backbone"] in ROWS and not about["lora"]
        is_one = is_one and about["backbone_config"]["text_config"].keys() <= KNOWN
        header = Mapped(Path(model) / "model.safetensors").tensors
        is_one = is_one and all(one["dtype"] == "F32" for name, one in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return about if is_one else None


def identity(whole: str, dim: int | None, width: int) -> str:
    """Of vectors that are cut, or are not."""
    return hashlib.sha256(f"{whole} {dim}".encode()).hexdigest() if dim and dim < width else whole


def by_word(reader: QueryReader, interaction: str, query: str, vectors: np.ndarray) -> EncodedQuery:
    """Which word of the query each vector is of: a word is one or more tokens."""
    word_of = [-1] * len(vectors)
    if interaction == "late":
        for place, number in reader.word_of(query).items():
            word_of[place] = number
    return EncodedQuery(vectors, tuple(query.split()), tuple(word_of))


def unit(vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found
