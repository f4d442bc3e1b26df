"""Transformers' TrainingArguments: the `tr_args` of colpali-engine, and a JSON file of its own."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from collotype.importers.arguments import parse_arguments
from collotype.importers.imported import Imported
from collotype.importers.launch import Launch, account_for_launch, device_named
from collotype.importers.mapping import MappingLedger, shown, slug
from collotype.recipe.load import BUILTIN, parse_yaml
from collotype.runtime.errors import UserError

OPTIMIZERS = {
    name: ("paged_adamw_8bit" if "8bit" in name else "adamw")
    for name in ("adamw_torch", "adamw_torch_fused", "adamw_hf", "default_optim", "paged_adamw_8bit", "paged_adamw")
}
"""Those whose update is the same as of one here."""
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant", "constant_with_warmup": "constant"}
RECOGNISED = {"per_device_train_batch_size", "num_train_epochs", "learning_rate", "warmup_steps", "max_steps"}
"""A JSON object with two of these is one of TrainingArguments."""

NUMBERS = (
    *RECOGNISED,
    *(
        "gradient_accumulation_steps warmup_ratio weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm seed "
        "save_steps save_total_limit dataloader_num_workers optim lr_scheduler_type output_dir deepspeed run_name"
    ).split(),
)
"""Settings that take one word on a command line."""

EVALUATION = "its evaluation is a loss on local batches; here `evaluate` measures suites, also during training"
MOST_BRACKETS = 200
"""TrainingArguments have some ten."""

PLACE = "set the output folder on the command line (--out)"
LOGGING = "what a run writes is always the same (metrics.jsonl, report.html); trackers are named with --track"
RESUME = "a run continues with --resume"
MACHINE = "concerns the machine only and changes no number here"
REASONS: dict[str, str] = {
    **dict.fromkeys(
        (
            "per_device_eval_batch_size eval_strategy evaluation_strategy eval_steps eval_delay do_eval do_predict "
            "prediction_loss_only eval_on_start eval_accumulation_steps load_best_model_at_end metric_for_best_model "
            "greater_is_better bf16_full_eval fp16_full_eval include_for_metrics batch_eval_metrics"
        ).split(),
        EVALUATION,
    ),
    **dict.fromkeys("output_dir overwrite_output_dir save_strategy".split(), PLACE),
    **dict.fromkeys(
        (
            "logging_steps logging_strategy logging_dir logging_first_step logging_nan_inf_filter log_level "
            "log_level_replica log_on_each_node report_to run_name disable_tqdm project trackio_space_id push_to_hub "
            "hub_model_id hub_token hub_strategy"
        ).split(),
        LOGGING,
    ),
    **dict.fromkeys("resume_from_checkpoint ignore_data_skip restore_callback_states_from_checkpoint".split(), RESUME),
    **dict.fromkeys(
        (
            "dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor ddp_backend ddp_timeout "
            "ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers local_rank use_cpu no_cuda tf32 "
            "remove_unused_columns torch_compile torch_compile_backend torch_compile_mode auto_find_batch_size do_train"
        ).split(),
        MACHINE,
    ),
    "()": "the class that the settings are of",
}
OTHERWISE = "nothing here corresponds to it"
CHANGING = dict.fromkeys(
    (
        "label_smoothing_factor neftune_noise_alpha group_by_length optim_args optim_target_modules "
        "lr_scheduler_kwargs train_sampling_strategy"
    ).split(),
    "it changes the training and is not supported",
)
"""Of settings that are said first."""


def read_training_arguments(text: str, name: str) -> dict[str, Any]:
    """
    Raises:
        UserError: it is no JSON object of TrainingArguments.
    """
    try:
        if text.count("[") + text.count("{") > MOST_BRACKETS:
            raise ValueError(f"more than {MOST_BRACKETS} brackets")
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is not readable JSON ({shown(str(error))}); correct it and try again.") from None
    if not isinstance(values, dict) or len(RECOGNISED & set(values)) < 2:
        raise UserError(
            f"{name} is JSON but not transformers' TrainingArguments, which has keys such as "
            "per_device_train_batch_size and learning_rate; give that file."
        )
    return dict(flattened(values))


def import_training_arguments(text: str, name: str, processes: int, examples: int | None) -> Imported:
    """A recipe of these arguments, and of ColPali as far as they do not reach.

    Raises:
        UserError: it is no JSON of TrainingArguments, or a value is impossible.
    """
    return recipe_of(
        MappingLedger("transformers", read_training_arguments(text, name)), Path(name).stem, processes, examples
    )


def given_by(launch: Launch) -> dict[str, Any]:
    """The settings of a command whose program reads them with HfArgumentParser, by TrainingArguments' names.

    Raises:
        UserError: a word belongs to no flag.
    """
    takes = {name.replace("_", sign): "one" for name in NUMBERS for sign in "_-"}
    found = parse_arguments(launch.arguments, {f"--{name}": "one" for name in takes}, positional=False)
    given: dict[str, Any] = {}
    for name, value in found.items():
        text = str(value).lower() if isinstance(value, str) else value
        key = name.removeprefix("--").replace("-", "_") if name.startswith("--") else name
        given[key] = text == "true" if text in ("true", "false") else value
    return given


def is_command(launch: Launch) -> bool:
    """Does it give its program at least two of TrainingArguments' settings?"""
    flags = {
        word.partition("=")[0].removeprefix("--").replace("-", "_") for word in launch.arguments if word[:2] == "--"
    }
    return len(RECOGNISED & flags) >= 2


def import_command(
    launch: Launch, context: str, name: str, processes: int | None = None, examples: int | None = None
) -> Imported:
    """A recipe of a command's TrainingArguments, and of ColPali as far as they do not reach.

    Raises:
        UserError: a value is impossible, or a word belongs to no flag.
    """
    ledger = MappingLedger("transformers", given_by(launch) | launch.flags)
    # under plain python transformers divides a batch among the GPUs it sees
    alone = launch.launcher == "python"
    count = (processes or launch.devices or 1) if alone else launch.shared_by(processes)
    if alone and not (processes or launch.devices):
        ledger.assume("processes", "nothing says how many GPUs share a batch; one is assumed: give --processes")
    ledger.beside(devices=count)
    if device := device_named(context):
        ledger.beside(device=device)
    account_for_launch(ledger, launch, processes)
    return recipe_of(ledger, name, count, examples, launch.launcher)


def recipe_of(
    ledger: MappingLedger, name: str, processes: int, examples: int | None, launcher: str = "python"
) -> Imported:
    ledger.recipe("name", slug(name))
    ledger.recipe("family", "retriever")
    example = parse_yaml((BUILTIN / "colpali-v1.3.yaml").read_text(), "colpali-v1.3")
    for section in ("model", "data", "loss"):
        ledger.recipe(section, example[section])
        ledger.assume(section, "TrainingArguments do not say it; here is colpali-v1.3's: put your own there")
    take_training_arguments(ledger, "", processes, examples or 118_695)
    ledger.leave_rest(REASONS, OTHERWISE, CHANGING)
    if examples is None and ledger.whole("max_steps", -1) < 1:
        ledger.assume("examples", "epochs are counted with 118,695, of vidore/colpali_train_set; give --examples")
    return ledger.close(launcher, processes)


def take_training_arguments(
    ledger: MappingLedger, prefix: str, devices: int, examples: int, dtype: str | None = None
) -> None:
    """Puts the arguments whose names begin with `prefix` into the recipe's `train`.

    Args:
        devices: how many share a batch, be it as processes or under nn.DataParallel.
        examples: of the training data.
        dtype: of the weights, float32 if none.

    Raises:
        UserError: a value is no number, or impossible.
    """

    def name(key: str) -> str:
        return f"{prefix}{key}"

    per_device = ledger.count(name("per_device_train_batch_size"), 8)
    accumulation = ledger.count(name("gradient_accumulation_steps"), 1)
    batch = per_device * accumulation * devices
    ledger.recipe("train.batch", batch, name("per_device_train_batch_size"), name("gradient_accumulation_steps"))
    ledger.recipe("train.micro_batch", "auto")
    rounds = examples / (per_device * devices)
    rounds = math.floor(rounds) if ledger.switch(name("dataloader_drop_last")) else math.ceil(rounds)
    ledger.account("train.steps", (name("dataloader_drop_last"),))
    epochs = ledger.number(name("num_train_epochs"), 3.0)
    most = ledger.whole(name("max_steps"), -1)
    steps = most if most > 0 else max(1, math.ceil(epochs * max(1, math.ceil(rounds / accumulation))))
    ledger.recipe("train.steps", steps, name("max_steps"), name("num_train_epochs"))
    ledger.beside(epochs=epochs if most < 1 else steps * batch / examples)
    ledger.recipe("train.seed", ledger.whole(name("seed"), 42), name("seed"))
    ledger.beside(seed_given=ledger.given.get(name("seed")) is not None)
    take_precision(ledger, name("bf16"), name("fp16"), dtype)
    take_checkpointing(ledger, prefix)
    take_optimizer(ledger, prefix)
    take_schedule(ledger, prefix, steps)
    most_norm = ledger.number(name("max_grad_norm"), 1.0)
    ledger.recipe("train.clip_grad_norm", most_norm if most_norm > 0 else None, name("max_grad_norm"))
    every = ledger.number(name("save_steps"), 500)
    ledger.recipe("train.checkpoint_every", max(1, round(every * steps if every < 1 else every)), name("save_steps"))
    ledger.recipe("train.keep_checkpoints", max(1, ledger.whole(name("save_total_limit"), 2)), name("save_total_limit"))
    ledger.recipe("train.workers", ledger.whole(name("dataloader_num_workers"), 0), name("dataloader_num_workers"))
    if ledger.given.get(name("fsdp")):
        ledger.recipe("train.shard", "fsdp", name("fsdp"))


def take_precision(ledger: MappingLedger, bf16: str, fp16: str, dtype: str | None) -> None:
    half = {"bfloat16": "bf16", "float16": "fp16"}.get(str(dtype).rpartition(".")[2])
    mixed = "bf16" if ledger.switch(bf16) else "fp16" if ledger.switch(fp16) else None
    ledger.recipe("train.precision", mixed or half or "fp32", bf16, fp16)
    if half:
        ledger.beside(weights_precision=half)


def take_checkpointing(ledger: MappingLedger, prefix: str) -> None:
    for key in ("gradient_checkpointing", "activation_checkpointing"):
        name, reentrant = f"{prefix}{key}", f"{prefix}{key}_kwargs.use_reentrant"
        if ledger.given.get(name) is not None:
            ledger.recipe("train.gradient_checkpointing", ledger.switch(name), name)
        if ledger.given.get(reentrant) is not None:
            ledger.beside(reentrant, reentrant_checkpointing=ledger.switch(reentrant))


def take_optimizer(ledger: MappingLedger, prefix: str) -> None:
    name = f"{prefix}optim"
    theirs = ledger.text(name, "adamw_torch") or "adamw_torch"
    ledger.beside(name, optimizer=theirs)
    ledger.recipe("train.optimizer.name", OPTIMIZERS.get(theirs, "adamw"))
    if theirs not in OPTIMIZERS:
        ledger.assume(name, "there is adamw, and paged_adamw_8bit on a GPU; adamw is taken", theirs)
    for key, theirs, default in (
        ("lr", "learning_rate", 5e-5),
        ("beta1", "adam_beta1", 0.9),
        ("beta2", "adam_beta2", 0.999),
        ("eps", "adam_epsilon", 1e-8),
        ("weight_decay", "weight_decay", 0.0),
    ):
        ledger.recipe(f"train.optimizer.{key}", ledger.number(f"{prefix}{theirs}", default), f"{prefix}{theirs}")


def take_schedule(ledger: MappingLedger, prefix: str, steps: int) -> None:
    name = f"{prefix}lr_scheduler_type"
    theirs = ledger.text(name, "linear") or "linear"
    taken = SCHEDULES.get(theirs, "cosine" if theirs.startswith("cosine") else "linear")
    ledger.recipe("train.schedule.name", taken, name)
    if theirs not in SCHEDULES:
        ledger.assume(name, f"the schedules are {', '.join(SCHEDULES)}; {taken} is taken", theirs)
    warmup = ledger.number(f"{prefix}warmup_steps", 0)
    # a fraction as number of steps is transformers 5's way to write warmup_ratio
    ratio = warmup if 0 < warmup < 1 else ledger.number(f"{prefix}warmup_ratio", 0) if not warmup else 0
    if theirs == "constant":
        warmup = ratio = 0
    names = (f"{prefix}warmup_steps", f"{prefix}warmup_ratio")
    ledger.recipe("train.schedule.warmup_steps", math.ceil(ratio * steps) if ratio else round(warmup), *names)


def flattened(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names of a mapping's leaves; lists of mappings are followed, too."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            word = f'"{key}"' if "." in key else key
            yield from flattened(value, f"{name}.{word}" if name else word)
    elif isinstance(values, list) and any(isinstance(one, Mapping) for one in values):
        for number, value in enumerate(values):
            yield from flattened(value, f"{name}.{number}")
    else:
        yield name, values
