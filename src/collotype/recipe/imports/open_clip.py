"""open_clip's training command as a recipe.

(src/open_clip_train/params.py, data.py and train.py of 4.2.0.dev0; defaults of 2.x and 3.x where they differ.)
"""

import ast
import math
import re
from typing import Any

from collotype.recipe.imports.arguments import Takes, parse_arguments
from collotype.recipe.imports.imported import Imported
from collotype.recipe.imports.launch import Launch, account_for_launch, device_named
from collotype.recipe.imports.ledger import LARGEST, Ledger, shown, slug
from collotype.runtime.errors import UserError

MODULES = ("open_clip_train.main", "open_clip_train.legacy_main", "training.main")
CC3M_EXAMPLES = 2_905_954

ONE = (
    "model pretrained batch-size workers epochs epochs-cooldown wd grad-clip-norm opt warmup lr beta1 beta2 eps "
    "momentum lr-scheduler lr-cooldown-end lr-cooldown-power precision accum-freq dataset-type train-data val-data "
    "train-num-samples val-num-samples train-data-upsampling-factors csv-img-key csv-caption-key csv-separator "
    "image-key text-key json-text-key max-image-pixels imagenet-val imagenet-v2 zeroshot-frequency val-frequency "
    "val-retrieval-chunk-size val-retrieval-precision save-frequency resume seed logs name report-to wandb-notes "
    "wandb-project-name log-every-n-steps log-metric-every-n-steps train-loss-ema-samples remote-sync "
    "remote-sync-frequency remote-sync-protocol lock-image-unlocked-groups lock-text-unlocked-layers distill-model "
    "distill-pretrained loss-dist-impl torchcompile-strategy torchcompile-backend torchcompile-mode fsdp-checkpoint "
    "dist-url dist-backend device cache-dir force-context-length force-patch-dropout text-layer-decay "
    "image-layer-decay audio-layer-decay image-interpolation image-resize-mode coca-caption-loss-weight coca-contrastive-loss-weight "
    "use-bnb-linear text-pad-multiple bucket-pool bucket-chunk bench-steps"
).split()
SWITCHES = (
    "dataset-resampled use-bn-sync skip-scheduler save-most-recent lock-image lock-image-freeze-bn-stats lock-text "
    "lock-text-freeze-layer-norm grad-checkpointing local-loss gather-with-grad force-quick-gelu force-custom-text "
    "torchscript trace torchcompile fsdp fsdp-no-reshard-after-forward fsdp-offload-cpu ddp-static-graph "
    "no-set-device-rank debug copy-codebase horovod log-local delete-previous-checkpoint pretrained-image siglip "
    "use-naflex force-naflex-vision length-bucketing synthetic-data"
).split()
MANY = "aug-cfg image-mean image-std force-image-size opt-kwargs opt-fallback-list wd-exclude".split()
FLAGS: dict[str, Takes] = {
    **dict.fromkeys((f"--{name}" for name in ONE), "one"),
    **dict.fromkeys((f"--{name}" for name in SWITCHES), "none"),
    **dict.fromkeys((f"--{name}" for name in MANY), "many"),
}

LIT = "towers are trained whole here"
LOGGING = "what a run writes is always the same (metrics.jsonl, report.html); trackers are named with --track"
MACHINE = "a matter of the machine, which changes no number here"
GENERATIVE = "CoCa, distillation and NaFlex have no counterpart"
REASONS: dict[str, str] = {
    f"--{name}": reason
    for names, reason in (
        (
            "lock-image lock-image-unlocked-groups lock-image-freeze-bn-stats lock-text lock-text-unlocked-layers "
            "lock-text-freeze-layer-norm",
            LIT,
        ),
        (
            "logs name report-to wandb-notes wandb-project-name log-every-n-steps log-metric-every-n-steps log-local "
            "debug copy-codebase remote-sync remote-sync-frequency remote-sync-protocol train-loss-ema-samples",
            LOGGING,
        ),
        (
            "dist-url dist-backend device ddp-static-graph no-set-device-rank horovod torchcompile "
            "torchcompile-strategy torchcompile-backend torchcompile-mode torchscript trace cache-dir loss-dist-impl length-bucketing "
            "bucket-pool bucket-chunk text-pad-multiple fsdp-no-reshard-after-forward fsdp-offload-cpu fsdp-checkpoint",
            MACHINE,
        ),
        (
            "distill-model distill-pretrained coca-caption-loss-weight coca-contrastive-loss-weight use-naflex "
            "force-naflex-vision",
            GENERATIVE,
        ),
        ("save-most-recent delete-previous-checkpoint", "train.keep_checkpoints says how many are kept"),
        ("resume", "a run goes on with --resume"),
        ("fsdp", "a CLIP's scale is a single number, which is not divided among processes"),
        (
            "val-num-samples val-frequency val-retrieval-chunk-size val-retrieval-precision",
            "it is counted and exact here",
        ),
        ("dataset-resampled", "here every example comes once an epoch"),
        ("train-data-upsampling-factors", "data.train may have a weight for each source: say it there"),
        (
            "image-mean image-std image-interpolation image-resize-mode max-image-pixels",
            "pictures are read as CLIP's are",
        ),
        ("epochs-cooldown lr-cooldown-end lr-cooldown-power", "there is no cooldown"),
        ("pretrained-image", "towers start together, from model.size or model.weights"),
    )
    for name in names.split()
}
OTHERWISE = "nothing here corresponds to it"

PRECISIONS = {
    "amp": "fp16",
    "amp_bf16": "bf16",
    "amp_bfloat16": "bf16",
    "fp16": "fp16",
    "bf16": "bf16",
    "pure_fp16": "fp16",
    "pure_bf16": "bf16",
    "fp32": "fp32",
}
AUGMENTATION = ("scale", "ratio", "color_jitter", "color_jitter_prob", "gray_scale_prob", "re_prob", "re_count")
SHARD_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")


def import_command(
    launch: Launch, context: str, name: str, processes: int | None = None, examples: int | None = None
) -> Imported:
    """The recipe of a training command.

    Args:
        context: the whole text, where a GPU may be named; name: of the recipe, where the command gives none.
        processes: on how many it runs, where the command does not say; examples: of the training data.

    Raises:
        UserError: a flag has no value or an impossible one.
    """
    ledger = Ledger("open_clip", dict(parse_arguments(launch.arguments, FLAGS)) | launch.flags)
    count = launch.processes or processes or 1
    Command(ledger, launch, count, examples).take()
    ledger.recipe("name", slug(ledger.text("--name") or name), "--name")
    if device := device_named(context):
        ledger.beside("device", device)
    account_for_launch(ledger, launch)
    ledger.leave_rest(REASONS, OTHERWISE)
    return ledger.close(launch.launcher, count)


class Command:
    """A command's flags on their way into the ledger."""

    def __init__(self, ledger: Ledger, launch: Launch, processes: int, examples: int | None):
        self.ledger, self.launch, self.processes, self.examples = ledger, launch, processes, examples
        self.per_process = ledger.count("--batch-size", 64)
        self.accumulation = ledger.count("--accum-freq", 1)
        self.batch = self.per_process * processes * self.accumulation
        self.workers = ledger.whole("--workers", 1 if launch.tail == "training.main" else 4)
        self.model = ledger.text("--model", "RN50") or "RN50"

    def take(self) -> None:
        ledger = self.ledger
        ledger.recipe("family", "clip")
        self.take_model()
        self.take_data()
        if ledger.switch("--siglip"):
            ledger.recipe("loss.name", "sigmoid", "--siglip")
        ledger.recipe("negatives", {"scope": "global"})
        ledger.recipe("train.batch", self.batch, "--batch-size", "--accum-freq")
        ledger.recipe("train.micro_batch", "auto")
        self.take_steps()
        ledger.recipe("train.seed", ledger.whole("--seed", 0), "--seed")
        self.take_precision()
        if ledger.switch("--grad-checkpointing"):
            ledger.recipe("train.gradient_checkpointing", True, "--grad-checkpointing")
        self.take_optimizer()
        if ledger.given.get("--grad-clip-norm") is not None:
            ledger.recipe("train.clip_grad_norm", ledger.number("--grad-clip-norm", 1.0), "--grad-clip-norm")
        ledger.recipe("train.workers", self.workers, "--workers")
        self.take_evaluation()
        self.take_circumstances()

    def take_model(self) -> None:
        ledger = self.ledger
        name, schema, path = self.model.rpartition(":")[2], *self.model.partition(":")[::2]
        weights = ledger.text("--pretrained")
        if schema in ("hf-hub", "local-dir") and path:
            weights = weights or path
        quick = name.lower().endswith("-quickgelu") or ledger.switch("--force-quick-gelu")
        ledger.recipe("model.activation", "quick_gelu" if quick else "gelu", "--force-quick-gelu")
        if weights:
            ledger.recipe("model.weights", weights, "--pretrained", "--model")
            ledger.beside("weights", weights)
            if not re.search(r"[/.]", weights):
                ledger.leave(
                    "--pretrained (tag)", "tags are not looked up; put a file or a repository at model.weights", weights
                )
        else:
            ledger.recipe("model.size", re.sub(r"(?i)-quickgelu$", "", name), "--model")
        size = ledger.given.get("--force-image-size")
        if size and not weights:
            if len(set(size)) > 1 or not re.fullmatch(r"\d{1,5}", size[0]):
                raise UserError(f"--force-image-size is {shown(' '.join(size))}; pictures are squares of whole pixels.")
            ledger.recipe("model.image_size", int(size[0]), "--force-image-size")
        if name.upper().startswith("RN"):
            synchronised = ledger.switch("--use-bn-sync")
            if not synchronised:
                ledger.recipe("model.batch_norm_group", self.per_process)
            ledger.beside("batch_norm", "synchronised" if synchronised else "process", "--use-bn-sync")

    def take_data(self) -> None:
        ledger = self.ledger
        path = ledger.text("--train-data")
        if path is None:
            raise UserError("The command has no --train-data: what it trains on; add it.")
        kind = ledger.text("--dataset-type", "auto") or "auto"
        table = kind == "csv" or (kind == "auto" and path.endswith((".csv", ".tsv")))
        if table:
            separator = ledger.text("--csv-separator", "\t") or "\t"
            source = {
                "source": "captions",
                "path": path,
                "image_column": ledger.text("--csv-img-key", "filepath"),
                "caption_column": ledger.text("--csv-caption-key", "title"),
                "separator": separator.replace("\\t", "\t"),
            }
            names = ("--csv-img-key", "--csv-caption-key", "--csv-separator")
        else:
            json_key = ledger.text("--json-text-key")
            caption = f"json:{json_key}" if json_key else ledger.text("--text-key", "txt")
            source = {"source": "shards", "path": path, **({"caption": caption} if caption != "txt" else {})}
            names = ("--json-text-key", "--text-key")
            if shards := shards_of(path):
                ledger.beside("shards", shards)
        ledger.recipe("data.train", source, "--train-data", "--dataset-type", *names)
        ledger.beside("dataset", path)
        ledger.beside("seeded_shuffle", False)
        self.take_augmentation()

    def take_augmentation(self) -> None:
        ledger = self.ledger
        chosen: dict[str, Any] = {"scale": [0.9, 1.0]}
        for word in ledger.given.get("--aug-cfg") or ():
            key, equals, text = word.partition("=")
            if not equals or key not in AUGMENTATION:
                ledger.leave(f"--aug-cfg {key}", "the keys of data.augmentation are the others", text or "not given")
                continue
            chosen[key] = augmentation_value(key, text)
        jitter = chosen.get("color_jitter")
        if isinstance(jitter, float):
            chosen["color_jitter"] = [jitter] * 3 + [0.0]
        ledger.recipe("data.augmentation", chosen, "--aug-cfg")

    def take_steps(self) -> None:
        """Steps as open_clip counts them: with shards, its loader's workers round them up."""
        ledger = self.ledger
        stated = ledger.whole("--train-num-samples", 0)
        examples = self.examples or stated or CC3M_EXAMPLES
        if not (self.examples or stated):
            ledger.leave(
                "examples",
                f"epochs are counted with {CC3M_EXAMPLES:,}, of CC3M; give --examples, or set train.steps",
                "not given",
            )
        share = examples / (self.per_process * self.processes)
        if ledger.values["data"]["train"]["source"] == "shards":
            workers = max(1, self.workers)
            batches = math.ceil(math.ceil(share) / workers) * workers
        else:
            batches = math.floor(share)
        self.steps_per_epoch = max(1, batches // self.accumulation)
        epochs = ledger.count("--epochs", 32)
        steps = self.steps_per_epoch * epochs
        if steps > LARGEST:
            raise UserError(f"The command asks for {steps:,} steps; lower --epochs or --train-num-samples.")
        ledger.recipe("train.steps", steps, "--epochs", "--train-num-samples")
        ledger.beside("examples", examples)
        ledger.beside("epochs", epochs)
        every = max(1, ledger.whole("--save-frequency", 1)) * self.steps_per_epoch
        ledger.recipe("train.checkpoint_every", every, "--save-frequency")

    def take_precision(self) -> None:
        ledger = self.ledger
        named = ledger.text("--precision")
        # the default became bf16 between 3.3 and 4.2, without a word
        name = named or ("amp" if self.launch.tail == "training.main" else "amp_bf16")
        if name not in PRECISIONS:
            raise UserError(f"--precision is {shown(name)}; known are {', '.join(PRECISIONS)}.")
        ledger.recipe("train.precision", PRECISIONS[name], "--precision")
        ledger.beside("precision_given", named is not None)
        ledger.beside("loss_precision", PRECISIONS[name])
        if name.startswith("pure") or name in ("fp16", "bf16"):
            ledger.beside("weights_precision", PRECISIONS[name])

    def take_optimizer(self) -> None:
        ledger = self.ledger
        vit = "vit" in self.model.lower()
        for key, flag, default in (
            ("lr", "--lr", 5e-4),
            ("beta1", "--beta1", 0.9),
            ("beta2", "--beta2", 0.98 if vit else 0.999),
            ("eps", "--eps", 1e-6 if vit else 1e-8),
            ("weight_decay", "--wd", 0.2),
        ):
            ledger.recipe(f"train.optimizer.{key}", ledger.number(flag, default), flag)
        name = ledger.text("--opt", "adamw") or "adamw"
        ledger.beside("optimizer", name, "--opt")
        if name != "adamw":
            ledger.leave("--opt", "there is adamw; it is taken")
        schedule = ledger.text("--lr-scheduler", "cosine") or "cosine"
        constant = schedule.startswith("const") or ledger.switch("--skip-scheduler")
        if schedule not in ("cosine", "const"):
            ledger.leave("--lr-scheduler", f"{'constant' if constant else 'cosine'} is taken")
        ledger.recipe("train.schedule.name", "constant" if constant else "cosine", "--lr-scheduler", "--skip-scheduler")
        warmup = 0 if ledger.switch("--skip-scheduler") else ledger.whole("--warmup", 10_000)
        ledger.recipe("train.schedule.warmup_steps", warmup, "--warmup")

    def take_evaluation(self) -> None:
        ledger = self.ledger
        every = ledger.whole("--zeroshot-frequency", 2) * self.steps_per_epoch
        entries: list[dict[str, Any]] = []
        for flag, extra in (("--imagenet-val", {}), ("--imagenet-v2", {"name": "v2"})):
            if path := ledger.text(flag):
                when = {"every_steps": every} if 0 < every <= LARGEST else {}
                entries.append({"suite": "imagenet", "path": path, **extra, **when})
                ledger.account("evaluate", (flag, "--zeroshot-frequency"))
        if (path := ledger.text("--val-data")) and path.endswith((".csv", ".tsv")):
            entries.append({"suite": "captions", "path": path})
            ledger.account("evaluate", ("--val-data",))
        elif path:
            ledger.leave("--val-data", "the suite `captions` reads tables; write the pairs as one")
        ledger.recipe("evaluate", entries)

    def take_circumstances(self) -> None:
        ledger = self.ledger
        for flag, key in (("--local-loss", "local_loss"), ("--gather-with-grad", "gather_with_grad")):
            ledger.beside(key, ledger.switch(flag), flag)
        ledger.beside("negatives_scope", "global")
        ledger.beside("negatives_per_query", self.batch - 1)
        if self.accumulation > 1:
            ledger.beside("scale_gradient_factor", self.accumulation)
        ledger.beside("workers", self.workers)
        ledger.beside("seed_given", ledger.given.get("--seed") is not None)
        ledger.beside("seeded_initialisation", True)
        ledger.beside("devices", self.launch.devices or self.processes if self.processes > 1 else 1)
        if self.processes > 1:
            ledger.beside("process_group", "initialised")


def shards_of(path: str) -> int | None:
    """How many tars a brace pattern means; none without one."""
    total = 0
    for source in path.split("::"):
        ranges = [int(last) - int(first) + 1 for first, last in SHARD_RANGE.findall(source)]
        if not ranges or min(ranges) < 1:
            return None
        total += math.prod(ranges)
    return total if total <= LARGEST else None


def augmentation_value(key: str, text: str) -> Any:
    """A value as open_clip reads it, by the grammar of Python's literals.

    Raises:
        UserError: it is no number and no row of numbers.
    """
    try:
        value = ast.literal_eval(text) if len(text) <= 200 else None
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        value = None
    row = list(value) if isinstance(value, tuple | list) else [value]
    if not row or not all(isinstance(one, int | float) and not isinstance(one, bool) and abs(one) < 1e6 for one in row):
        raise UserError(f"--aug-cfg {key} is {shown(text)}; it must be a number or several, as in scale=(0.4,1.0).")
    if key == "re_count":
        return int(row[0])
    return [float(one) for one in row] if isinstance(value, tuple | list) else float(row[0])
