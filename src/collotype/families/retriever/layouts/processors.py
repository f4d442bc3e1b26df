"""transformers' tokenizers and image processors that do what ours do, and what their files tell."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from collotype.families.retriever.backbones.row import Backbone
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.pixels import Split
from collotype.runtime.model_folder import read_json


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers from drawing bars and from asking for torchvision, which what we write does not need."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def image_processor(model: Retriever) -> Any:
    """The transformers image processor that makes the same pixels as the model's layout."""
    import transformers

    name, settings = model.layout.image_processor()
    return getattr(transformers, name)(**settings)


def tile_length(model: Retriever) -> dict[str, int]:
    """What a processor of tiles has to be told beside its image processor."""
    return {"image_seq_len": model.layout.tile_tokens**2} if isinstance(model.layout, Split) else {}


def describe_tokenizer(model: Retriever) -> Any:
    """The model's tokenizer as transformers wraps it."""
    from transformers import PreTrainedTokenizerFast

    preset, processor = model.config.preset, model.processor
    return PreTrainedTokenizerFast(
        tokenizer_object=processor.tokenizer,
        pad_token=model.row.pad_token,
        padding_side=preset.padding_side,
        # a token that is not there would be added, to the model's own vocabulary
        **({"bos_token": preset.query_bos} if processor.tokenizer.token_to_id(preset.query_bos) is not None else {}),
    )


def visual_budget(folder: Path, row: Backbone) -> int | None:
    """The visual tokens a page may have by the image processor's file; none where it does not say."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if not (folder / name).is_file():
            continue
        values = read_json(folder / name)
        values = values.get("image_processor", values)
        most = values.get("max_pixels") or (values.get("size") or {}).get("longest_edge")
        if most and "merge_size" in values and "patch_size" in values:
            return most // (values["patch_size"] * values["merge_size"]) ** 2
    return None
