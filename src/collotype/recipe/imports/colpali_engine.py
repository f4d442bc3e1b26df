"""The training configs of colpali-engine: what the names in them mean.

(colpali_engine/trainer/colmodel_training.py and contrastive_trainer.py of 0.3.18, scripts/configs of its repository.)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collotype.recipe.imports.configue import CALL, load_configue
from collotype.recipe.imports.imported import Imported
from collotype.recipe.imports.launch import Launch, account_for_launch, device_named
from collotype.recipe.imports.ledger import Ledger, shown, slug
from collotype.recipe.imports.training_arguments import OTHERWISE, REASONS, flattened, take_training_arguments
from collotype.runtime.errors import UserError

PACKAGES = ("colpali_engine", "transformers", "peft", "torch", "datasets")
"""Whose functions and classes a config may name."""
TRAIN_SET, TRAIN_SET_EXAMPLES = "vidore/colpali_train_set", 118_695
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
    "output_dir": "where files go is said to the command (--out)",
    "max_length": "the engine keeps it and never reads it; here queries are cut at max_query_tokens, and counted",
    "run_eval": "the engine never reads it; here `evaluate` measures suites",
    "run_train": "`collotype run` trains",
    "add_suffix": "the preset says what follows a query",
    "hard_neg": "the loss and the data say whether there are hard negatives",
}
EVAL_SETS = "a loss on held-out pairs; here `evaluate` measures the benchmark itself"


def import_config(
    path: Path,
    text: str | None = None,
    launch: Launch | None = None,
    context: str = "",
    processes: int | None = None,
    examples: int | None = None,
) -> Imported:
    """The recipe of a config file.

    Args:
        text: the file's, where there is no file.
        launch: how it is started, if that is known.
        context: everything else that the user gave: where a GPU or a version of the engine may be named.
        processes: on how many it runs, where the command does not say; examples: of the training data.

    Raises:
        UserError: it is not of colpali-engine, names what is unknown, or holds an impossible value.
    """
    variables = launch.flags if launch else {}
    data = load_configue(path, PACKAGES, variables, text)
    config = data.get("config") if isinstance(data, dict) else None
    if not isinstance(config, dict) or not str(config.get(CALL)).endswith(".ColModelTrainingConfig"):
        raise UserError(
            f"{path} is no training config of colpali-engine: under `config` it has no `(): colpali_engine.trainer."
            "colmodel_training.ColModelTrainingConfig`; give one that has."
        )
    given = dict(flattened(config)) | (launch.flags if launch else {})
    ledger = Ledger("colpali-engine", given)
    Config(ledger, launch, context, processes, examples).take()
    ledger.recipe("name", slug(path.stem if text is None else ledger.settings["weights"].rpartition("/")[2]))
    account_for_launch(ledger, launch)
    ledger.leave_rest(REASONS_BY_NAME, OTHERWISE)
    return ledger.close(launch.launcher if launch else "python", ledger_processes(launch, processes))


REASONS_BY_NAME = {
    **CONFIG_REASONS,
    **{f"model.{key}": reason for key, reason in MODEL_REASONS.items()},
    "processor.max_length": CONFIG_REASONS["max_length"],
    "peft_config.bias": "biases are not trained, as in every published config",
    "peft_config.task_type": "peft's own classes are not used",
    "loss_func.max_batch_size": "batches have no largest size here",
    **{f"tr_args.{key}": reason for key, reason in REASONS.items()},
}


def ledger_processes(launch: Launch | None, processes: int | None) -> int:
    return (launch.processes if launch else None) or processes or 1


class Config:
    """A config's settings on their way into the ledger."""

    def __init__(
        self, ledger: Ledger, launch: Launch | None, context: str, processes: int | None, examples: int | None
    ):
        self.ledger, self.launch, self.context, self.examples = ledger, launch, context, examples
        self.processes = ledger_processes(launch, processes)
        self.data_parallel = self.processes == 1 and (launch is None or launch.launcher == "python")
        shared = (launch.devices if launch else None) or 1 if self.data_parallel else self.processes
        self.devices = shared
        self.version, self.engine = engine_of(context, ledger.given)
        named = launch is not None and (launch.devices is not None or launch.processes not in (None, 1))
        self.stated = named or processes is not None

    def take(self) -> None:
        ledger = self.ledger
        ledger.recipe("family", "retriever")
        self.take_model()
        self.take_lora()
        explicit = self.take_data()
        self.take_loss(explicit)
        ledger.recipe("negatives", {"scope": "global"})
        size = self.examples or ledger.settings.get("examples") or TRAIN_SET_EXAMPLES
        dtype = ledger.text("model.torch_dtype") or ledger.text("model.dtype")
        take_training_arguments(ledger, "tr_args.", self.devices, size, dtype)
        ledger.account("origin.weights_precision", ("model.torch_dtype", "model.dtype"))
        ledger.beside("examples", size)
        ledger.recipe("evaluate", [{"suite": "vidore-v1"}])
        self.take_circumstances()
        self.take_negatives(explicit)

    def take_model(self) -> None:
        ledger = self.ledger
        name = next((key for key in ("model.class_to_instanciate", f"model.{CALL}") if key in ledger.given), None)
        parts = str(ledger.given.get(name)).split(".") if name else []
        known = next((part for part in parts if part in CLASSES), None)
        if known is None:
            raise UserError(
                f"The config's model is {shown('.'.join(parts) or 'not given')}; known of colpali-engine are "
                f"{', '.join(CLASSES)}."
            )
        row = CLASSES[known]
        ledger.recipe("model.backbone", row.backbone, "model.class_to_instanciate", f"model.{CALL}")
        path = ledger.text("model.pretrained_model_name_or_path")
        if path is None:
            raise UserError("The config's model has no pretrained_model_name_or_path: where its weights lie; write it.")
        ledger.beside("weights", path)
        weights = HUB.get(Path(path).name, path)
        adapter = ledger.text("pretrained_peft_model_name_or_path")
        ledger.recipe("model.weights", adapter or weights, "model.pretrained_model_name_or_path")
        if adapter:
            ledger.recipe("model.base", weights, "pretrained_peft_model_name_or_path")
        ledger.recipe("model.interaction", row.interaction)
        if row.dim:
            ledger.recipe("model.dim", row.dim)
            if not adapter and not Path(path).name.lower().rstrip("/").endswith("base"):
                ledger.beside("random_head", True)
        if row.interaction == "single":
            ledger.recipe("model.pooling", self.pooling(row))
        ledger.recipe("model.preset", self.preset(row), f"processor.{CALL}", "processor.class_to_instanciate")
        ledger.account("model.weights", ("processor.pretrained_model_name_or_path",))
        for key in ("processor.max_num_visual_tokens", "processor.num_image_tokens", "model.max_num_visual_tokens"):
            if key in ledger.given:
                ledger.beside("max_visual_tokens", ledger.whole(key, 0), key)
        if ledger.given.get("model.attn_implementation") is not None:
            ledger.beside("attention", ledger.text("model.attn_implementation"), "model.attn_implementation")
        quantization = "model.quantization_config."
        if ledger.switch(f"{quantization}load_in_4bit"):
            ledger.recipe("model.quantize", "nf4", f"{quantization}load_in_4bit", f"{quantization}bnb_4bit_quant_type")

    def pooling(self, row: ModelClass) -> str:
        named = self.ledger.text("model.pooling_strategy", row.pooling) or row.pooling
        if named in ("mean", "last"):
            self.ledger.account("model.pooling", ("model.pooling_strategy",))
            return named
        self.ledger.leave("model.pooling_strategy", f"poolings are mean and last; {row.pooling} is taken")
        return row.pooling

    def preset(self, row: ModelClass) -> str:
        generation = row.backbone
        if row.backbone.startswith("qwen"):
            generation = "qwen" if row.interaction == "late" else "biqwen"
        return latest(GENERATIONS[generation], self.version)

    def take_lora(self) -> None:
        ledger, prefix = self.ledger, "peft_config."
        if not any(name.startswith(prefix) for name in ledger.given):
            return
        if not str(ledger.given.get(f"{prefix}{CALL}")).endswith(".LoraConfig"):
            raise UserError(
                f"The config's peft_config is {shown(ledger.given.get(f'{prefix}{CALL}'))}; only peft.LoraConfig has a "
                "counterpart: write one, or leave it out to train every weight."
            )
        ledger.recipe("model.lora.rank", ledger.count(f"{prefix}r", 8), f"{prefix}r", f"{prefix}{CALL}")
        ledger.recipe("model.lora.alpha", ledger.number(f"{prefix}lora_alpha", 8), f"{prefix}lora_alpha")
        ledger.recipe("model.lora.dropout", ledger.number(f"{prefix}lora_dropout", 0.0), f"{prefix}lora_dropout")
        gaussian = ledger.given.get(f"{prefix}init_lora_weights") == "gaussian"
        ledger.recipe("model.lora.init", "gaussian" if gaussian else "kaiming", f"{prefix}init_lora_weights")
        targets, projection = lora_targets(ledger.given.get(f"{prefix}target_modules"))
        kept = ledger.given.get(f"{prefix}modules_to_save")
        ledger.recipe("model.lora.targets", targets, f"{prefix}target_modules")
        if ledger.values["model"].get("dim"):
            full = "custom_text_proj" in str(kept)
            how = "full" if full else "lora" if projection else "frozen"
            ledger.recipe("model.lora.projection", how, *([f"{prefix}modules_to_save"] if full else []))
        if ledger.given.get(f"{prefix}use_rslora") is not None:
            ledger.recipe("model.lora.rank_stabilised", ledger.switch(f"{prefix}use_rslora"), f"{prefix}use_rslora")
        ledger.beside("frozen_inputs", True)

    def take_data(self) -> int:
        """The sources; how many explicit negatives each query has."""
        ledger, given = self.ledger, self.ledger.given
        key = "dataset_loading_func" if "dataset_loading_func" in given else "train_dataset"
        negative = "Negative" in str(given.get(f"loss_func.{CALL}"))
        if key in given:
            calls = {key: given[key]}
        else:
            calls = {
                name.removesuffix(f".{CALL}"): value
                for name, value in given.items()
                if re.fullmatch(rf"{key}(\.\d+)?\.{re.escape(CALL)}", name)
            }
        if not calls:
            raise UserError(
                "The config has no train_dataset (dataset_loading_func before 0.3.11): what it trains on; write it."
            )
        sources = [self.source(place, str(call), negative) for place, call in calls.items()]
        names = [name for name in given if name == key or name.startswith(f"{key}.")]
        ledger.recipe("data.train", sources if len(sources) > 1 else sources[0])
        if len(sources) > 1:
            ledger.recipe("data.mixing", "one-per-batch")
        ledger.beside("dataset", ", ".join(str(call).rpartition(".")[2] for call in calls.values()))
        used = {CALL, "", "path", "split", "name", "num_negs", "num_negatives"} | set(COLUMNS)
        for name in names:
            if name.rpartition(".")[2] in used or name == key:
                ledger.account("data.train", (name,))
        for name in given:
            if name.startswith(("eval_dataset", "eval_dataset_loader", "eval_dataset_format")):
                ledger.leave(name, EVAL_SETS)
        return max(source.get("negatives", 0) for source in sources)

    def source(self, place: str, call: str, negative: bool) -> dict[str, Any]:
        """What a call in the config loads."""
        ledger, function = self.ledger, call.rpartition(".")[2]
        columns = {ours: ledger.text(f"{place}.{theirs}") for theirs, ours in COLUMNS.items()}
        columns = {ours: name for ours, name in columns.items() if name is not None}
        if function in ("load_train_set", "load_train_set_detailed", "load_train_set_with_docmatix"):
            ledger.settings.setdefault("examples", TRAIN_SET_EXAMPLES)
            if function.endswith("docmatix"):
                ledger.leave(
                    f"{place} (docmatix)", "of its two sources here is the first; add the other to data.train", call
                )
            return {"source": "pairs", "path": TRAIN_SET}
        if function in ("load_train_set_ir", "load_train_set_ir_negs"):
            ledger.settings.setdefault("examples", TRAIN_SET_EXAMPLES)
            count = ledger.whole(f"{place}.num_negs", 1 if function.endswith("negs") else 3) if negative else 0
            ir = {"image_column": "positive_passages", "corpus": "manu/colpali-corpus"}
            explicit = {"negatives_column": "negative_passages", "negatives": count} if count else {}
            return {"source": "pairs", "path": "manu/colpali-queries", **ir, **explicit}
        inner = f"{place}.data" if function == "ColPaliEngineDataset" else place
        path = (
            ledger.text(f"{inner}.path")
            if str(ledger.given.get(f"{inner}.{CALL}", call)).startswith("datasets.")
            else None
        )
        if path:
            split = ledger.text(f"{inner}.split")
            subset = ledger.text(f"{inner}.name")
            found = {"source": "pairs", "path": path, **({"split": split} if split else {})}
            count = ledger.whole(f"{place}.num_negatives", 3) if negative and "negatives_column" in columns else 0
            return {
                **found,
                **({"subset": subset} if subset else {}),
                **columns,
                **({"negatives": count} if count else {}),
            }
        if not self.examples:
            ledger.leave(
                "examples",
                f"epochs are counted with {TRAIN_SET_EXAMPLES:,}; give --examples, or set train.steps",
                "not given",
            )
        ledger.leave(f"{place} (data)", "what it loads is not known here; put a table's path at data.train", call)
        return {"source": "pairs", "path": function}

    def take_loss(self, explicit: int) -> None:
        ledger, prefix = self.ledger, "loss_func."
        call = ledger.text(f"{prefix}{CALL}") or ledger.text("loss_func") or "ColbertLoss"
        name = call.rpartition(".")[2]
        if name not in (*IN_BATCH, *LATER):
            raise UserError(f"The config's loss_func is {shown(call)}; known are {', '.join((*IN_BATCH, *LATER))}.")
        dialect = latest(DIALECTS, self.version)
        ledger.recipe("loss.name", name, f"{prefix}{CALL}", "loss_func")
        ledger.recipe("loss.dialect", CURRENT if name in LATER else dialect)
        if name in LATER and dialect != CURRENT:
            # before 0.3.11: raw scores, and the in-batch term only where it is asked for
            ledger.recipe("loss.temperature", 1.0)
            if name.startswith("Colbert"):
                ledger.recipe("loss.normalize", False)
            if "Negative" in name:
                term = ledger.switch(f"{prefix}in_batch_term")
                ledger.recipe("loss.in_batch_weight", 0.5 if term else 0.0, f"{prefix}in_batch_term")
        for theirs, ours in (("temperature", "temperature"), ("in_batch_term_weight", "in_batch_weight")):
            if ledger.given.get(f"{prefix}{theirs}") is not None:
                ledger.recipe(f"loss.{ours}", ledger.number(f"{prefix}{theirs}", 0), f"{prefix}{theirs}")
        if ledger.given.get(f"{prefix}normalize_scores") is not None:
            ledger.recipe("loss.normalize", ledger.switch(f"{prefix}normalize_scores"), f"{prefix}normalize_scores")
        if ledger.switch(f"{prefix}use_smooth_max"):
            names = (f"{prefix}use_smooth_max", f"{prefix}tau")
            ledger.recipe("loss.smooth_max", ledger.number(names[1], 0.1), *names)
        if ledger.switch(f"{prefix}pos_aware_negative_filtering"):
            names = tuple(
                f"{prefix}{key}" for key in ("pos_aware_negative_filtering", "filter_threshold", "filter_factor")
            )
            ledger.recipe("loss.filter_threshold", ledger.number(names[1], 0.95), *names[:2])
            ledger.recipe("loss.filter_factor", ledger.number(names[2], 0.5), names[2])
        if "Negative" in name and not explicit:
            ledger.leave(
                "loss_func (negatives)", "the data has none that are known here; name them at data.train", name
            )

    def take_circumstances(self) -> None:
        ledger = self.ledger
        ledger.beside("engine", self.engine)
        ledger.beside("seeded_initialisation", False)
        ledger.beside("workers", ledger.values["train"]["workers"])
        if ledger.values["train"].get("gradient_checkpointing") and self.version < GATHERS:
            # transformers 4, to which those versions belong
            ledger.settings.setdefault("reentrant_checkpointing", True)
        if device := device_named(self.context):
            ledger.beside("device", device)
        if self.stated:
            ledger.beside("devices", self.devices)
        else:
            ledger.leave(
                "processes", "nothing says how many GPUs share a batch; one is assumed: give --processes", "not given"
            )
        if self.processes > 1:
            ledger.beside("process_group", "initialised")

    def take_negatives(self, explicit: int) -> None:
        """Whose pages a query saw: that depended on launcher, version and accumulation."""
        ledger = self.ledger
        accumulation = ledger.count("tr_args.gradient_accumulation_steps", 1)
        batch = ledger.values["train"]["batch"]
        one_pool = accumulation == 1 and (self.data_parallel or self.version >= GATHERS or self.processes == 1)
        local = batch // accumulation // (1 if self.data_parallel else self.processes)
        ledger.beside("negatives_scope", "global" if one_pool else "process")
        ledger.beside("negatives_per_query", (batch if one_pool else local) - 1 + explicit)
        if explicit:
            ledger.beside("explicit_negatives", explicit)
        pairwise = ledger.values["loss"]["name"] in ("BiPairwiseCELoss", "BiPairwiseNegativeCELoss")
        if pairwise and self.processes > 1 and self.version >= GATHERS:
            ledger.beside("misplaced_positives", True)


COLUMNS = {
    "query_column_name": "query_column",
    "pos_target_column_name": "image_column",
    "neg_target_column_name": "negatives_column",
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


def lora_targets(modules: Any) -> tuple[str, bool]:
    """Which layers a target_modules of peft means here, and whether the projection is one of them."""
    if isinstance(modules, list):
        words = [str(one) for one in modules]
        layers = [re.escape(one) for one in words if "text_proj" not in one]
        return rf"(.*\.)?({'|'.join(layers)})", len(layers) < len(words)
    text = str(modules or "all-linear")
    projection = "custom_text_proj" in text
    if text == "all-linear":
        return "all", False
    if re.search(r"vision_(model|tower)|visual|multi_modal_projector", text):
        return "all", projection
    if re.search(r"\((language_model|model|text_model|layers)\)", text) and "q_proj" in text:
        return "language-model", projection
    return text, projection
