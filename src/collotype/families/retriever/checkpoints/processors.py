"""transformers' tokenizers and image processors that do the same as ours, and what their files say."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from collotype.families.retriever.model import Retriever
from collotype.families.retriever.transforms import Split
from collotype.runtime.errors import UserError
from collotype.runtime.model_folder import read_json

ALIKE = (("height", "image_size"), ("patch_size", "patch_size"), ("merge_size", "spatial_merge_size"))
"""What an image processor's file and a vision tower's configuration call the same."""


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


def settings_of(folder: Path) -> dict[str, dict[str, Any]]:
    """What each file says of the image processor; transformers takes the first."""
    found = {}
    for name, member in (("processor_config.json", "image_processor"), ("preprocessor_config.json", None)):
        values = read_json(folder / name) if (folder / name).is_file() else {}
        if values := (values.get(member) or {}) if member else values:
            found[name] = values
    return found


def budget_of(values: Mapping[str, Any]) -> int | None:
    """The visual tokens that a page may have."""
    most = values.get("max_pixels") or (values.get("size") or {}).get("longest_edge")
    if most and "merge_size" in values and "patch_size" in values:
        return int(most // (values["patch_size"] * values["merge_size"]) ** 2)
    return None


def differences(
    folder: Path, backbone_config: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None
) -> tuple[dict[str, Any], ...]:
    """Events where the files of a folder do not say the same budget, or the same type of the weights.

    Args:
        tensors: the weights beside config.json; none: it has none.

    Raises:
        UserError: the image processor makes images of another size, or patches, than the model was made for.
    """
    said, vision = settings_of(folder), backbone_config.get("vision_config") or {}
    for name, values in [*said.items()][:1]:
        size = values.get("size")
        sides = {**values, "height": size.get("height") if isinstance(size, Mapping) else size}
        for key, wanted in ALIKE:
            if None not in (sides.get(key), vision.get(wanted)) and sides[key] != vision[wanted]:
                raise UserError(
                    f"{folder / name} has the {key} {sides[key]}, but config.json has the {wanted} {vision[wanted]}; "
                    "one of the files belongs to another model: copy both from where it was trained."
                )
    found = {name: budget for name, values in said.items() if (budget := budget_of(values))}
    events = types_differ(folder, tensors or {})
    if len(set(found.values())) > 1:
        budgets = " and ".join(f"{tokens} by {name}" for name, tokens in found.items())
        note = f"{folder}: the visual tokens per page are {budgets}; the first is used, as in transformers"
        events = (*events, {"kind": "files differ", "count": len(found), "note": note})
    return events


def types_differ(folder: Path, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], ...]:
    """config.json may say a type that no weight has: transformers computes in it, unless another is asked for."""
    values = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    said = str(values.get("dtype") or values.get("torch_dtype") or "").removeprefix("torch.")
    held = sorted({str(one.dtype).removeprefix("torch.") for one in tensors.values() if one.is_floating_point()})
    if not said or not held or said in held:
        return ()
    note = f"{folder}: the weights are {' and '.join(held)}, but config.json says {said}; theirs is used"
    return ({"kind": "files differ", "count": 1, "note": note},)


def visual_budget(folder: Path) -> int | None:
    """The visual tokens a page may have by the image processor's files; none where they do not say."""
    return next((budget for values in settings_of(folder).values() if (budget := budget_of(values))), None)
