"""BEiT-3's `run_beit3_finetuning.py` as a recipe. (unilm/beit3 at 768a3c8.)"""

import re

from collotype.importers.arguments import Takes, by_flag, parse_arguments, tell_unknown
from collotype.importers.imported import Imported
from collotype.importers.launch import Launch, account_for_launch, device_named
from collotype.importers.mapping import LARGEST, NOT_GIVEN, MappingLedger, shown, slug
from collotype.importers.upstream import ProcessGroup
from collotype.recipe.load import BUILTIN, parse_yaml
from collotype.runtime.errors import UserError

SCRIPT = "run_beit3_finetuning.py"
QUESTIONS = 640_000
"""Of VQAv2's training set that have an answer in the vocabulary, about; the plan counts them."""

ONE = (
    "model task input_size drop_path vocab_size num_max_bpe_tokens sentencepiece_model opt opt_eps clip_grad momentum "
    "weight_decay lr layer_decay task_head_lr_weight warmup_lr min_lr warmup_epochs warmup_steps batch_size "
    "eval_batch_size epochs update_freq save_ckpt_freq train_interpolation finetune model_key model_prefix data_path "
    "output_dir log_dir device seed resume start_epoch num_workers world_size local_rank dist_url task_cache_path "
    "nb_classes mixup cutmix mixup_prob mixup_switch_prob mixup_mode color_jitter aa smoothing reprob remode recount "
    "crop_pct captioning_mask_prob drop_worst_ratio drop_worst_after num_beams length_penalty label_smoothing "
    "initial_scale_power zero_stage model_ema_decay"
)
SWITCHES = (
    "checkpoint_activations model_ema model_ema_force_cpu randaug auto_resume no_auto_resume save_ckpt no_save_ckpt "
    "eval dist_eval pin_mem no_pin_mem dist_on_itp enable_deepspeed resplit"
)
FLAGS: dict[str, Takes] = by_flag((ONE, "one"), (SWITCHES, "none"), ("opt_betas cutmix_minmax", "many"))

MACHINE = "concerns the machine only and changes no number here"
OTHER_TASK = "it belongs to another task than vqav2"
UNREAD = "the script takes it and never reads it"
REASONS = by_flag(
    (
        "device pin_mem no_pin_mem world_size local_rank dist_on_itp dist_url model_ema_force_cpu "
        "initial_scale_power zero_stage task_cache_path",
        MACHINE,
    ),
    (
        "nb_classes mixup cutmix cutmix_minmax mixup_prob mixup_switch_prob mixup_mode color_jitter aa reprob "
        "remode recount crop_pct captioning_mask_prob drop_worst_ratio drop_worst_after num_beams length_penalty "
        "label_smoothing",
        OTHER_TASK,
    ),
    ("warmup_lr momentum smoothing resplit", UNREAD),
    ("output_dir log_dir", "set the output folder on the command line (--out)"),
    ("resume auto_resume no_auto_resume start_epoch", "a run resumes only with --resume, never by itself"),
    ("save_ckpt no_save_ckpt", "checkpoints are always written"),
    ("model_key model_prefix", "the checkpoint's layout is recognised"),
    ("vocab_size num_max_bpe_tokens train_interpolation", "it is the published one"),
    ("eval_batch_size", "the batch size of an evaluation changes no score here"),
)
OTHERWISE = "nothing here corresponds to it"
PUBLISHED = {"--train_interpolation": "bicubic", "--num_max_bpe_tokens": "64", "--vocab_size": "64010"}
"""What others would change, and has no counterpart."""


def import_command(
    launch: Launch, context: str, name: str, processes: int | None = None, examples: int | None = None
) -> Imported:
    """The recipe of a command that fine-tunes or evaluates on VQAv2.

    Args:
        context: the whole text, where a GPU may be named; name: of the recipe.
        processes: on how many it runs, where the command does not say; examples: of the training data.

    Raises:
        UserError: it is of another task, or a flag has no value or an impossible one.
    """
    ledger = MappingLedger("beit3", dict(parse_arguments(launch.arguments, FLAGS, positional=False)) | launch.flags)
    task = ledger.text("--task")
    if task != "vqav2":
        raise UserError(f"The command's --task is {shown(task or 'not given')}; only BEiT-3's vqav2 is supported.")
    count = launch.shared_by(processes)
    Beit3Import(ledger, launch, count, examples or QUESTIONS).take()
    ledger.recipe("name", slug(name))
    ledger.account("family", ("--task",))
    if device := device_named(context):
        ledger.beside(device=device)
    account_for_launch(ledger, launch, processes)
    tell_unknown(ledger, FLAGS, "BEiT-3")
    for flag, value in PUBLISHED.items():
        if ledger.given.get(flag, value) != value:
            ledger.assume(flag, f"the published value {value} is used", ledger.given[flag])
    ledger.leave_rest(REASONS, "the command only evaluates" if ledger.switch("--eval") else OTHERWISE)
    return ledger.close(launch.launcher, count)


class Beit3Import:
    """A command's flags on their way into the ledger."""

    def __init__(self, ledger: MappingLedger, launch: Launch, processes: int, examples: int):
        self.ledger, self.launch, self.processes, self.examples = ledger, launch, processes, examples
        self.evaluates = ledger.switch("--eval")

    def take(self) -> None:
        ledger = self.ledger
        ledger.recipe("family", "beit3")
        self.take_model()
        self.take_data()
        if self.evaluates:
            self.take_published_training()
        else:
            self.take_training()
        self.take_circumstances()

    def take_published_training(self) -> None:
        """A recipe trains; beside a command that does not stands the published training."""
        name = f"beit3-{self.size}-vqav2"
        published = parse_yaml((BUILTIN / f"{name}.yaml").read_text(), name)
        self.ledger.recipe("train", published["train"])
        self.ledger.beside("--eval", evaluates_only=True)
        reason = f"the command only evaluates, as `collotype evaluate WEIGHTS --suite vqav2` does; here is {name}'s"
        self.ledger.leave("train", reason, NOT_GIVEN)

    def take_training(self) -> None:
        ledger = self.ledger
        self.take_steps()
        ledger.recipe("train.seed", ledger.whole("--seed", 0), "--seed")
        ledger.recipe("train.precision", "fp16", "--enable_deepspeed")
        if ledger.switch("--checkpoint_activations"):
            ledger.recipe("train.gradient_checkpointing", True, "--checkpoint_activations")
        self.take_optimizer()
        if ledger.given.get("--clip_grad") is not None:
            ledger.recipe("train.clip_grad_norm", ledger.number("--clip_grad", 1.0), "--clip_grad")
        if ledger.switch("--model_ema"):
            decay = ledger.number("--model_ema_decay", 0.9999)
            ledger.recipe("train.ema_decay", decay, "--model_ema", "--model_ema_decay")
        ledger.recipe("train.workers", ledger.whole("--num_workers", 10), "--num_workers")

    def take_model(self) -> None:
        ledger = self.ledger
        name = ledger.text("--model", "beit_base_patch16_224") or ""
        found = re.match(r"beit3_(base|large)_patch16_(\d{2,4})$", name)
        if not found:
            raise UserError(f"The command's --model is {shown(name)}; give a name such as beit3_base_patch16_480.")
        self.size = found[1]
        weights = ledger.text("--finetune")
        if weights:
            ledger.recipe("model.weights", weights, "--finetune", "--model")
            ledger.beside(weights=weights)
        else:
            ledger.recipe("model.size", found[1], "--model")
        if spm := ledger.text("--sentencepiece_model"):
            ledger.recipe("model.tokenizer", spm, "--sentencepiece_model")
        ledger.recipe("model.image_size", int(found[2]), "--model")
        if ledger.given.get("--input_size") is not None:
            if ledger.whole("--input_size", 224) == int(found[2]):
                ledger.account("model.image_size", ("--input_size",))
            else:
                ledger.leave("--input_size", f"the model's name says {found[2]}, and only images of that size go in")
        ledger.recipe("model.drop_path", ledger.number("--drop_path", 0.1), "--drop_path")
        headless = weights is not None and "vqa" not in weights.rpartition("/")[2].lower()
        if headless and self.evaluates:
            ledger.beside(random_head=True)
        elif headless:
            ledger.recipe("model.new_head", True)

    def take_data(self) -> None:
        ledger = self.ledger
        path = ledger.text("--data_path")
        if path is None:
            raise UserError("The command has no --data_path; add the folder of VQAv2's files.")
        ledger.recipe("data.train", {"source": "vqav2", "path": path}, "--data_path")
        if not self.evaluates:
            operations = 2 if ledger.switch("--randaug") else 0
            ledger.recipe("data.augmentation.operations", operations, "--randaug")
        split = "test" if self.evaluates else "val"
        ledger.recipe("evaluate", [{"suite": "vqav2", "path": path, "split": split}], "--eval", "--dist_eval")
        ledger.beside(dataset=path)

    def take_steps(self) -> None:
        ledger = self.ledger
        per_process = ledger.count("--batch_size", 64)
        batch = per_process * self.processes * ledger.count("--update_freq", 1)
        ledger.recipe("train.batch", batch, "--batch_size", "--update_freq")
        ledger.recipe("train.micro_batch", "auto")
        self.steps_per_epoch = max(1, self.examples // batch)
        epochs = ledger.count("--epochs", 20)
        steps = self.steps_per_epoch * epochs
        ledger.recipe("train.steps", steps, "--epochs")
        ledger.beside(epochs=epochs)
        ledger.beside(examples=self.examples)
        saved = max(1, ledger.whole("--save_ckpt_freq", 5)) * self.steps_per_epoch
        if max(steps, saved) > LARGEST:
            raise UserError(f"The command asks for {steps:,} steps; lower --epochs or --save_ckpt_freq.")
        ledger.recipe("train.checkpoint_every", saved, "--save_ckpt_freq")

    def take_optimizer(self) -> None:
        ledger = self.ledger
        betas = ledger.given.get("--opt_betas") or ["0.9", "0.999"]
        if not isinstance(betas, list) or len(betas) != 2:
            raise UserError(f"--opt_betas is {shown(betas)}; it must be two numbers.")
        pair = MappingLedger(ledger.tool, dict(zip(("--opt_betas", "--opt_betas 2"), betas, strict=True)))
        ledger.recipe("train.optimizer.beta1", pair.number("--opt_betas", 0.9), "--opt_betas")
        ledger.recipe("train.optimizer.beta2", pair.number("--opt_betas 2", 0.999), "--opt_betas")
        for key, flag, default in (
            ("lr", "--lr", 5e-4),
            ("eps", "--opt_eps", 1e-8),
            ("weight_decay", "--weight_decay", 0.05),
        ):
            ledger.recipe(f"train.optimizer.{key}", ledger.number(flag, default), flag)
        name = ledger.text("--opt", "adamw") or "adamw"
        ledger.beside("--opt", optimizer=name)
        if name != "adamw":
            ledger.assume("--opt", "there is adamw; it is taken", name)
        decay = ledger.number("--layer_decay", 0.9)
        ledger.recipe("train.optimizer.layer_decay", decay, "--layer_decay")
        head = ledger.number("--task_head_lr_weight", 0.0)
        if decay >= 1 and head > 1:
            ledger.recipe("train.optimizer.head_lr_multiplier", head, "--task_head_lr_weight")
        elif ledger.given.get("--task_head_lr_weight") is not None:
            ledger.leave("--task_head_lr_weight", "the script ignores it unless layer_decay is 1 and it is above 1")
        ledger.recipe("train.schedule.name", "cosine")
        ledger.recipe("train.schedule.final_lr", ledger.number("--min_lr", 1e-6), "--min_lr")
        warmup = ledger.whole("--warmup_steps", -1)
        if warmup < 1:
            warmup = round(ledger.number("--warmup_epochs", 5) * self.steps_per_epoch)
        ledger.recipe("train.schedule.warmup_steps", warmup, "--warmup_steps", "--warmup_epochs")

    def take_circumstances(self) -> None:
        ledger = self.ledger
        several, shared = self.processes > 1, ledger.switch("--dist_eval")
        ledger.beside("--dist_eval", evaluation_repeats=several and shared and self.evaluates)
        if not self.evaluates:
            ledger.beside(evaluation_drops=True)
            ledger.beside(evaluation_augmented=True)
        by_mpi = ledger.switch("--dist_on_itp")
        ledger.beside("--dist_on_itp", process_group=process_group(self.launch, several, by_mpi))
        ledger.beside("--auto_resume", "--no_auto_resume", stale_checkpoint=not ledger.switch("--no_auto_resume"))
        ledger.beside(seed_given=ledger.given.get("--seed") is not None)
        ledger.beside("--num_workers", workers=ledger.whole("--num_workers", 10))
        ledger.beside(devices=self.processes)
        ledger.beside(seeded_initialisation=True)


def process_group(launch: Launch, several: bool, by_mpi: bool) -> ProcessGroup:
    """What the script finds where it waits for the others."""
    if launch.launcher == "torch.distributed.launch":
        asked = any(name.replace("_", "-").endswith("--use-env") for name in launch.flags)
        return "initialised" if asked else "refused"
    if launch.launcher == "srun":
        return "incomplete"
    started = launch.launcher in ("torchrun", "accelerate", "deepspeed") or (several and by_mpi)
    return "initialised" if started else "missing"
