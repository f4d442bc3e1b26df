"""colpali-engine's training configs as recipes.

(colpali_engine/trainer/colmodel_training.py and contrastive_trainer.py of 0.3.18, scripts/configs of its repository.)
"""

import re
from pathlib import Path
from typing import Any

from collotype.importers.colpali_lora import take_lora
from collotype.importers.colpali_names import (
    CLASSES,
    COLUMNS,
    CURRENT,
    DATA_KEYS,
    DIALECTS,
    EVAL_SETS,
    GATHERS,
    GENERATIONS,
    HUB,
    IN_BATCH,
    LATER,
    LOADED,
    LOADERS,
    PACKAGES,
    PUBLISHED_FILES,
    SETTING_REASONS,
    TRAIN_SET_EXAMPLES,
    ModelClass,
    engine_of,
    latest,
)
from collotype.importers.configue import CALL, load_configue
from collotype.importers.imported import Imported
from collotype.importers.launch import Launch, account_for_launch, device_named
from collotype.importers.mapping import MappingLedger, shown, slug
from collotype.importers.training_arguments import CHANGING, OTHERWISE, flattened, take_training_arguments
from collotype.runtime.errors import UserError


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
    data, missing = load_configue(path, PACKAGES, variables, text, PUBLISHED_FILES)
    config = data.get("config") if isinstance(data, dict) else None
    if not isinstance(config, dict) or not str(config.get(CALL)).endswith(".ColModelTrainingConfig"):
        raise UserError(
            f"{path} is not a training config of colpali-engine: `config` needs `(): "
            "colpali_engine.trainer.colmodel_training.ColModelTrainingConfig`."
        )
    given = dict(flattened(config)) | (launch.flags if launch else {})
    ledger = MappingLedger("colpali-engine", given)
    for name in missing:
        known = Path(name).name in PUBLISHED_FILES
        instead = "the published file's values are taken" if known else "what it says is left open"
        ledger.assume(f"!import {shown(name)}", f"the file is not there; {instead}")
    settings = Config(ledger, launch, context, processes, examples)
    try:
        settings.take()
    except UserError as error:
        if not missing:
            raise
        raise UserError(
            f"{str(error).rstrip('.')}; files that it imports are missing ({shown(', '.join(missing))})."
        ) from None
    ledger.recipe("name", slug(path.stem if text is None else ledger.settings["weights"].rpartition("/")[2]))
    account_for_launch(ledger, launch, processes)
    ledger.leave_rest(SETTING_REASONS, OTHERWISE, {f"tr_args.{name}": why for name, why in CHANGING.items()})
    return ledger.close(settings.launcher, settings.processes)


UNBOUNDED = 16_384
"""Visual tokens with which a processor's file bounds no page: the preset's budget is taken."""


class Config:
    """A config's settings on their way into the ledger."""

    def __init__(
        self, ledger: MappingLedger, launch: Launch | None, context: str, processes: int | None, examples: int | None
    ):
        self.ledger, self.context, self.examples = ledger, context, examples
        self.launcher = launch.launcher if launch else "python"
        self.data_parallel = self.launcher == "python"
        named = (launch.devices if self.data_parallel else launch.shared_by(processes)) if launch else None
        self.stated = (processes or named) is not None
        self.devices = (processes or named if self.data_parallel else named) or 1
        self.processes = 1 if self.data_parallel else self.devices
        self.version, self.engine = engine_of(context, ledger.given)

    def take(self) -> None:
        ledger = self.ledger
        ledger.recipe("family", "retriever")
        self.take_model()
        take_lora(ledger)
        explicit = self.take_data()
        self.take_loss(explicit)
        ledger.recipe("negatives", {"scope": "global"})
        size = self.examples or TRAIN_SET_EXAMPLES
        dtype = ledger.text("model.torch_dtype") or ledger.text("model.dtype")
        take_training_arguments(ledger, "tr_args.", self.devices, size, dtype)
        ledger.account("train.precision", ("model.torch_dtype", "model.dtype"))
        ledger.beside(examples=size)
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
                f"The config's model is {shown('.'.join(parts) or 'not given')}; the supported models of "
                f"colpali-engine are {', '.join(CLASSES)}."
            )
        row = CLASSES[known]
        ledger.recipe("model.backbone", row.backbone, "model.class_to_instanciate", f"model.{CALL}")
        path = ledger.text("model.pretrained_model_name_or_path")
        if path is None:
            raise UserError(
                "The config's model has no pretrained_model_name_or_path; add the path or name of its weights."
            )
        ledger.beside(weights=path)
        weights = HUB.get(Path(path).name, path)
        adapter = ledger.text("pretrained_peft_model_name_or_path")
        ledger.recipe("model.weights", adapter or weights, "model.pretrained_model_name_or_path")
        if adapter:
            ledger.recipe("model.base", weights, "pretrained_peft_model_name_or_path")
        ledger.recipe("model.interaction", row.interaction)
        if row.dim:
            ledger.recipe("model.dim", row.dim)
            if not adapter and not Path(path).name.lower().rstrip("/").endswith("base"):
                ledger.beside(random_head=True)
        if row.interaction == "single":
            ledger.recipe("model.pooling", self.pooling(row))
        ledger.recipe("model.preset", self.preset(row), f"processor.{CALL}", "processor.class_to_instanciate")
        ledger.account("model.weights", ("processor.pretrained_model_name_or_path",))
        for key in ("processor.max_num_visual_tokens", "processor.num_image_tokens", "model.max_num_visual_tokens"):
            if key in ledger.given:
                budget = ledger.whole(key, 0)
                if 0 < budget < UNBOUNDED and row.backbone.startswith("qwen"):
                    ledger.recipe("model.max_visual_tokens", budget, key)
                ledger.beside(key, max_visual_tokens=budget)
        if (attention := ledger.text("model.attn_implementation")) is not None:
            ledger.beside("model.attn_implementation", attention=attention)
        quantization = "model.quantization_config."
        if ledger.switch(f"{quantization}load_in_4bit"):
            ledger.recipe("model.quantize", "nf4", f"{quantization}load_in_4bit", f"{quantization}bnb_4bit_quant_type")

    def pooling(self, row: ModelClass) -> str:
        named = self.ledger.text("model.pooling_strategy", row.pooling) or row.pooling
        if named in ("mean", "last"):
            self.ledger.account("model.pooling", ("model.pooling_strategy",))
            return named
        self.ledger.leave(
            "model.pooling_strategy", f"only the poolings mean and last are supported; {row.pooling} is used"
        )
        return row.pooling

    def preset(self, row: ModelClass) -> str:
        generation = row.backbone
        if row.backbone.startswith("qwen"):
            generation = "qwen" if row.interaction == "late" else "biqwen"
        return latest(GENERATIONS[generation], self.version)

    def take_data(self) -> int:
        """The sources; how many explicit negatives each query has."""
        ledger, given = self.ledger, self.ledger.given
        key = "dataset_loading_func" if "dataset_loading_func" in given else "train_dataset"
        function = re.compile(rf"{key}(\.\d+)?\.{re.escape(CALL)}")
        calls = {name.removesuffix(f".{CALL}"): str(call) for name, call in given.items() if function.fullmatch(name)}
        if key in given:
            calls = {key: str(given[key])}
        if not calls:
            raise UserError(
                "The config has no train_dataset (dataset_loading_func before 0.3.11); add its training data."
            )
        sources = [self.source(place, call) for place, call in calls.items()]
        ledger.recipe("data.train", sources if len(sources) > 1 else sources[0])
        if len(sources) > 1:
            ledger.recipe("data.mixing", "one-per-batch")
        functions = [call.rpartition(".")[2] for call in calls.values()]
        ledger.beside(dataset=", ".join(functions))
        if not self.examples and functions[0] not in LOADERS:
            unknown = f"epochs are computed for {TRAIN_SET_EXAMPLES:,} examples; give --examples, or set train.steps"
            ledger.assume("examples", unknown)
        for name in given:
            if name == key or (name.startswith(f"{key}.") and name.rpartition(".")[2] in DATA_KEYS):
                ledger.account("data.train", (name,))
            elif name.startswith("eval_dataset"):
                ledger.leave(name, EVAL_SETS)
        return max(int(source.get("negatives", 0)) for source in sources)

    def source(self, place: str, call: str) -> dict[str, Any]:
        """What a call in the config loads."""
        ledger, function = self.ledger, call.rpartition(".")[2]
        negative = "Negative" in str(ledger.given.get(f"loss_func.{CALL}"))
        if function in LOADERS:
            source: dict[str, Any] = {"source": "pairs", **LOADERS[function]}
            if function.endswith("docmatix"):
                ledger.leave(f"{place} (docmatix)", "only the first of two sources is imported; add the other", call)
            if negative and "corpus" in source:
                count = ledger.whole(f"{place}.num_negs", 1 if function.endswith("negs") else 3)
                source |= {"negatives_column": "negative_passages", "negatives": count}
            return source
        inner = f"{place}.data" if function == "ColPaliEngineDataset" else place
        loads = str(ledger.given.get(f"{inner}.{CALL}", call)).startswith("datasets.")
        if not loads or not ledger.text(f"{inner}.path"):
            unknown = f"the data that {shown(call)} loads is unknown; put a table's path at data.train"
            ledger.assume(f"{place} (data)", unknown, call)
            return {"source": "pairs", "path": function}
        found = {ours: ledger.text(f"{inner}.{theirs}") for theirs, ours in LOADED.items()}
        found |= {ours: ledger.text(f"{place}.{theirs}") for theirs, ours in COLUMNS.items()}
        source = {"source": "pairs", **{key: value for key, value in found.items() if value is not None}}
        if negative and "negatives_column" in source:
            source["negatives"] = ledger.whole(f"{place}.num_negatives", 3)
        return source

    def take_loss(self, explicit: int) -> None:
        ledger, prefix = self.ledger, "loss_func."
        call = ledger.text(f"{prefix}{CALL}") or ledger.text("loss_func") or "ColbertLoss"
        name = call.rpartition(".")[2]
        if name not in (*IN_BATCH, *LATER):
            raise UserError(
                f"The config's loss_func is {shown(call)}; the supported losses are {', '.join((*IN_BATCH, *LATER))}."
            )
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
            names: tuple[str, ...] = (f"{prefix}use_smooth_max", f"{prefix}tau")
            ledger.recipe("loss.smooth_max", ledger.number(names[1], 0.1), *names)
        if ledger.switch(f"{prefix}pos_aware_negative_filtering"):
            names = tuple(
                f"{prefix}{key}" for key in ("pos_aware_negative_filtering", "filter_threshold", "filter_factor")
            )
            ledger.recipe("loss.filter_threshold", ledger.number(names[1], 0.95), *names[:2])
            ledger.recipe("loss.filter_factor", ledger.number(names[2], 0.5), names[2])
        if "Negative" in name and not explicit:
            ledger.leave("loss_func (negatives)", "the data has no known ones; name them at data.train", name)

    def take_circumstances(self) -> None:
        ledger = self.ledger
        ledger.beside(engine=self.engine)
        ledger.beside(seeded_initialisation=False)
        ledger.beside(workers=ledger.values["train"]["workers"])
        if ledger.values["train"].get("gradient_checkpointing") and self.version < GATHERS:
            # transformers 4, to which those versions belong
            ledger.settings.setdefault("reentrant_checkpointing", True)
        if device := device_named(self.context):
            ledger.beside(device=device)
        if self.stated:
            ledger.beside(devices=self.devices)
        else:
            ledger.assume(
                "processes", "the number of GPUs that share a batch is unknown; 1 is assumed: give --processes"
            )
        if self.processes > 1:
            ledger.beside(process_group="initialised")
        if isinstance(ledger.values["data"]["train"], list):
            share = ledger.count("tr_args.per_device_train_batch_size", 8)
            ledger.beside(sampler_batch=share * (self.devices if self.data_parallel else 1))

    def take_negatives(self, explicit: int) -> None:
        """Whose pages a query saw: that depended on launcher, version and accumulation."""
        ledger = self.ledger
        accumulation = ledger.count("tr_args.gradient_accumulation_steps", 1)
        batch = ledger.values["train"]["batch"]
        one_pool = accumulation == 1 and (self.processes == 1 or self.version >= GATHERS)
        local = batch // accumulation // self.processes
        ledger.beside(negatives_scope="global" if one_pool else "process")
        ledger.beside(negatives_per_query=(batch if one_pool else local) - 1 + explicit)
        if explicit:
            ledger.beside(explicit_negatives=explicit)
        pairwise = ledger.values["loss"]["name"] in ("BiPairwiseCELoss", "BiPairwiseNegativeCELoss")
        if pairwise and self.processes > 1 and self.version >= GATHERS:
            ledger.beside(misplaced_positives=True)
