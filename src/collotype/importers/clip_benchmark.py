"""`clip_benchmark eval` on ImageNet, zero-shot. (cli.py and datasets/builder.py of CLIP_benchmark 1.6.)"""

from collotype.importers.launch import Launch
from collotype.importers.mapping import MappingLedger, shown
from collotype.importers.open_clip import OpenClipImport
from collotype.importers.stand_ins import listed, take_training
from collotype.runtime.errors import UserError

SETS = {"imagenet1k": ("val", {}), "imagenetv2": ("ImageNetV2-matched-frequency-format-val", {"name": "v2"})}
"""Where their images lie below the root, and what distinguishes them here."""


def take_clip_benchmark(ledger: MappingLedger, text: str) -> None:
    """
    Raises:
        UserError: it measures several models, or one that is not open_clip's, or a set that no suite reads.
    """
    asked = listed(ledger, "--dataset") or ["cifar10"]
    if strange := [one for one in asked if one not in SETS]:
        raise UserError(
            f"clip_benchmark's --dataset is {shown(' '.join(strange))}; only {' and '.join(SETS)} can be imported. "
            "Evaluate other data as folders or tables: collotype evaluate WEIGHTS --suite labelled (captions) --path …."
        )
    for flag, own in (("--task", ("auto", "zeroshot_classification")), ("--model_type", ("open_clip",))):
        value = ledger.text(flag, own[0]) or ""
        if value not in own:
            raise UserError(f"clip_benchmark's {flag} is {shown(value)}; only {own[-1]} is supported.")
        ledger.account("evaluate", (flag,))
    if (languages := listed(ledger, "--language") or ["en"]) != ["en"]:
        raise UserError(
            f"clip_benchmark's --language is {shown(' '.join(languages))}; only English class names are supported."
        )
    ledger.account("evaluate", ("--language",))
    take_weights(ledger)
    root = ledger.text("--dataset_root", "root") or "root"
    measured = [
        {"suite": "imagenet", "path": f"{placed(root, one)}/{SETS[one][0]}", **SETS[one][1]}
        for one in dict.fromkeys(asked)
    ]
    ledger.recipe("evaluate", measured, "--dataset", "--dataset_root", "--split")
    for flag in ("--custom_classname_file", "--custom_template_file", "--load_clfs"):
        if ledger.given.get(flag):
            ledger.assume(
                flag, "class names and sentences are CLIP's own here; `names` takes a file", ledger.given[flag]
            )
    ledger.beside("--no_amp", evaluation_precision="fp32" if ledger.switch("--no_amp") else "fp16")
    ledger.leave("--batch_size", "the batch size changes no score here", ledger.given.get("--batch_size", "64"))
    take_training(ledger, "clip-vit-b-32", ("data", "negatives", "train"))


def take_weights(ledger: MappingLedger) -> None:
    """`--model` and `--pretrained`, or both in one word."""
    given = ledger.given.get("--pretrained_model")
    pairs = given if isinstance(given, list) else [given] if given else []
    if len(pairs) > 1 or (pairs and "," not in pairs[0]):
        raise UserError(
            f"clip_benchmark's --pretrained_model is {shown(' '.join(pairs))}; give one model as MODEL,WEIGHTS."
        )
    if pairs:
        ledger.given["--model"], _, ledger.given["--pretrained"] = pairs[0].partition(",")
    ledger.given.setdefault("--model", "ViT-B-32-quickgelu")
    ledger.given.setdefault("--pretrained", "laion400m_e32")
    ledger.recipe("family", "clip")
    OpenClipImport(ledger, Launch("python", "clip_benchmark", (), {}), 1, None).take_model()
    ledger.account("model.weights", ("--pretrained_model",))


def placed(root: str, dataset: str) -> str:
    return root.replace("{dataset}", dataset).replace("{dataset_cleaned}", dataset).rstrip("/")
