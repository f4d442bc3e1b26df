"""Commands that only evaluate, as evaluations: vidore-benchmark, mteb (its command and its Python form), lmms-eval.

(vidore-benchmark 4 and 5, mteb 1.x and 2.26, lmms-eval 0.4.) Nothing is run: Python is read by its grammar alone.
"""

import ast
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from collotype.importers.arguments import Takes, Value, parse_arguments
from collotype.importers.colpali_names import GENERATIONS, engine_of, latest
from collotype.importers.evaluation_names import (
    CLASSES,
    COLLECTIONS,
    FLASH,
    FRAMED,
    KnownRetriever,
    datasets,
    entries,
    of_benchmark,
    of_task,
    retriever_named,
)
from collotype.importers.imported import Imported
from collotype.importers.launch import Launch, account_for_launch, device_named, launch_of
from collotype.importers.mapping import NOT_GIVEN, MappingLedger, shown, slug
from collotype.importers.shell import ShellCommand, commands_of
from collotype.recipe.load import BUILTIN, parse_yaml
from collotype.runtime.errors import UserError

VIDORE, MTEB, LMMS = "vidore-benchmark", "mteb", "lmms-eval"
ONE: dict[str, Takes] = dict.fromkeys(
    (
        "--model-class --model-name --dataset-name --collection-name --dataset-format --split --batch-query "
        "--batch-passage --batch-score --num-workers --output-dir --model --model_args --batch_size --batch-size "
        "--output_path --output-folder --output_folder --device --model-revision --model_revision --verbosity --limit "
        "--num_fewshot --log_samples_suffix --gen_kwargs --num-proc --num_proc --use-token-pooling --pool-factor "
        "--prediction-folder --overwrite-strategy"
    ).split(),
    "one",
)
MANY: dict[str, Takes] = dict.fromkeys(
    "--tasks --benchmarks --languages --eval-splits --eval_splits --task-types --categories".split(), "many"
)
SHORT = {"-m": "--model", "-t": "--tasks", "-b": "--benchmarks", "-l": "--languages", "-v": "--verbosity"}
SWITCHES: dict[str, Takes] = dict.fromkeys(
    "--overwrite --co2-tracker --no-co2-tracker --save_predictions --log_samples --log".split(), "none"
)
FLAGS = ONE | MANY | SWITCHES
REASONS = {
    **dict.fromkeys(
        ("--output-dir", "--output-folder", "--output_folder", "--output_path"), "--out says where results go"
    ),
    **dict.fromkeys(("--device", "--num-workers", "--num-proc", "--num_proc"), "a matter of the machine"),
    **dict.fromkeys(("--dataset-format", "--log", "-v", "--verbosity"), "recognised, or of no effect here"),
}
OTHERWISE = "nothing here corresponds to it"
HEREDOC = re.compile(r"<<-?[ \t]*(['\"]?)(\w{1,40})\1")
PROGRAMS = {
    "evaluate-retriever": VIDORE,
    "vidore-benchmark": VIDORE,
    "mteb": MTEB,
    "lmms_eval": LMMS,
    "lmms-eval": LMMS,
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
        raise UserError(f"The text has {len(found)} evaluations ({', '.join(one[0] for one in found[:4])}); give one.")
    ledger = MappingLedger(tool, given | (launch.flags if launch else {}))
    TAKE[tool](ledger, text)
    ledger.beside("evaluates_only", True)
    if device := device_named(text):
        ledger.beside("device", device)
    ledger.recipe("name", slug(path.stem if path else str(ledger.settings["weights"]).rpartition("/")[2]))
    account_for_launch(ledger, launch)
    ledger.leave_rest(REASONS, OTHERWISE)
    return ledger.close(launch.launcher, launch.shared_by(None)) if launch else ledger.close("python", 1)


Found = tuple[str, dict[str, Any], Launch | None]
"""A tool, what it is given, and how it is started, where that is known."""


def evaluations_in(path: Path | None, text: str) -> Iterator[Found]:
    """Those of every command and every piece of Python that evaluates."""
    if path and path.suffix == ".py":
        yield from pythons(text)
        return
    if not re.search(r"mteb|lmms[_-]eval|evaluate-retriever", text):
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
        yield from pythons(piece)
    if not commands or text.lstrip().startswith(("import ", "from ")):
        yield from pythons(text)


def without_heredocs(text: str) -> tuple[str, list[str]]:
    """A script without the here-documents that are fed to its commands, and these."""
    lines = text.replace("\r\n", "\n").split("\n")
    ends: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        ends.setdefault(line.strip(), []).append(number)
    script, bodies, at = [], [], 0
    while at < len(lines):
        script.append(lines[at])
        opened = HEREDOC.search(lines[at])
        known = ends.get(opened[2], []) if opened else []
        place = bisect_right(known, at)
        if place < len(known):
            bodies.append("\n".join(lines[at + 1 : known[place]]))
            script[-1] = HEREDOC.sub("", lines[at])
            at = known[place]
        at += 1
    return "\n".join(script), bodies


def of_command(command: ShellCommand) -> Found | None:
    words = command.words
    for place, word in enumerate(words):
        tool, after = PROGRAMS.get(PurePosixPath(word).name), words[place + 1 :]
        if tool is None or "install" in words[:place] or not after:
            continue
        if tool == MTEB and after[0] != "run" and after[0] not in ("-m", "--model", "-t", "--tasks"):
            continue
        if tool == VIDORE and "evaluate-retriever" not in words:
            continue
        rest = after[1:] if after[0] in ("run", "evaluate-retriever") else after
        given: dict[str, Any] = dict(parse_arguments([SHORT.get(one, one) for one in rest], FLAGS))
        launch = launch_of(command)
        return tool, given if launch else given | command.environment, launch
    return None


def pythons(text: str) -> Iterator[Found]:
    """What a Python program asks mteb for, as its command would."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    known = constants(tree)
    named: dict[str, list[str]] = {}
    for call in calls:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        texts = [text for one in (*call.args, *(word.value for word in call.keywords)) for text in texts_of(one, known)]
        named.setdefault(name, []).extend(texts)
        for word in call.keywords:
            if word.arg == "encode_kwargs":
                named["batch"] = [str(size) for size in batch_sizes(word.value)]
    models = named.get("get_model", []) or named.get("get_model_meta", [])
    benchmarks = named.get("get_benchmark", []) + named.get("get_benchmarks", [])
    tasks = [name for name in named.get("get_tasks", []) + named.get("get_task", []) if "vidore" in name.lower()]
    if models and (benchmarks or tasks):
        given: dict[str, Any] = {"--model": models[0]}
        given |= {"--benchmarks": benchmarks} if benchmarks else {}
        given |= {"--tasks": tasks} if tasks else {}
        given |= {"--batch-size": named["batch"][0]} if named.get("batch") else {}
        yield MTEB, given, None


def constants(tree: ast.Module) -> dict[str, list[str]]:
    """Texts by the names they are assigned to."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and (texts := texts_of(node.value, {})):
                    found[target.id] = texts
    return found


def texts_of(node: ast.expr, known: Mapping[str, list[str]]) -> list[str]:
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.Name):
        return known.get(node.id, [])
    if isinstance(node, ast.List | ast.Tuple):
        return [text for one in node.elts for text in texts_of(one, known)]
    return []


def batch_sizes(node: ast.expr) -> list[int]:
    pairs = zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ()
    return [
        value.value
        for key, value in pairs
        if isinstance(key, ast.Constant) and key.value == "batch_size" and isinstance(value, ast.Constant)
    ]


def take_retriever(ledger: MappingLedger, weights: str, model: KnownRetriever, preset: str) -> None:
    """A recipe trains: beside an evaluation stands the training of ColPali, of which nothing is said."""
    ledger.recipe("family", "retriever")
    values = {"backbone": model.backbone, "weights": weights, "interaction": model.interaction, "preset": preset}
    for key, value in values.items():
        ledger.recipe(f"model.{key}", value, "--model", "--model-name", "--model-class")
    if model.dim:
        ledger.recipe("model.dim", model.dim)
    ledger.beside("weights", weights)
    take_training(ledger, "colpali-v1.3", ("data", "loss", "negatives", "train"))


def take_training(ledger: MappingLedger, name: str, sections: Sequence[str]) -> None:
    published = parse_yaml((BUILTIN / f"{name}.yaml").read_text(), name)
    for section in sections:
        if section in published:
            ledger.recipe(section, published[section])
    ledger.leave("train", f"the command only evaluates; here is {name}'s, since a recipe has one", NOT_GIVEN)


def take_vidore(ledger: MappingLedger, text: str) -> None:
    """vidore-benchmark: `--model-class` and `--model-name` since 5, a name alone before."""
    of_class, name = ledger.text("--model-class"), ledger.text("--model-name")
    if of_class and of_class not in CLASSES:
        raise UserError(
            f"--model-class is {shown(of_class)}; of vidore-benchmark's there are {', '.join(CLASSES)} here."
        )
    weights = name or CLASSES.get(of_class or "")
    if not weights:
        raise UserError("The command has no --model-name: what it evaluates; add it.")
    model = retriever_named(of_class or weights)
    # vidore-benchmark 4 has no classes, and was made with the engine of then
    version, engine = engine_of(text, {} if of_class else {"dataset_loading_func": ""})
    if version == (0, 3):
        version = (0, 3, 4)
    generation = "qwen" if model.backbone.startswith("qwen2") else model.backbone
    if generation not in GENERATIONS or model.preset:
        raise UserError(f"vidore-benchmark knows no model like {shown(weights)}; it is deprecated in favour of mteb.")
    take_retriever(ledger, weights, model, latest(GENERATIONS[generation], version))
    split = ledger.text("--split", "test") or "test"
    measured = [
        {**entry, "counting": VIDORE, **({"split": split} if split != "test" else {})} for entry in vidore_sets(ledger)
    ]
    ledger.recipe("evaluate", measured, "--collection-name", "--dataset-name", "--dataset-format", "--split")
    ledger.beside("engine", engine)
    ledger.beside("evaluation_precision", "bf16")
    ledger.beside("score_precision", "bf16")
    if model.backbone != "paligemma":
        ledger.beside("attention", FLASH)
    ledger.beside(
        "evaluation_batch", ledger.count("--batch-passage", 4), "--batch-passage", "--batch-query", "--batch-score"
    )
    ledger.beside("gain", "linear")
    ledger.beside("repeated_queries", "last page")


def vidore_sets(ledger: MappingLedger) -> list[dict[str, Any]]:
    collection, dataset = ledger.text("--collection-name"), ledger.text("--dataset-name")
    if collection in COLLECTIONS:
        return entries([(COLLECTIONS[collection], None)])
    if dataset in datasets():
        return entries([datasets()[dataset]])
    if dataset:
        layout = ledger.text("--dataset-format", "qa") or "qa"
        return [{"suite": "beir" if layout == "beir" else "qa", "path": dataset}]
    if collection and collection.startswith((".", "/", "~")):
        # a folder of copies
        return [{"suite": "vidore-v1", "data_dir": collection}]
    raise UserError(
        f"The command evaluates on {shown(collection or 'nothing')}; known collections are {', '.join(COLLECTIONS)}."
    )


def take_mteb(ledger: MappingLedger, text: str) -> None:
    weights = ledger.text("--model")
    if not weights:
        raise UserError("mteb is given no model (-m); name it.")
    model = retriever_named(weights)
    preset = model.preset or FRAMED.get(model.backbone)
    take_retriever(ledger, weights, model, preset or latest(GENERATIONS[model.backbone], (0, 3, 13)))
    names = [one for benchmark in listed(ledger, "--benchmarks") for one in of_benchmark(benchmark)]
    names += [of_task(task) for task in listed(ledger, "--tasks")]
    if not names:
        raise UserError('mteb is given neither a benchmark (-b "ViDoRe(v2)") nor tasks (-t VidoreDocVQARetrieval).')
    ledger.recipe("evaluate", entries(names), "--benchmarks", "--tasks")
    ledger.beside("evaluation_precision", model.precision)
    ledger.beside("score_precision", "fp32")
    if model.backbone not in ("paligemma", "modernvbert"):
        ledger.beside("attention", FLASH)
    flag = next((name for name in ("--batch-size", "--batch_size") if name in ledger.given), "--batch-size")
    ledger.beside("evaluation_batch", ledger.count(flag, 32), flag)
    ledger.beside("gain", "linear")
    ledger.beside("repeated_queries", "merged")


def listed(ledger: MappingLedger, name: str) -> list[str]:
    """mteb takes several words, and several in one word with commas."""
    value: Value | None = ledger.given.get(name)
    words = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [part.strip() for word in words for part in str(word).split(",") if part.strip()]


def take_lmms(ledger: MappingLedger, text: str) -> None:
    """lmms-eval on VQAv2: of models that no family here loads, so what can be checked is how answers are counted."""
    tasks = listed(ledger, "--tasks")
    known = {"vqav2": "val", "vqav2_val": "val", "vqav2_test": "test", "vqav2_val_lite": "val"}
    if not tasks or not set(tasks) <= set(known):
        raise UserError(
            f"lmms-eval's --tasks are {shown(' '.join(tasks) or 'not given')}; there are {', '.join(known)} here."
        )
    arguments = dict(part.partition("=")[::2] for part in (ledger.text("--model_args") or "").split(","))
    weights = arguments.get("pretrained") or ledger.text("--model") or "the model"
    ledger.recipe("family", "beit3")
    ledger.recipe("model", {"weights": weights}, "--model", "--model_args")
    ledger.beside("weights", weights)
    ledger.beside("unknown_model", f"lmms-eval's {shown(ledger.text('--model') or 'model')}, {shown(weights)}")
    take_training(ledger, "beit3-base-vqav2", ("data", "loss", "train"))
    splits = sorted({known[task] for task in tasks})
    measured = [{"suite": "vqav2", "path": "vqav2", "split": split} for split in splits]
    ledger.recipe("evaluate", measured, "--tasks", "--limit")
    ledger.beside("answers_normalised", "always")
    ledger.beside(
        "evaluation_batch",
        ledger.count("--batch_size", 1) if str(ledger.given.get("--batch_size", 1)).isdigit() else 1,
        "--batch_size",
    )


TAKE: dict[str, Callable[[MappingLedger, str], None]] = {VIDORE: take_vidore, MTEB: take_mteb, LMMS: take_lmms}
