"""Detects the tool of a file or command, and imports it as a recipe."""

import re
from dataclasses import replace
from pathlib import Path

from collotype.importers import beit3, colpali_engine, open_clip, open_clip_evaluation, slip, training_arguments
from collotype.importers.configue import LONGEST_FILE, read_text
from collotype.importers.evaluations import import_evaluation
from collotype.importers.imported import Imported
from collotype.importers.launch import Launch, launch_of
from collotype.importers.mapping import shown
from collotype.importers.shell import ShellCommand, commands_of
from collotype.importers.training_arguments import import_training_arguments
from collotype.recipe.load import parse_recipe
from collotype.runtime.errors import UserError

KNOWN = (
    "colpali-engine's configs (.yaml) and `train_colbert.py CONFIG.yaml`, open_clip's `-m open_clip_train.main …`, "
    "BEiT-3's `run_beit3_finetuning.py …`, SLIP's `main.py --model CLIP_VITB16 …`, transformers' TrainingArguments as "
    "JSON or as flags of a program, and evaluations: `vidore-benchmark evaluate-retriever …`, `mteb run …` and mteb's "
    "calls in Python, `lmms_eval` on VQAv2, `clip_benchmark eval` on ImageNet"
)
CONFIG = re.compile(r"^[ \t]*\\?\(\)[ \t]*:", re.MULTILINE)
FENCED = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
EXCERPT = re.compile(
    r"^[ \t]*(?:\w+=\S* )*(?:torchrun|python3?|accelerate|deepspeed|mpirun|srun)\b(?:[^\n]*\\\n)*[^\n]*(?=\n|$)",
    re.MULTILINE,
)
"""A command within another text, with its continued lines."""
PROMPT = re.compile(r"^[ \t]*\$ +(?=\S)", re.MULTILINE)
COMMAND_FILES = (".sh", ".bash", ".slurm", ".sbatch", ".txt", ".md", ".json", ".py")


def is_foreign(text_or_path: str | Path) -> bool:
    """Is it meant as another tool's file or command, rather than as a recipe's name or file?"""
    path = as_file(text_or_path)
    if path is None:
        return len(str(text_or_path).split()) > 1 and not is_folder(text_or_path)
    if path.suffix in (".yaml", ".yml"):
        return bool(CONFIG.search(read_text(path)))
    return path.suffix in COMMAND_FILES


def import_foreign(text_or_path: str | Path, processes: int | None = None, examples: int | None = None) -> Imported:
    """The recipe of another tool's config file or command line. Nothing that it names is imported or run.

    Args:
        text_or_path: a config file; a script or text file with a training command; or such a text itself.
        processes: how many share a batch, where the text does not say; none takes one and says so in `left_out`.
        examples: of the training data, where epochs must be counted and the text does not say how many.

    Raises:
        UserError: it is of no tool that is known, cannot be read, holds an impossible value or names what is unknown.
    """
    path = as_file(text_or_path)
    if path is None and isinstance(text_or_path, Path):
        raise UserError(f"There is no file {text_or_path}; give another tool's config or a script with its command.")
    text = read_text(path) if path else str(text_or_path)
    if len(text) > LONGEST_FILE:
        raise UserError(f"The text has {len(text):,} characters, which is too long; give the training command alone.")
    imported = read(path, text, processes, examples)
    parse_recipe(imported.values, f"The recipe imported from {path or 'the command'}")
    return imported


def is_folder(name: str | Path) -> bool:
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):
        return False


def as_file(text_or_path: str | Path) -> Path | None:
    """The file of that path, if there is one."""
    try:
        path = Path(text_or_path)
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None


def read(path: Path | None, text: str, processes: int | None, examples: int | None) -> Imported:
    name = str(path or "the text")
    if evaluation := import_evaluation(path, text):
        return evaluation
    if (path and path.suffix == ".json") or text.lstrip().startswith("{"):
        return import_training_arguments(text, name, processes or 1, examples)
    if path and path.suffix == ".py":
        raise UserError(
            f"{path} is a Python program, which Collotype never runs; give the YAML config or the training command."
        )
    if (path and path.suffix in (".yaml", ".yml")) or CONFIG.search(text):
        given = None if path else text
        return colpali_engine.import_config(path or Path("the text"), given, None, text, processes, examples)
    return read_command(path, text, processes, examples)


def read_command(path: Path | None, text: str, processes: int | None, examples: int | None) -> Imported:
    """The recipe of the one training command in a text."""
    commands = commands_in(code_of(text), path.parent if path else None)
    launches = [launch for command in commands if (launch := launch_of(command))]
    known = without_evaluations([launch for launch in launches if tool_of(launch)])
    if len(known) > 1:
        raise UserError(several(known))
    if not known and path is None and len(text.split()) == 1 and ("/" in text or Path(text).suffix):
        raise UserError(f"There is no file {shown(text)}; check the path.")
    if not known:
        raise UserError(f"{shown(str(path or text))!r} cannot be imported{others(commands)}. Supported are {KNOWN}.")
    launch = known[0]
    if launch.cut is not None:
        raise UserError(
            f"Line {launch.cut.line} begins with {shown(launch.cut)}, which bash would run as a new command; end the "
            "line before it with a backslash and nothing after it."
        )
    if launch.filled:
        raise UserError(
            f"The command contains {shown(launch.filled)} (line {launch.line}), whose value is known only when it "
            "runs; write the value instead."
        )
    stem = path.stem if path else tool_of(launch) or ""
    if tool_of(launch) == "open_clip" and only_evaluates(launch):
        return open_clip_evaluation.import_evaluation(launch, text, stem)
    if tool_of(launch) == "open_clip":
        return open_clip.import_command(launch, text, stem, processes, examples)
    if tool_of(launch) == "slip":
        return slip.import_command(launch, text, stem, processes, examples)
    if tool_of(launch) == "beit3":
        return beit3.import_command(launch, text, stem, processes, examples)
    if tool_of(launch) == "transformers":
        return training_arguments.import_command(launch, text, stem, processes, examples)
    configs = [word for word in launch.arguments if word.endswith((".yaml", ".yml"))]
    if not configs:
        raise UserError(
            f"The command starts {shown(launch.tail)} without a .yaml config, and nothing else can be imported; name "
            "one (a config in Python is not run)."
        )
    config = find_config(configs[0], path)
    context = f"{text}\n{read_text(config)}"
    return colpali_engine.import_config(config, None, launch, context, processes, examples)


def without_evaluations(launches: list[Launch]) -> list[Launch]:
    """Of one training and evaluations after it the training, which is said; others as they are."""
    training = [launch for launch in launches if not only_evaluates(launch)]
    if len(training) != 1 or len(launches) < 2:
        return launches
    lines = ", ".join(str(launch.line) for launch in launches if launch is not training[0])
    said = f"evaluation: the text also evaluates (line {lines}), which is ignored"
    return [replace(training[0], notes=(*training[0].notes, said))]


def only_evaluates(launch: Launch) -> bool:
    if tool_of(launch) == "beit3":
        return "--eval" in launch.arguments
    return tool_of(launch) == "open_clip" and open_clip_evaluation.only_evaluates(launch)


def commands_in(code: str, folder: Path | None) -> list[ShellCommand]:
    """The commands of a script; of a text around a command, which is no script, that command's.

    Raises:
        UserError: it is no bash, nor is a command in it.
    """
    excerpts = [found[0] for found in EXCERPT.finditer(code) if "<<" not in found[0]]
    try:
        found = commands_of(code, folder)
        if len(excerpts) != 1 or any(launch and tool_of(launch) for launch in map(launch_of, found)):
            return found
    except UserError:
        if len(excerpts) != 1 or excerpts[0].strip() == code.strip():
            raise
    around = "text: the text around the command cannot be parsed as bash and is ignored"
    return [replace(command, notes=(*command.notes, around)) for command in commands_of(excerpts[0], folder)]


def code_of(text: str) -> str:
    """The code of a text in Markdown, a command's lines without the prompt before them; another text as it is."""
    blocks = FENCED.findall(text)
    return "\n".join(PROMPT.sub("", block) for block in blocks) if blocks else PROMPT.sub("", text)


def several(launches: list[Launch]) -> str:
    """That there are too many, and how they differ."""
    common = set(launches[0].arguments).intersection(*(launch.arguments for launch in launches))
    differ = [" ".join(shown(word) for word in launch.arguments if word not in common)[:60] for launch in launches]
    listed = "; ".join(
        f"line {launch.line}: {shown(launch.tail)} {own}".rstrip() for launch, own in zip(launches, differ, strict=True)
    )
    return f"The text has {len(launches)} training commands ({shown(listed)}); give one of them."


def others(commands: list[ShellCommand]) -> str:
    """What a text starts instead of a training."""
    for command in commands:
        if launch := launch_of(command):
            return f"; it starts {shown(launch.program)}"
        if started := next((word for word in command.words if word.endswith((".sh", ".slurm", ".sbatch"))), None):
            return f"; it starts the script {shown(started)}: give that"
    return ""


def tool_of(launch: Launch) -> str | None:
    """Which tool's training program this starts."""
    if launch.program in open_clip.MODULES or launch.program.endswith(("open_clip_train/main.py", "training/main.py")):
        return "open_clip"
    if launch.tail == beit3.SCRIPT:
        return "beit3"
    if slip.is_slip(launch):
        return "slip"
    if launch.tail == "train_colbert.py":
        return "colpali-engine"
    return "transformers" if training_arguments.is_command(launch) else None


def find_config(name: str, script: Path | None) -> Path:
    """The config that a command names, from where the command is run or where its script lies."""
    for folder in (Path(), script.parent if script else Path()):
        if found := as_file(folder / name):
            return found
    raise UserError(
        f"The command's config {shown(name)} was not found; run this in the folder where the command would run."
    )
