"""The meaning of colpali-engine's names: classes, generations, losses, and data loaders."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collotype.importers.configue import CALL
from collotype.importers.training_arguments import REASONS

PACKAGES = ("colpali_engine", "transformers", "peft", "torch", "datasets")
"""Whose functions and classes a config may name."""
TRAIN_SET_EXAMPLES = 118_695
"""Of vidore/colpali_train_set."""
Version = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ModelClass:
    backbone: str
    dim: int | None = 128
    interaction: str = "late"
    pooling: str = "mean"


def single(backbone: str, pooling: str = "last", dim: int | None = None) -> ModelClass:
    return ModelClass(backbone=backbone, interaction="single", pooling=pooling, dim=dim)


CLASSES: dict[str, ModelClass] = {
    "ColPali": ModelClass(backbone="paligemma"),
    "BiPali": single("paligemma", "mean"),
    "BiPaliMean": single("paligemma", "mean"),
    "BiPaliLast": single("paligemma"),
    "BiPaliProj": single("paligemma", "mean", 1024),
    "ColQwen2": ModelClass(backbone="qwen2-vl"),
    "BiQwen2": single("qwen2-vl"),
    "ColQwen2_5": ModelClass(backbone="qwen2.5-vl"),
    "BiQwen2_5": single("qwen2.5-vl"),
    "ColQwen3": ModelClass(backbone="qwen3-vl", dim=320),
    "BiQwen3": single("qwen3-vl"),
    "ColIdefics3": ModelClass(backbone="idefics3"),
    "BiIdefics3": single("idefics3"),
    "ColGemma3": ModelClass(backbone="gemma3"),
    "BiGemma3": single("gemma3"),
}

GENERATIONS: dict[str, list[tuple[Version, str]]] = {
    "paligemma": [
        ((0,), "colpali-paper"),
        ((0, 2), "colpali-engine-0.2"),
        ((0, 3, 4), "colpali-engine-0.3.4"),
        ((0, 3, 11), "colpali-engine-0.3.11"),
        ((0, 3, 13), "colpali-engine-0.3.13"),
    ],
    "qwen": [
        ((0,), "colqwen2-engine-0.2"),
        ((0, 3, 4), "colqwen2-engine-0.3.4"),
        ((0, 3, 13), "colqwen2-engine-0.3.13"),
    ],
    "biqwen": [
        ((0,), "biqwen2-engine-0.3.4"),
        ((0, 3, 11), "colqwen2-engine-0.3.4"),
        ((0, 3, 13), "colqwen2-engine-0.3.13"),
    ],
    "idefics3": [
        ((0,), "colidefics3-engine-0.3.5"),
        ((0, 3, 9), "colidefics3-engine-0.3.9"),
        ((0, 3, 11), "colidefics3-engine-0.3.11"),
        ((0, 3, 13), "colidefics3-engine-0.3.13"),
    ],
    "gemma3": [((0,), "colgemma3-engine-0.3.14")],
}
"""From which version of the engine on a preset is its own."""
PAPER, OLDER, CURRENT = "paper", "colpali-engine<=0.3.10", "colpali-engine>=0.3.11"
DIALECTS: list[tuple[Version, str]] = [((0,), PAPER), ((0, 3, 9), OLDER), ((0, 3, 11), CURRENT)]
GATHERS: Version = (0, 3, 11)
"""Since when processes show each other their pages."""

IN_BATCH = ("BiEncoderLoss", "BiPairwiseCELoss", "ColbertLoss", "ColbertPairwiseCELoss")
"""Losses of every dialect."""
LATER = (
    "BiPairedEncoderLoss",
    "BiNegativeCELoss",
    "BiPairwiseNegativeCELoss",
    "BiSigmoidLoss",
    "ColbertNegativeCELoss",
    "ColbertPairwiseNegativeCELoss",
    "ColbertSigmoidLoss",
)
"""Losses that only the dialect of today knows."""

PUBLISHED_FILES: dict[str, Any] = {
    "default_tr_args.yaml": {
        CALL: "transformers.training_args.TrainingArguments",
        "num_train_epochs": 1,
        "per_device_train_batch_size": 4,
        "warmup_steps": 500,
        "learning_rate": 5e-5,
        "save_steps": 500,
        "save_total_limit": 1,
    },
}
"""What the files say that published configs import, where only the config is here."""

HUB = {
    "paligemma-3b-mix-448": "google/paligemma-3b-mix-448",
    "paligemma-3b-pt-448": "google/paligemma-3b-pt-448",
    "colpaligemma-3b-mix-448-base": "vidore/colpaligemma-3b-mix-448-base",
    "colpaligemma-3b-pt-448-base": "vidore/colpaligemma-3b-pt-448-base",
    "colqwen2-base": "vidore/colqwen2-base",
    "colqwen2_base": "vidore/colqwen2-base",
    "colqwen2.5-base": "vidore/colqwen2.5-base",
    "Qwen2-VL-2B-Instruct": "Qwen/Qwen2-VL-2B-Instruct",
}
"""The published configs name local copies of repositories of the hub."""

MODEL_REASONS = {
    "use_cache": "a retriever generates nothing",
    "device_map": "the device is found at the start",
    "trust_remote_code": "code of a checkpoint is never run",
}
CONFIG_REASONS = {
    "()": "the class that the settings are of",
    "output_dir": "set the output folder on the command line (--out)",
    "max_length": "the engine keeps it and never reads it; here queries are cut at max_query_tokens, and counted",
    "run_eval": "the engine never reads it; here `evaluate` measures suites",
    "run_train": "`collotype run` trains",
    "add_suffix": "the preset says what follows a query",
    "hard_neg": "the loss and the data say whether there are hard negatives",
}
EVAL_SETS = "a loss on held-out pairs; here `evaluate` measures the benchmark itself"

TRAIN_SET = {"path": "vidore/colpali_train_set"}
IR_SET = {
    "path": "manu/colpali-queries",
    "image_column": "positive_passages",
    "corpus": "manu/colpali-corpus",
}
LOADERS: dict[str, dict[str, str]] = {
    "load_train_set": TRAIN_SET,
    "load_train_set_detailed": TRAIN_SET,
    "load_train_set_with_docmatix": TRAIN_SET,
    "load_train_set_ir": IR_SET,
    "load_train_set_ir_negs": IR_SET,
}
"""Functions of colpali_engine.utils.dataset_transformation, as a source of pairs."""
LOADED = {"path": "path", "split": "split", "name": "subset"}
"""Arguments of datasets.load_dataset."""
COLUMNS = {
    "query_column_name": "query_column",
    "pos_target_column_name": "image_column",
    "neg_target_column_name": "negatives_column",
}
"""Arguments of ColPaliEngineDataset."""
DATA_KEYS = {CALL, "num_negs", "num_negatives", *LOADED, *COLUMNS}

SETTING_REASONS = {
    **CONFIG_REASONS,
    **{f"model.{key}": reason for key, reason in MODEL_REASONS.items()},
    "processor.max_length": CONFIG_REASONS["max_length"],
    "peft_config.task_type": "peft's own classes are not used",
    **dict.fromkeys(
        (
            f"model.quantization_config.{key}"
            for key in (CALL, "bnb_4bit_compute_dtype", "bnb_4bit_use_double_quant", "bnb_4bit_quant_type")
        ),
        "model.quantize has one form, nf4",
    ),
    "loss_func.max_batch_size": "batches have no largest size here",
    **{f"tr_args.{key}": reason for key, reason in REASONS.items()},
}


def latest(generations: list[tuple[Version, str]], version: Version) -> str:
    return [name for since, name in generations if since <= version][-1]


def engine_of(context: str, given: Mapping[str, Any]) -> tuple[Version, str]:
    """The engine's version, from a pinned requirement in the text, else from the generation of the config's keys.

    Returns:
        a version that stands for its generation, and what is known of it.
    """
    if pinned := re.search(r"colpali[-_]engine(?:\[[\w,-]*\])?==(\d{1,4}(?:\.\d{1,4}){0,3})", context):
        return tuple(map(int, pinned[1].split("."))), pinned[1]
    names = " ".join(
        value for key, value in given.items() if key.endswith((CALL, "instanciate")) and isinstance(value, str)
    )
    if re.search(r"utils\.wrapper\.|_architecture\.", names):
        return (0, 1), "<=0.1"
    if "dataset_loading_func" in given:
        return (0, 3), "<=0.3.10"
    return (0, 3, 13), ">=0.3.11"
