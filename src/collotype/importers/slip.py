"""SLIP's `main.py` and its derivative LaCLIP as a CLIP recipe.

(main.py, losses.py and utils.py of facebookresearch/SLIP.)
"""

import re

from collotype.importers.arguments import Takes, by_flag, parse_arguments, tell_unknown
from collotype.importers.imported import Imported
from collotype.importers.launch import Launch, account_for_launch, device_named
from collotype.importers.mapping import LARGEST, MappingLedger, shown, slug
from collotype.runtime.errors import UserError

MODEL = re.compile(r"(CLIP|LACLIP|SLIP|SIMCLR)_VIT([SBL])(\d+)")
EXAMPLES = {"cc3m": 2_905_954, "yfcc15m": 14_620_000}
"""About; a copy has what is left of it."""
ONE = (
    "dataset root metadata output-dir model epochs warmup-epochs start-epoch batch-size lr lr-start lr-end update-freq "
    "wd eps eval-freq workers resume print-freq world-size rank local_rank dist-url dist-backend seed gpu ssl-mlp-dim "
    "ssl-emb-dim ssl-scale ssl-temp augcaption aug-text"
)
FLAGS: dict[str, Takes] = by_flag((ONE, "one"), ("disable-amp evaluate wandb", "none"), ("betas", "many"))
REASONS = by_flag(
    ("root metadata", "images and captions are listed in SLIP's own format (.npy, .pkl); write shards"),
    ("output-dir print-freq wandb resume start-epoch", "said to the command"),
    ("lr-start", "the warm-up starts at zero"),
    ("world-size rank local_rank dist-url dist-backend gpu", "of the machine"),
)


def is_slip(launch: Launch) -> bool:
    named = parse_arguments(launch.arguments, FLAGS).get("--model")
    return launch.program.endswith(".py") and isinstance(named, str) and MODEL.fullmatch(named) is not None


def import_command(launch: Launch, context: str, name: str, processes: int | None, examples: int | None) -> Imported:
    """
    Raises:
        UserError: it trains what there is not here, or a flag has an impossible value.
    """
    ledger = MappingLedger("slip", dict(parse_arguments(launch.arguments, FLAGS)) | launch.flags)
    kind, size, patch = MODEL.findall(ledger.text("--model") or "")[0]
    if not kind.endswith("CLIP") or size != "B":
        raise UserError(f"--model is {shown(ledger.text('--model'))}; of SLIP's models, only CLIP_VITB16 is supported.")
    count = launch.shared_by(processes)
    ledger.recipe("family", "clip")
    ledger.recipe("model", {"size": f"ViT-B-{patch}", "activation": "quick_gelu"}, "--model")
    ledger.recipe("data.train", {"source": "shards", "path": ledger.text("--dataset", "yfcc15m")}, "--dataset")
    ledger.recipe("data.augmentation", {"scale": [0.5, 1.0]})
    ledger.recipe("negatives", {"scope": "global"})
    take_training(ledger, count, examples)
    ledger.recipe("evaluate", [])
    ledger.beside(gather_with_grad=False)
    ledger.beside(negatives_per_query=ledger.count("--batch-size", 64) * count - 1)
    if ledger.count("--update-freq", 1) > 1:
        ledger.beside(negatives_scope="process")
    ledger.beside(devices=count)
    ledger.recipe("name", slug(name))
    if device := device_named(context):
        ledger.beside(device=device)
    ledger.assume(
        "--model (towers)",
        "there the images' tower is timm's ViT with GELU and without a norm before its blocks, the captions' has "
        "QuickGELU; here both are CLIP's own",
        ledger.text("--model"),
    )
    account_for_launch(ledger, launch, processes)
    tell_unknown(ledger, FLAGS, "SLIP")
    ledger.leave_rest(REASONS, "nothing here corresponds to it")
    return ledger.close(launch.launcher, count)


def take_training(ledger: MappingLedger, processes: int, examples: int | None) -> None:
    share, accumulation = ledger.count("--batch-size", 64), ledger.count("--update-freq", 1)
    batch = share * processes * accumulation
    size = examples or EXAMPLES.get(ledger.text("--dataset", "yfcc15m") or "")
    if size is None:
        raise UserError(
            f"The number of examples in {shown(ledger.given['--dataset'])} is unknown; give it with --examples."
        )
    per_epoch = max(1, size // (share * processes) // accumulation)
    epochs, warmup = ledger.count("--epochs", 25), ledger.number("--warmup-epochs", 1)
    if per_epoch * epochs > LARGEST:
        raise UserError(f"The command asks for {per_epoch * epochs:,} steps; lower --epochs.")
    ledger.recipe("train.batch", batch, "--batch-size", "--update-freq")
    ledger.recipe("train.micro_batch", "auto")
    ledger.recipe("train.steps", per_epoch * epochs, "--epochs")
    ledger.recipe("train.seed", ledger.whole("--seed", 0), "--seed")
    ledger.recipe("train.precision", "fp32" if ledger.switch("--disable-amp") else "fp16", "--disable-amp")
    betas = ledger.given.get("--betas") or ["0.9", "0.98"]
    if not isinstance(betas, list) or len(betas) != 2:
        raise UserError(f"--betas is {shown(betas)}; it must be two numbers.")
    pair = MappingLedger("slip", dict(zip(("--beta1", "--beta2"), betas, strict=True)))
    for key, value, flag in (
        ("lr", ledger.number("--lr", 3e-3), "--lr"),
        ("beta1", pair.number("--beta1", 0.9), "--betas"),
        ("beta2", pair.number("--beta2", 0.98), "--betas"),
        ("eps", ledger.number("--eps", 1e-8), "--eps"),
        ("weight_decay", ledger.number("--wd", 0.1), "--wd"),
    ):
        ledger.recipe(f"train.optimizer.{key}", value, flag)
    ledger.recipe("train.schedule.name", "cosine")
    ledger.recipe("train.schedule.final_lr", ledger.number("--lr-end", 1e-5), "--lr-end")
    ledger.recipe("train.schedule.warmup_steps", round(warmup * per_epoch), "--warmup-epochs")
    ledger.recipe("train.workers", ledger.whole("--workers", 10), "--workers")
    ledger.beside(workers=ledger.whole("--workers", 10))
    ledger.beside(epochs=epochs)
    ledger.beside(examples=size)
    if examples is None:
        ledger.assume("examples", f"epochs are computed for {size:,} examples; give --examples, or set train.steps")
