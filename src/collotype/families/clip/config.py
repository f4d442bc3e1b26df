"""The configuration of a CLIP: open_clip's JSON fields, typed and checked, and the named sizes."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from collotype.runtime.errors import UserError
from collotype.runtime.validation import make, positive

Activation = Literal["gelu", "quick_gelu"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the pixels CLIP was first trained on, red, green and blue, scaled to 0..1; open_clip's default for all models."""
LOGIT_SCALE = math.log(1 / 0.07)
SIGLIP_LOGIT_SCALE, SIGLIP_LOGIT_BIAS = math.log(10), -10.0
"""Where a sigmoid loss starts (arXiv 2303.15343)."""


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """A ResNet where `layers` is four numbers, else a ViT. Fields and defaults of open_clip's `vision_cfg`."""

    layers: int | tuple[int, int, int, int] = 12
    width: int = 768
    head_width: int = 64
    mlp_ratio: float = 4.0
    patch_size: int | None = 16
    """Of a ViT, in pixels; a ResNet has none."""
    image_size: int = 224
    """Side of the square image, in pixels."""

    def __post_init__(self) -> None:
        if isinstance(self.layers, list | tuple):
            object.__setattr__(self, "layers", tuple(self.layers))
            object.__setattr__(self, "patch_size", None)
        if isinstance(self.image_size, list | tuple) and len(set(self.image_size)) == 1:
            object.__setattr__(self, "image_size", self.image_size[0])
        numbers = {"width": self.width, "head_width": self.head_width, "image_size": self.image_size}
        positive("vision_cfg", numbers)
        positive("vision_cfg", {"mlp_ratio": self.mlp_ratio}, float)
        if self.is_resnet:
            self._check_resnet()
        else:
            self._check_vit()

    def _check_resnet(self) -> None:
        if len(self.stages) != 4:
            raise UserError(f"vision_cfg.layers is {list(self.stages)}; a ResNet has four stages.")
        positive("vision_cfg.layers", dict(enumerate(self.stages)))
        if self.image_size % 2 or self.image_size < 32:
            raise UserError(
                f"vision_cfg.image_size is {self.image_size}; for a ResNet it must be even and at least 32."
            )
        if self.width % 2 or self.heads == 0 or self.width * 32 % self.heads:
            raise UserError(
                f"vision_cfg.width is {self.width}; it must be even, and 32 times the width must be a multiple of the "
                f"head width {self.head_width}."
            )

    def _check_vit(self) -> None:
        positive("vision_cfg", {"layers": self.layers, "patch_size": self.patch_size})
        if self.image_size % self.patch or self.width % self.head_width:
            raise UserError(
                f"vision_cfg: image_size {self.image_size} must be a multiple of patch_size {self.patch_size}, and "
                f"width {self.width} of head_width {self.head_width}."
            )

    @property
    def positions(self) -> int:
        """Tokens of an image: one for the whole, and one for each place or patch."""
        return (self.image_size // self.patch) ** 2 + 1

    @property
    def patch(self) -> int:
        """Side of what one place looks at, in pixels."""
        return self.patch_size or 32

    @property
    def stages(self) -> tuple[int, ...]:
        """The blocks of a ResNet's stages; a ViT is one stage."""
        return self.layers if isinstance(self.layers, tuple) else (self.layers,)

    @property
    def is_resnet(self) -> bool:
        return isinstance(self.layers, tuple)

    @property
    def heads(self) -> int:
        return (self.width * 32 if self.is_resnet else self.width) // self.head_width


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Fields and defaults of open_clip's `text_cfg`."""

    context_length: int = 77
    """The most tokens of a caption, its start and its end included."""
    vocab_size: int = 49_408
    width: int = 512
    heads: int = 8
    layers: int = 12
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        values = asdict(self)
        positive("text_cfg", {"mlp_ratio": values.pop("mlp_ratio")}, float)
        positive("text_cfg", values)
        if self.width % self.heads or self.context_length < 3:
            raise UserError(
                f"text_cfg: width {self.width} must be a multiple of heads {self.heads}, and context_length "
                f"{self.context_length} at least 3."
            )


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig:
    """How an image becomes pixels; open_clip's `preprocess_cfg`."""

    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize_mode: Literal["shortest", "longest", "squash"] = "shortest"

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = getattr(self, name)
            if isinstance(values, float | int) or len(values) != 3:
                raise UserError(f"preprocess_cfg.{name} is {values!r}; it must be three numbers.")
            object.__setattr__(self, name, tuple(float(value) for value in values))
        positive("preprocess_cfg.std", dict(enumerate(self.std)), float)
        for name, known in (("interpolation", ("bicubic", "bilinear")), ("resize_mode", RESIZE_MODES)):
            if getattr(self, name) not in known:
                raise UserError(
                    f"preprocess_cfg.{name} is {getattr(self, name)!r}; the known values are {', '.join(known)}."
                )


RESIZE_MODES = ("shortest", "longest", "squash")


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Everything but weights and tokenizer."""

    embed_dim: int
    vision_cfg: VisionConfig
    text_cfg: TextConfig
    activation: Activation
    """Of the transformers' MLPs (a ResNet has none): `quick_gelu` is x · sigmoid(1.702 x). Weights do not tell which
    they were trained with, and the wrong one costs accuracy without any message, so there is no default."""
    preprocess_cfg: PreprocessConfig = field(default_factory=PreprocessConfig)
    init_logit_scale: float = LOGIT_SCALE
    init_logit_bias: float | None = None
    """None: the model has no `logit_bias`."""

    def __post_init__(self) -> None:
        positive("clip", {"embed_dim": self.embed_dim})
        if self.activation not in ACTIVATIONS:
            raise UserError(f"activation is {self.activation!r}; the known ones are {', '.join(ACTIVATIONS)}.")

    def to_dict(self) -> dict[str, Any]:
        return {"family": "clip", **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ClipConfig":
        """The inverse of `to_dict`.

        Raises:
            UserError: a field is missing, unknown or out of its range.
        """
        given = {name: value for name, value in values.items() if name != "family"}
        for name, kind in PARTS.items():
            if name in given:
                given[name] = make(kind, given[name], name)
        config: ClipConfig = make(cls, given, "clip")
        return config


PARTS = {"vision_cfg": VisionConfig, "text_cfg": TextConfig, "preprocess_cfg": PreprocessConfig}


Sized = dict[str, Any]


def resnet(embed_dim: int, image_size: int, layers: tuple[int, ...], width: int, text: Mapping[str, int]) -> Sized:
    vision = {"image_size": image_size, "layers": layers, "width": width}
    return {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text}


def vit(embed_dim: int, image_size: int, layers: int, width: int, patch_size: int, text: Mapping[str, int]) -> Sized:
    vision = {"image_size": image_size, "layers": layers, "width": width, "patch_size": patch_size}
    return {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text}


def text(width: int, heads: int, layers: int = 12, context_length: int = 77) -> dict[str, int]:
    return {"context_length": context_length, "width": width, "heads": heads, "layers": layers}


SIZES: dict[str, Sized] = {
    "RN50": resnet(1024, 224, (3, 4, 6, 3), 64, text(512, 8)),
    "RN101": resnet(512, 224, (3, 4, 23, 3), 64, text(512, 8)),
    "RN50x4": resnet(640, 288, (4, 6, 10, 6), 80, text(640, 10)),
    "RN50x16": resnet(768, 384, (6, 8, 18, 8), 96, text(768, 12)),
    "RN50x64": resnet(1024, 448, (3, 15, 36, 10), 128, text(1024, 16)),
    "ViT-B-32": vit(512, 224, 12, 768, 32, text(512, 8)),
    "ViT-B-16": vit(512, 224, 12, 768, 16, text(512, 8)),
    "ViT-L-14": vit(768, 224, 24, 1024, 14, text(768, 12)),
    "desk-rn": resnet(64, 64, (1, 1, 1, 1), 20, text(64, 4, 2, 24)),
    "tiny-rn": resnet(32, 32, (1, 2, 1, 1), 4, text(32, 2, 2, 16)),
    "tiny-vit": vit(32, 32, 2, 64, 8, text(32, 2, 2, 16)),
}
"""Fields of `ClipConfig` by name: those of the published architectures, one for a desk (2.2 M parameters with a
vocabulary of 1,000 words), two for tests."""


def sized(
    name: str, activation: Activation | None = "gelu", vocab_size: int = TextConfig.vocab_size, siglip: bool = False
) -> ClipConfig:
    """The configuration of that name.

    Args:
        siglip: for a sigmoid loss: with a `logit_bias`, and the scale where that loss starts.

    Raises:
        UserError: no such size.
    """
    if name not in SIZES:
        raise UserError(f"Unknown CLIP size {name!r}; the known sizes are {', '.join(SIZES)}.")
    values = SIZES[name]
    values = {**values, "text_cfg": {**values["text_cfg"], "vocab_size": vocab_size}, "activation": activation}
    if siglip:
        values |= {"init_logit_scale": SIGLIP_LOGIT_SCALE, "init_logit_bias": SIGLIP_LOGIT_BIAS}
    return ClipConfig.from_dict(values)
