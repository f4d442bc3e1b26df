"""Submissions to mteb's results repository: the model's description and the result files."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collotype.runtime.errors import UserError
from collotype.runtime.files import write_text

COMMIT = re.compile(r"[0-9a-f]{40}")
UNKNOWN = (
    *("loader", "release_date", "languages", "n_active_parameters_override", "n_embedding_parameters"),
    *("memory_usage_mb", "max_tokens", "license", "public_training_code", "public_training_data", "use_instructions"),
    *("training_datasets", "adapted_from", "superseded_by", "citation", "contacts", "output_dtypes"),
    "extra_requirements_groups",
)
"""What mteb asks of a model and an evaluation does not know: null, as mteb writes it."""


def model_meta(name: str, revision: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """Every key of mteb 2's ModelMeta (`mteb/models/model_meta.py`).

    Args:
        model: what result files say of it.
    """
    late, on_hub, pooling = model.get("interaction") == "late", is_on_hub(name, revision), model.get("pooling")
    trained = "backbone" in model
    return dict.fromkeys(UNKNOWN) | {
        "name": name,
        "revision": revision,
        "loader_kwargs": {},
        "n_parameters": model.get("parameters"),
        "embed_dim": model.get("width"),
        "open_weights": True if on_hub else None,
        "framework": ["PyTorch"] if trained else [],
        "reference": f"https://huggingface.co/{name}" if on_hub else None,
        "similarity_fn_name": ("MaxSim" if late else "dot") if trained else None,
        "modalities": ["image", "text"] if trained else ["text"],
        "model_type": ["late-interaction" if late else "dense" if trained else "sparse"],
        "experiment_kwargs": {"pooling": dict(pooling)} if pooling else None,
        "is_cross_encoder": False,
    }


def is_on_hub(name: str, revision: str) -> bool:
    return name.count("/") == 1 and COMMIT.fullmatch(revision) is not None


@dataclass(frozen=True)
class Submission:
    """What was written, and what could not be."""

    written: list[Path]
    left_out: list[str]
    """Sentences."""


def submit(results: Path, to: Path) -> Submission:
    """Writes `to`/results/MODEL/REVISION/TASK.json and model_meta.json, of what `evaluate --out` wrote to `results`.

    Raises:
        UserError: nothing can be submitted, or another result is there already; nothing was written.
    """
    if to.exists() and not to.is_dir():
        raise UserError(f"{to} is a file; give a folder.")
    found = {file: values for file in result_files(results) if "headline" in (values := read(file))}
    if not found:
        raise UserError(f"{results} contains no result files; give the folder that `evaluate` wrote with --out.")
    reasons = {file: reason_against(values) for file, values in found.items()}
    left_out = [f"{found[file]['dataset']}: {reason}" for file, reason in reasons.items() if reason]
    chosen = [file for file, reason in reasons.items() if reason is None and not is_average(found[file])]
    if not chosen:
        raise UserError(f"Nothing in {results} can be submitted: {'; '.join(left_out) or 'it contains averages only'}.")
    files: dict[Path, str] = {}
    for file in chosen:
        files |= files_of(file.parent.parent / "mteb", found[file]["mteb"])
    texts = {to / place: text for place, text in files.items() if not is_kept(to / place, text)}
    for file, text in texts.items():
        write_text(file, text)
    return Submission(list(texts), left_out)


def result_files(results: Path) -> list[Path]:
    """Of one model, or of several in a folder each."""
    return sorted([*results.glob("*/*.json"), *results.glob("*/*/*.json")])


def read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not JSON ({error}); evaluate again.") from None
    return found if isinstance(found, dict) else {}


def is_average(values: Mapping[str, Any]) -> bool:
    return str(values["dataset"]).endswith("/average")


def reason_against(values: Mapping[str, Any]) -> str | None:
    """Why a result file cannot be submitted; none where it can, or is a mean that nobody submits."""
    if is_average(values):
        return None
    if "mteb" not in values:
        return "was not written by `evaluate --out` of this version; evaluate again"
    if values["mteb"] is None:
        return "is no dataset that mteb knows"
    name, revision = values["mteb"]["model"], values["mteb"]["revision"]
    if not is_on_hub(name, revision):
        return f"the model {name} has no revision on the hub; upload it and evaluate organisation/name"
    if values["counting"] != "mteb":
        return f"was scored by the protocol of {values['counting']}, not of mteb; evaluate without --counting"
    differing = [event["note"] for event in values["events"] if event["kind"] == "size-differs"]
    return f"differs from the published dataset ({', '.join(differing)})" if differing else None


def files_of(folder: Path, about: Mapping[str, str]) -> dict[Path, str]:
    """The texts of a task's file and of its model's, by where they go.

    Raises:
        UserError: one is not there.
    """
    place = Path("results") / about["model"].replace("/", "__") / about["revision"]
    names = (f"{about['task']}.json", "model_meta.json")
    if missing := [name for name in names if not (folder / place / name).is_file()]:
        raise UserError(f"{folder / place / missing[0]} is missing; evaluate again with --out.")
    return {place / name: (folder / place / name).read_text(encoding="utf-8") for name in names}


def is_kept(file: Path, text: str) -> bool:
    """Is it there already? A model's description that is there stays, since people complete it.

    Raises:
        UserError: another result is there.
    """
    if not file.exists():
        return False
    if file.name != "model_meta.json" and file.read_text(encoding="utf-8") != text:
        raise UserError(f"{file} contains a different result; delete it to replace it.")
    return True
