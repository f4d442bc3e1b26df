"""open_clip's command without --train-data, which only evaluates."""

from collotype.importers.arguments import parse_arguments
from collotype.importers.imported import Imported
from collotype.importers.launch import Launch, account_for_launch, device_named
from collotype.importers.mapping import MappingLedger, slug
from collotype.importers.open_clip import PRECISIONS, OpenClipImport
from collotype.importers.open_clip_flags import FLAGS, OTHERWISE, REASONS
from collotype.importers.stand_ins import take_training
from collotype.runtime.errors import UserError

SETS = ("--imagenet-val", "--imagenet-v2", "--val-data")


def only_evaluates(launch: Launch) -> bool:
    given = parse_arguments(launch.arguments, FLAGS)
    return "--train-data" not in given and any(name in given for name in SETS)


def import_evaluation(launch: Launch, context: str, name: str) -> Imported:
    """
    Raises:
        UserError: it evaluates random weights, or a set that no suite reads.
    """
    given = dict(parse_arguments(launch.arguments, FLAGS))
    if "--pretrained" not in given and "--resume" in given:
        given["--pretrained"] = given["--resume"]
    if "--pretrained" not in given and ":" not in str(given.get("--model", "")):
        raise UserError("The command evaluates random weights: it has neither --pretrained nor --resume; add one.")
    ledger = MappingLedger("open_clip", given | launch.flags)
    command = OpenClipImport(ledger, launch, 1, None)
    command.steps_per_epoch = 0
    ledger.recipe("family", "clip")
    command.take_model()
    ledger.account("model.weights", ("--resume",))
    command.take_evaluation()
    if not ledger.values["evaluate"]:
        raise UserError(
            "No data that the command evaluates on is supported; supported are tables and ImageNet's folders."
        )
    precision = ledger.text("--precision", "amp_bf16") or "amp_bf16"
    ledger.beside("--precision", evaluation_precision=PRECISIONS.get(precision, "fp32"))
    ledger.beside(evaluates_only=True)
    take_training(ledger, "clip-vit-b-32", ("data", "negatives", "train"))
    ledger.recipe("name", slug(ledger.text("--name") or name), "--name")
    if device := device_named(context):
        ledger.beside(device=device)
    account_for_launch(ledger, launch)
    ledger.leave_rest(REASONS, "the command only evaluates" if "--batch-size" in given else OTHERWISE)
    return ledger.close(launch.launcher, launch.shared_by(None))
