"""Encoders for search."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from collotype.runtime import hub
from collotype.runtime.errors import UserError
from collotype.search.pages import Encoder

READER = "reader"
READERS = {READER: None, "reader-english": 4, "reader-multilingual": 5}
"""By name, the version of each (`text.VERSIONS`); None: the best that is installed."""


def open_encoder(
    model: str = READER,
    preset: str | None = None,
    base: str | None = None,
    dtype: str | None = None,
    commits: Mapping[str, str] | None = None,
    version: int | None = None,
    dim: int | None = None,
) -> Encoder:
    """The encoder of that name: one of READERS, a model of the retriever family in a folder or on the hub, or one that
    vLLM serves, by its address.

    Args:
        preset, base, dtype: as of `collotype.load`, where the model's folder does not say.
        commits: what names of the hub mean, where that was decided before.
        version: of the reader; None: as its name says.
        dim: cut a retriever's vectors to so many numbers; none: whole.

    Raises:
        UserError: there is none, or what it needs is not installed.
    """
    if model in READERS:
        if preset or base or dtype or dim:
            raise UserError(f"The {READER} does not support preset, base, dtype or dim; leave them out.")
        from collotype.search.encoders.text import TextEncoder

        return TextEncoder(version or READERS[model])
    from collotype.search.encoders.vllm import VllmEncoder, is_vllm

    if is_vllm(model):
        if preset or base or dim:
            raise UserError(f"{model} is served with its own preset, base and dim; leave those options out.")
        return VllmEncoder(model)
    from collotype.search.encoders.student import StudentEncoder, description

    def load() -> Encoder:
        from collotype.search.encoders.retriever import RetrieverEncoder

        with hub.commits(commits):
            return RetrieverEncoder.load(model, preset, base, dtype, dim)

    if preset is None and dtype in (None, "auto", "fp32") and (about := description(model)):
        return StudentEncoder(Path(model), about, dim, load)
    return load()


def has_dtype(model: str) -> bool:
    """Whether its weights are loaded here, in a type of choice: not the reader's, and not those that vLLM serves."""
    from collotype.search.encoders.vllm import is_vllm

    return model not in READERS and not is_vllm(model)


def require_dtype(models: Sequence[str]) -> None:
    """
    Raises:
        UserError: none of them has one.
    """
    if not any(map(has_dtype, models)):
        raise UserError(
            f"--dtype sets the precision of a retriever's weights, but {' and '.join(models)} has none; leave it out."
        )


def as_made(model: Mapping[str, Any]) -> dict[str, Any]:
    """What `open_encoder` is to be called with, of an index that says this of its model: the reader's first version had
    no number."""
    return {**model, **({"version": model.get("version", 1)} if model.get("model") == READER else {})}


def to_keep(model: Mapping[str, Any], encoder: Encoder) -> dict[str, Any]:
    """What a new index says of its model."""
    version = getattr(encoder, "version", None)
    return {**model, **({"version": version} if version else {})}
