"""A retriever's configuration: everything but weights and tokenizer, as `collotype.json` holds it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from collotype.families.retriever.preset import Preset
from collotype.runtime.errors import UserError

BYTES_PER_WEIGHT = 6
"""Of a sparse page's weight in inverted lists: the page's number in four bytes, the weight in fp16."""


@dataclass(frozen=True, kw_only=True)
class Lora:
    """How a model is adapted; `targets` are canonical names of linear layers."""

    rank: int
    alpha: float
    targets: tuple[str, ...]
    dropout: float = 0.0
    rank_stabilised: bool = False
    """Scale by alpha / sqrt(rank) (arXiv 2312.03732) instead of alpha / rank."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Lora":
        return cls(**{**values, "targets": tuple(values["targets"])})


@dataclass(frozen=True, kw_only=True)
class Compact:
    """What a model was trained for; nothing: its whole vectors, all of a page's."""

    dims: tuple[int, ...] = ()
    pool_factors: tuple[int, ...] = ()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Compact":
        return cls(**{name: tuple(value) for name, value in values.items()})


@dataclass(frozen=True, kw_only=True)
class PageModel:
    """What encodes the pages of a student that reads queries only: its teacher, and how that looks at a page."""

    source: str
    """A folder, or a repository at a commit."""
    base: str | None
    preset: str | None
    """Both as of `collotype.load`."""
    sha256: str
    """`Retriever.digest` of it."""
    backbone: str
    backbone_config: dict[str, Any]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PageModel":
        return cls(**values)


@dataclass(frozen=True)
class RetrieverConfig:
    """Everything but weights and tokenizer; `backbone_config` is the transformers configuration as a dict."""

    backbone: str
    backbone_config: dict[str, Any]
    interaction: Literal["late", "single", "sparse"]
    dim: int | None
    preset: Preset
    pooling: Literal["mean", "last"] = "mean"
    """Of a single vector: over all tokens, or the last one."""
    max_query_tokens: int = 512
    """Tokens of a query's own text."""
    lora: Lora | None = None
    compact: Compact | None = None
    """What its vectors can be cut and pooled to."""
    pages: PageModel | None = None
    """Of a student that reads queries only."""

    @property
    def seeing(self) -> "RetrieverConfig | PageModel":
        """Of what looks at pages: `backbone` and `backbone_config`."""
        return self.pages or self

    def to_dict(self) -> dict[str, Any]:
        return {"family": "retriever", **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RetrieverConfig":
        fields = {name: value for name, value in values.items() if name != "family"}
        kinds: dict[str, Any] = {"lora": Lora, "compact": Compact, "pages": PageModel}
        for name, kind in kinds.items():
            fields[name] = kind.from_dict(values[name]) if values.get(name) else None
        return cls(**{**fields, "preset": Preset(**values["preset"])})


def require_dim(dim: int | None, width: int, source: str) -> None:
    """
    Raises:
        UserError: vectors of that width have no such number of first dimensions.
    """
    if dim is not None and not 1 <= dim <= width:
        raise UserError(f"dim is {dim}, but the vectors of {source} have {width} numbers; give 1 to {width}.")
