"""The configuration of a BEiT-3 for visual question answering, typed and checked, and the named sizes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from collotype.runtime.errors import UserError
from collotype.runtime.validation import make, positive

MEAN = STD = (0.5, 0.5, 0.5)
"""Of the pixels, red, green and blue, scaled to 0..1."""
VQAV2_ANSWERS = 3129
PUBLISHED_VOCABULARY = 64_010
"""Rows of the published embedding of words; those of `beit3.spm` and its frame are 64,002, the last 8 are not used."""


@dataclass(frozen=True, kw_only=True)
class Beit3Config:
    """Everything but weights, tokenizer and the answers' names."""

    hidden_size: int
    layers: int
    heads: int
    mlp_ratio: float = 4.0
    image_size: int = 480
    """Side of the square image, in pixels; published for questions are 384, 480 and 768, before those 224."""
    patch_size: int = 16
    vocab_size: int = PUBLISHED_VOCABULARY
    text_positions: int = 1024
    """Rows of the table of places of words; the first two stand for no place."""
    max_text_tokens: int = 64
    """The most tokens of a question, its start and end included."""
    num_answers: int = VQAV2_ANSWERS
    drop_path: float = 0.0
    """How often, in training, an example goes around the last block; around those before it proportionally less."""

    def __post_init__(self) -> None:
        values = asdict(self)
        drop_path = values.pop("drop_path")
        positive("beit3", {"mlp_ratio": values.pop("mlp_ratio")}, float)
        positive("beit3", values)
        if isinstance(drop_path, bool) or not isinstance(drop_path, int | float) or not 0 <= drop_path < 1:
            raise UserError(f"beit3.drop_path is {drop_path!r}; it must be a number from 0 to below 1.")
        if self.hidden_size % self.heads or self.image_size % self.patch_size:
            raise UserError(
                f"beit3: hidden_size {self.hidden_size} must be a multiple of heads {self.heads}, and image_size "
                f"{self.image_size} of patch_size {self.patch_size}."
            )
        if not 3 <= self.max_text_tokens <= self.text_positions - 2:
            raise UserError(
                f"beit3.max_text_tokens is {self.max_text_tokens}; it must be 3 to {self.text_positions - 2}, two less "
                "than text_positions."
            )

    @property
    def side(self) -> int:
        """Patches along a side of the image."""
        return self.image_size // self.patch_size

    @property
    def label(self) -> str:
        """The size's name, or `custom`."""
        shape = (*shape_of(asdict(self)), self.heads)
        return next((name for name, size in SIZES.items() if (*shape_of(size), size["heads"]) == shape), "custom")

    def to_dict(self) -> dict[str, Any]:
        return {"family": "beit3", **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Beit3Config":
        """The inverse of `to_dict`.

        Raises:
            UserError: a field is missing, unknown or out of its range.
        """
        config: Beit3Config = make(cls, {name: value for name, value in values.items() if name != "family"}, "beit3")
        return config


def shape_of(values: Mapping[str, Any]) -> tuple[int, int]:
    """(hidden size, layers): what tensors tell of a size."""
    return values["hidden_size"], values["layers"]


SIZES: dict[str, dict[str, Any]] = {
    "base": {"hidden_size": 768, "layers": 12, "heads": 12},
    "large": {"hidden_size": 1024, "layers": 24, "heads": 16},
    "desk": {
        "hidden_size": 128,
        "layers": 4,
        "heads": 4,
        "image_size": 64,
        "patch_size": 16,
        "vocab_size": 64,
        "text_positions": 34,
        "max_text_tokens": 32,
        "num_answers": 13,
    },
    "tiny": {
        "hidden_size": 32,
        "layers": 3,
        "heads": 4,
        "image_size": 32,
        "patch_size": 8,
        "vocab_size": 64,
        "text_positions": 18,
        "max_text_tokens": 16,
        "num_answers": 7,
    },
}
"""Fields of `Beit3Config` by name: the two published, one for a desk (1.8 M parameters), one for tests. A vocabulary of
words and a list of answers change `vocab_size` and `num_answers`."""


def sized(name: str, **changes: Any) -> Beit3Config:
    """The configuration of that name, with other values of some fields.

    Raises:
        UserError: no such size or field, or a value out of its range.
    """
    if name not in SIZES:
        raise UserError(f"Unknown BEiT-3 size {name!r}; the known sizes are {', '.join(SIZES)}.")
    return Beit3Config.from_dict({**SIZES[name], **changes})
