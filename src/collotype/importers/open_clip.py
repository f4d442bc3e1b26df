"""open_clip's training command as a recipe.

(src/open_clip_train/params.py, data.py and train.py of 4.2.0.dev0; defaults of 2.x and 3.x where they differ.)
"""

import math
import re
from typing import Any

from collotype.importers.arguments import parse_arguments, tell_unknown
from collotype.importers.imported import Imported
from collotype.importers.launch import Launch, account_for_launch, device_named
from collotype.importers.mapping import LARGEST, MappingLedger, shown, slug
from collotype.importers.open_clip_data import take_data
from collotype.importers.open_clip_flags import CHANGING, FLAGS, OTHERWISE, REASONS
from collotype.runtime.errors import UserError
from collotype.runtime.shards.names import is_shards

MODULES = ("open_clip_train.main", "open_clip_train.legacy_main", "training.main")
CC3M_EXAMPLES = 2_905_954

ONE_EACH = "early versions started one process per GPU; one is assumed: give --processes"
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
SIZES = ("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B-32", "ViT-B-16", "ViT-L-14")
"""Models that have the same name here."""


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
    ledger = MappingLedger("open_clip", dict(parse_arguments(launch.arguments, FLAGS, positional=False)) | launch.flags)
    count = launch.shared_by(processes)
    OpenClipImport(ledger, launch, count, examples).take()
    if launch.launcher == "python" and launch.tail == "training.main" and not processes:
        ledger.assume("processes", ONE_EACH)
    ledger.recipe("name", slug(str(ledger.given.get("--name") or name)), "--name")
    if device := device_named(context):
        ledger.beside(device=device)
    account_for_launch(ledger, launch, processes)
    tell_unknown(ledger, FLAGS, "open_clip")
    ledger.leave_rest(REASONS, OTHERWISE, CHANGING)
    return ledger.close(launch.launcher, count)


class OpenClipImport:
    """A command's flags on their way into the ledger."""

    def __init__(self, ledger: MappingLedger, launch: Launch, processes: int, examples: int | None):
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
        take_data(ledger, self.launch)
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
        """The named model, or weights of it: of these the file tells the shape, and the name what no file tells."""
        ledger = self.ledger
        schema, _, path = self.model.partition(":")
        name = self.model if path else self.model.replace("/", "-")
        weights = ledger.text("--pretrained")
        if schema in ("hf-hub", "local-dir") and path:
            weights = weights or path
        size = re.sub(r"(?i)-quickgelu$", "", name)
        if not path:
            quick = size != name or ledger.switch("--force-quick-gelu") or (weights or "").lower() == "openai"
            ledger.recipe("model.activation", "quick_gelu" if quick else "gelu", "--force-quick-gelu", "--model")
        elif ledger.switch("--force-quick-gelu"):
            ledger.recipe("model.activation", "quick_gelu", "--force-quick-gelu")
        if weights:
            self.take_weights(weights, None if path else size)
        else:
            ledger.recipe("model.size", size, "--model")
        if size not in SIZES and not path:
            ledger.assume("model", f"{shown(name)} is not supported; the models are {', '.join(SIZES)}", name)
        if sides := ledger.given.get("--force-image-size"):
            if len(set(sides)) > 1 or not re.fullmatch(r"[1-9]\d{0,4}", sides[0]):
                raise UserError(f"--force-image-size is {shown(' '.join(sides))}; only square images are supported.")
            ledger.recipe("model.image_size", int(sides[0]), "--force-image-size")
        self.take_batch_norm(name)

    def take_weights(self, weights: str, size: str | None) -> None:
        ledger = self.ledger
        ledger.recipe("model.weights", weights, "--pretrained", "--model")
        ledger.beside(weights=weights)
        if size:
            ledger.beside(size=size)
        if not re.search(r"[/.]", weights):
            tag = f"{shown(weights)} is a tag of open_clip, which is not looked up; write its file or repository"
            ledger.assume("model.weights", tag, weights)

    def take_batch_norm(self, name: str) -> None:
        ledger = self.ledger
        if name.upper().startswith("RN"):
            synchronised = ledger.switch("--use-bn-sync")
            if not synchronised:
                ledger.recipe("model.batch_norm_group", self.per_process)
            ledger.beside("--use-bn-sync", batch_norm="synchronised" if synchronised else "process")

    def take_steps(self) -> None:
        """Steps as open_clip counts them: with shards, its loader's workers round them up."""
        ledger = self.ledger
        stated = ledger.whole("--train-num-samples", 0)
        examples = self.examples or stated or CC3M_EXAMPLES
        if not (self.examples or stated):
            counted = f"epochs are computed for CC3M's {CC3M_EXAMPLES:,}; give --examples, or set train.steps"
            ledger.assume("examples", counted)
        share = examples / (self.per_process * self.processes)
        sources = ledger.values["data"]["train"]
        if (sources[0] if isinstance(sources, list) else sources)["source"] == "shards":
            workers = max(1, self.workers)
            batches = math.ceil(math.ceil(share) / workers) * workers
        else:
            # its sampler gives each process an equal share, rounded up
            batches = math.ceil(examples / self.processes) // self.per_process
        self.steps_per_epoch = max(1, batches // self.accumulation)
        epochs = ledger.count("--epochs", 32)
        steps = self.steps_per_epoch * epochs
        if steps > LARGEST:
            raise UserError(f"The command asks for {steps:,} steps; lower --epochs or --train-num-samples.")
        ledger.recipe("train.steps", steps, "--epochs", "--train-num-samples")
        ledger.beside(examples=examples)
        ledger.beside(epochs=epochs)
        every = max(1, ledger.whole("--save-frequency", 1)) * self.steps_per_epoch
        ledger.recipe("train.checkpoint_every", every, "--save-frequency")

    def take_precision(self) -> None:
        ledger = self.ledger
        named = ledger.text("--precision")
        # the default became bf16 between 3.3 and 4.2, without a word
        name = named or ("amp" if self.launch.tail == "training.main" else "amp_bf16")
        if name not in PRECISIONS:
            raise UserError(f"--precision is {shown(name)}; the supported values are {', '.join(PRECISIONS)}.")
        ledger.recipe("train.precision", PRECISIONS[name], "--precision")
        ledger.beside(precision_given=named is not None)
        ledger.beside(loss_precision=PRECISIONS[name])
        if name.startswith("pure") or name in ("fp16", "bf16"):
            ledger.beside(weights_precision=PRECISIONS[name])

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
        ledger.beside("--opt", optimizer=name)
        if name != "adamw":
            ledger.assume("--opt", f"{shown(name)} is not supported; adamw is used", name)
        schedule = ledger.text("--lr-scheduler", "cosine") or "cosine"
        constant = schedule.startswith("const") or ledger.switch("--skip-scheduler")
        if schedule not in ("cosine", "const"):
            taken = "constant" if constant else "cosine"
            ledger.assume("--lr-scheduler", f"{shown(schedule)} is not supported; {taken} is used", schedule)
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
        if (path := ledger.text("--val-data")) and (path.endswith((".csv", ".tsv")) or is_shards(path)):
            entries.append({"suite": "captions", "path": path})
            ledger.account("evaluate", ("--val-data",))
        elif path:
            ledger.leave("--val-data", "the suite `captions` reads tables and shards; write the pairs as one")
        ledger.recipe("evaluate", entries)

    def take_circumstances(self) -> None:
        ledger = self.ledger
        ledger.beside("--local-loss", local_loss=ledger.switch("--local-loss"))
        ledger.beside("--gather-with-grad", gather_with_grad=ledger.switch("--gather-with-grad"))
        ledger.beside(negatives_scope="global")
        ledger.beside(negatives_per_query=self.batch - 1)
        if self.accumulation > 1:
            ledger.beside(scale_gradient_factor=self.accumulation)
        ledger.beside(workers=self.workers)
        ledger.beside(seed_given=ledger.given.get("--seed") is not None)
        ledger.beside(seeded_initialisation=True)
        ledger.beside(devices=self.processes)
        if self.processes > 1:
            ledger.beside(process_group="initialised")
