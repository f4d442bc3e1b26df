"""BEiT-3's implementation of the commands."""

import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from collotype.evaluation.results import Measured
from collotype.families.beit3.answer_vocab import read_answers
from collotype.families.beit3.benchmarks import SUITES, find_suite
from collotype.families.beit3.checkpoints.locations import can_load as recognises_layout
from collotype.families.beit3.checkpoints.reading import LAYOUTS, read
from collotype.families.beit3.checkpoints.reading import export as write_layout
from collotype.families.beit3.config import SIZES
from collotype.families.beit3.evaluate import evaluate as evaluate_model
from collotype.families.beit3.evaluate import scored
from collotype.families.beit3.model import Beit3
from collotype.families.beit3.predict import BATCH_TOKENS
from collotype.families.beit3.recipe import Beit3Evaluate
from collotype.families.beit3.submission import read_submission
from collotype.families.beit3.task import Beit3Task
from collotype.families.beit3.tokenizer import SENTENCE_PIECES
from collotype.families.shared.spec import FamilySpec
from collotype.report.card import card, find_record
from collotype.runtime.device import pick_device
from collotype.runtime.errors import UserError
from collotype.runtime.world import World

SEEN = {
    "kind": "questions that released weights have seen",
    "note": "upstream never published which 1,000 images it held out: its fine-tuned weights were trained on about "
    "97.5 % of any others",
}
NAME, BEGINNING = b"beit3.text_embed", 2**24
"""What every checkpoint of it has among its names, and where at the latest, in bytes, if it is of the old format."""


def can_load(source: str) -> bool:
    """Is this a published BEiT-3, a folder with its vocabulary or a `.pth` file with its weights, or a submission?"""
    path = Path(source)
    return is_submission(path) or (recognises_layout(path) and (not path.is_file() or names_weights(path)))


def is_submission(path: Path) -> bool:
    return path.suffix == ".json" and path.is_file()


def names_weights(file: Path) -> bool:
    """Has a checkpoint weights of BEiT-3? Nothing in it is executed: names of weights stand in it as they are."""
    if not zipfile.is_zipfile(file):
        with file.open("rb") as content:
            return NAME in content.read(BEGINNING)
    with zipfile.ZipFile(file) as parts:
        return any(NAME in parts.read(name) for name in parts.namelist() if name.endswith("data.pkl"))


def load(source: str | Path, tokenizer: str | Path | None = None, answers: str | Path | None = None) -> Beit3:
    """The BEiT-3 in a folder or a published `.pth` file.

    Args:
        tokenizer: path of `beit3.spm`, if it is not beside a published file.
        answers: a file of the answers' names, as `answer2label.txt`, if it is not beside it.
    """
    return read(source, tokenizer=tokenizer, answers=None if answers is None else read_answers(Path(answers))).model()


def export(source: str | Path, layout: str, out: Path, **options: Any) -> list[str]:
    model, record = load(source, **options), find_record(Path(source))
    config = model.config
    lines = {
        "pictures": f"{config.image_size} pixels, squashed",
        "questions": f"at most {config.max_text_tokens} tokens",
        "answers": f"one of {config.num_answers:,}",
    }
    metadata = {"pipeline_tag": "visual-question-answering"}
    text = card(Path(source), metadata, "A BEiT-3 that answers questions, exported from collotype.", lines, record)
    write_layout(model, layout, out, text)
    return []


def evaluate(
    model: str,
    choice: Beit3Evaluate,
    world: World,
    cache: Path | None = None,
    batch_tokens: int | None = None,
    out: Path | None = None,
    **options: Any,
) -> list[Measured]:
    """
    Args:
        cache: nothing of a BEiT-3's is kept there.
        batch_tokens: tokens of a forward pass, padding included; None takes the default.
        out: a folder for the submission, and for what is answered until all is.
    """
    if is_submission(Path(model)):
        return [evaluate_submission(Path(model), choice, options.get("answers"))]
    if out is not None:
        refuse_checkpoints(out, model)
    ready, benchmark = load(model, **options), find_suite(choice)
    found = evaluate_model(ready.to(pick_device(world)), benchmark, None, world, out, batch_tokens or BATCH_TOKENS)
    if recognises_layout(model) and choice.suite == "vqav2" and choice.of_split == "val":
        found.facts["events"].append(SEEN | {"count": len(benchmark.questions)})
    return [found]


def evaluate_submission(file: Path, choice: Beit3Evaluate, answers: str | Path | None = None) -> Measured:
    """Answers that any program gave, in a file as it is submitted.

    Args:
        answers: a file of the answers that were to choose from, for `beit3_score`.
    """
    benchmark = find_suite(choice)
    given = read_submission(file, benchmark.questions.ids.tolist())
    vocabulary = None if answers is None else read_answers(Path(answers))
    facts = {"model": {"sha256": sha256(file.read_bytes()).hexdigest()}, "data": benchmark.sizes()}
    return scored(benchmark, given, vocabulary, facts, [])


def refuse_checkpoints(out: Path, model: str) -> None:
    """
    Raises:
        UserError: `out` holds checkpoints, which BEiT-3's own code would evaluate in the model's place.
    """
    found = sorted(path.name for path in (*out.glob("checkpoint-*"), *out.glob("checkpoints")))
    if found:
        raise UserError(
            f"{out} contains {found[0]}, whose answers could be mistaken for those of {model}; choose another "
            "folder with --out."
        )


SPEC = FamilySpec(
    task=Beit3Task,
    load=load,
    export=export,
    evaluate=evaluate,
    can_load=can_load,
    signs=(SENTENCE_PIECES,),
    default_suite="easy-vqa",
    models=SIZES,
    suites=SUITES,
    layouts=LAYOUTS,
)
