"""Evaluation commands: vidore-benchmark, mteb (command line and Python), lmms-eval, CLIP_benchmark. Nothing is run."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from collotype.importers.arguments import Takes, parse_arguments, tell_unknown
from collotype.importers.evaluation_python import asked_of_mteb, without_heredocs
from collotype.importers.evaluation_tools import CLIP_BENCHMARK, LMMS, MTEB, TAKE, VIDORE
from collotype.importers.imported import Imported
from collotype.importers.launch import Launch, account_for_launch, device_named, launch_of
from collotype.importers.mapping import MappingLedger, slug
from collotype.importers.shell import ShellCommand, commands_of
from collotype.runtime.errors import UserError

ONE: dict[str, Takes] = dict.fromkeys(
    (
        "--model-class --model-name --dataset-name --collection-name --dataset-format --split --batch-query "
        "--batch-passage --batch-score --num-workers --output-dir --model --model_args --batch_size --batch-size "
        "--output_path --output-folder --output_folder --device --model-revision --model_revision --verbosity --limit "
        "--num_fewshot --log_samples_suffix --gen_kwargs --num-proc --num_proc --use-token-pooling --pool-factor "
        "--prediction-folder --overwrite-strategy "
        "--dataset_root --pretrained --task --num_workers --fewshot_k --fewshot_epochs --fewshot_lr --seed "
        "--model_cache_dir --feature_root --annotation_file --custom_classname_file --custom_template_file --output "
        "--save_clf --model_type --wds_cache_dir"
    ).split(),
    "one",
)
MANY: dict[str, Takes] = dict.fromkeys(
    (
        "--tasks --benchmarks --languages --eval-splits --eval_splits --task-types --categories --dataset "
        "--pretrained_model --language --recall_k --load_clfs"
    ).split(),
    "many",
)
SHORT = {"-m": "--model", "-t": "--tasks", "-b": "--benchmarks", "-l": "--languages", "-v": "--verbosity"}
SWITCHES: dict[str, Takes] = dict.fromkeys(
    "--overwrite --co2-tracker --no-co2-tracker --save_predictions --log_samples --log --no_amp --quiet --skip_load "
    "--skip_existing".split(),
    "none",
)
FLAGS = ONE | MANY | SWITCHES
REASONS = {
    **dict.fromkeys(
        ("--output-dir", "--output-folder", "--output_folder", "--output_path", "--output"),
        "--out says where results go",
    ),
    **dict.fromkeys(
        (
            "--device",
            "--num-workers",
            "--num_workers",
            "--num-proc",
            "--num_proc",
            "--model_cache_dir",
            "--wds_cache_dir",
        ),
        "a matter of the machine",
    ),
    **dict.fromkeys(
        ("--dataset-format", "--log", "-v", "--verbosity", "--quiet", "--skip_existing", "--seed", "--recall_k"),
        "recognised, or of no effect here",
    ),
}
OTHERWISE = "nothing here corresponds to it"
PROGRAMS = {
    "evaluate-retriever": VIDORE,
    "vidore-benchmark": VIDORE,
    "mteb": MTEB,
    "lmms_eval": LMMS,
    "lmms-eval": LMMS,
    "clip_benchmark": CLIP_BENCHMARK,
    "clip_benchmark.cli": CLIP_BENCHMARK,
}


def import_evaluation(path: Path | None, text: str) -> Imported | None:
    """The one evaluation of a text; none if it has none, so that it may be a training command.

    Raises:
        UserError: there are several, or one names what is not known here.
    """
    found = list(evaluations_in(path, text))
    if not found:
        return None
    tool, given, launch = found[0]
    if any(one[:2] != found[0][:2] for one in found):
        raise UserError(
            f"The text contains {len(found)} evaluations ({', '.join(one[0] for one in found[:4])}); give one of them."
        )
    ledger = MappingLedger(tool, given | (launch.flags if launch else {}))
    TAKE[tool](ledger, text)
    ledger.beside(evaluates_only=True)
    if device := device_named(text):
        ledger.beside(device=device)
    ledger.recipe("name", slug(path.stem if path else str(ledger.settings["weights"]).rpartition("/")[2]))
    account_for_launch(ledger, launch)
    tell_unknown(ledger, FLAGS, tool)
    ledger.leave_rest(REASONS, OTHERWISE)
    return ledger.close(launch.launcher, launch.shared_by(None)) if launch else ledger.close("python", 1)


Found = tuple[str, dict[str, Any], Launch | None]
"""A tool, what it is given, and how it is started, where that is known."""


def evaluations_in(path: Path | None, text: str) -> Iterator[Found]:
    """Those of every command and every piece of Python that evaluates."""
    if path and path.suffix == ".py":
        yield from python_in(text)
        return
    if not re.search(r"mteb|lmms[_-]eval|evaluate-retriever|clip_benchmark", text):
        return
    script, pieces = without_heredocs(text)
    try:
        commands = commands_of(script, path.parent if path else None)
    except UserError:
        # no bash: a program, or prose around a command
        commands = []
    for command in commands:
        pieces += [after for word, after in zip(command.words, command.words[1:], strict=False) if word == "-c"]
        if found := of_command(command):
            yield found
    for piece in pieces:
        yield from python_in(piece)
    if not commands or text.lstrip().startswith(("import ", "from ")):
        yield from python_in(text)


def of_command(command: ShellCommand) -> Found | None:
    words = command.words
    for place, word in enumerate(words):
        tool, after = PROGRAMS.get(PurePosixPath(word).name), words[place + 1 :]
        if tool is None or "install" in words[:place] or not after:
            continue
        if tool == MTEB and after[0] != "run" and after[0] not in ("-m", "--model", "-t", "--tasks"):
            continue
        if tool == CLIP_BENCHMARK and after[0] != "eval":
            continue
        if tool == VIDORE and "evaluate-retriever" not in words:
            continue
        rest = after[1:] if after[0] in ("run", "evaluate-retriever", "eval") else after
        given: dict[str, Any] = dict(parse_arguments([SHORT.get(one, one) for one in rest], FLAGS))
        launch = launch_of(command)
        return tool, given if launch else given | command.environment, launch
    return None


def python_in(text: str) -> Iterator[Found]:
    for given in asked_of_mteb(text):
        yield MTEB, given, None
