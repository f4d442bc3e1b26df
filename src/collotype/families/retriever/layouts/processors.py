"""transformers' tokenizers and image processors that do what ours do, and what their files tell."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from collotype.families.retriever.model import Retriever
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


def describe_tokenizer(model: Retriever) -> Any:
    """The model's tokenizer as transformers wraps it."""
    from transformers import PreTrainedTokenizerFast

    preset, processor = model.config.preset, model.processor
    return PreTrainedTokenizerFast(
        tokenizer_object=processor.tokenizer,
        pad_token=model.row.pad_token,
        padding_side=preset.padding_side,
        **({"bos_token": preset.query_bos} if preset.query_bos else {}),
    )


def budgets(folder: Path) -> dict[str, int]:
    """The visual tokens a page may have, by each file that says it; transformers takes the first."""
    found = {}
    for name, member in (("processor_config.json", "image_processor"), ("preprocessor_config.json", None)):
        values = read_json(folder / name) if (folder / name).is_file() else {}
        values = (values.get(member) or {}) if member else values
        most = values.get("max_pixels") or (values.get("size") or {}).get("longest_edge")
        if most and "merge_size" in values and "patch_size" in values:
            found[name] = most // (values["patch_size"] * values["merge_size"]) ** 2
    return found


def differing_budgets(folder: Path) -> tuple[dict[str, Any], ...]:
    """An event where the files of a folder do not say the same budget."""
    said = budgets(folder)
    if len(set(said.values())) < 2:
        return ()
    told = " and ".join(f"{tokens} by {name}" for name, tokens in said.items())
    note = f"{folder}: the visual tokens of a page are {told}; the first is taken, as transformers does"
    return ({"kind": "files differ", "count": len(said), "note": note},)


def visual_budget(folder: Path) -> int | None:
    """The visual tokens a page may have by the image processor's files; none where they do not say."""
    return next(iter(budgets(folder).values()), None)
