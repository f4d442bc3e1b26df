"""CLIP's implementation of the commands."""

from pathlib import Path
from typing import Any

from collotype.evaluation.results import Measured
from collotype.families.clip.benchmarks import SUITES, find_suite
from collotype.families.clip.checkpoints.locations import OPEN_CLIP
from collotype.families.clip.checkpoints.reading import LAYOUTS, read
from collotype.families.clip.checkpoints.reading import export as write_layout
from collotype.families.clip.config import SIZES, Activation
from collotype.families.clip.evaluate import evaluate as evaluate_model
from collotype.families.clip.model import Clip
from collotype.families.clip.recipe import ClipEvaluate
from collotype.families.clip.task import ClipTask
from collotype.families.shared.spec import FamilySpec
from collotype.report.card import card, find_record
from collotype.runtime.device import choose_dtype, pick_device
from collotype.runtime.weights import Weights
from collotype.runtime.world import World


def can_load(source: str) -> bool:
    """Is this a CLIP in a layout of other libraries: a folder of open_clip's, or a file of weights?"""
    return (Path(source) / OPEN_CLIP).is_file() or Path(source).is_file()


def load(source: str | Path, activation: Activation | None = None, dtype: str | None = None) -> Clip:
    """The CLIP in a folder, a checkpoint's file, or a repository of the hub.

    Args:
        activation: gelu or quick_gelu, where the file does not say.
        dtype: as of `collotype.load`.
    """
    found = read(source, activation)
    return found.model(choose_dtype(dtype, Weights.of(found.tensors).dtype, pick_device(World.from_environment())))


def export(source: str | Path, layout: str, out: Path, **options: Any) -> list[str]:
    model, record = load(source, **options), find_record(Path(source))
    config = model.config
    lines = {
        "pictures": f"{config.vision_cfg.image_size} pixels, {config.preprocess_cfg.interpolation}",
        "captions": f"at most {config.text_cfg.context_length} tokens",
        "activation": config.activation,
        "embedding": f"{config.embed_dim} numbers",
    }
    metadata = {"library_name": "open_clip", "pipeline_tag": "zero-shot-image-classification"}
    text = card(Path(source), metadata, "A CLIP dual encoder, exported from collotype.", lines, record)
    write_layout(model, layout, out, text)
    return []


def evaluate(
    model: str,
    choice: ClipEvaluate,
    world: World,
    cache: Path | None = None,
    batch_tokens: int | None = None,
    out: Path | None = None,
    **options: Any,
) -> list[Measured]:
    """Nothing of a CLIP's is kept (`cache`, `out`), and its batches are of fixed size (`batch_tokens`)."""
    benchmarks = find_suite(choice)
    return evaluate_model(load(model, **options).to(pick_device(world)), benchmarks, world=world)


SPEC = FamilySpec(
    task=ClipTask,
    load=load,
    export=export,
    evaluate=evaluate,
    can_load=can_load,
    signs=(OPEN_CLIP,),
    default_suite="pictures",
    models=SIZES,
    suites=SUITES,
    layouts=LAYOUTS,
)
