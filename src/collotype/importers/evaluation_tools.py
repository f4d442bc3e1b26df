"""The settings of evaluation tools. (vidore-benchmark 4 and 5, mteb 1.x and 2.26, lmms-eval 0.4.)"""

from collections.abc import Callable
from typing import Any

from collotype.importers.clip_benchmark import take_clip_benchmark
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
from collotype.importers.mapping import MappingLedger, shown
from collotype.importers.stand_ins import listed, take_training
from collotype.runtime.errors import UserError

VIDORE, MTEB, LMMS, CLIP_BENCHMARK = "vidore-benchmark", "mteb", "lmms-eval", "clip_benchmark"


def take_retriever(ledger: MappingLedger, weights: str, model: KnownRetriever, preset: str) -> None:
    """A recipe trains: beside an evaluation stands the training of ColPali, of which nothing is said."""
    ledger.recipe("family", "retriever")
    values = {"backbone": model.backbone, "weights": weights, "interaction": model.interaction, "preset": preset}
    for key, value in values.items():
        ledger.recipe(f"model.{key}", value, "--model", "--model-name", "--model-class")
    if model.dim:
        ledger.recipe("model.dim", model.dim)
    ledger.beside(weights=weights)
    take_training(ledger, "colpali-v1.3", ("data", "loss", "negatives", "train"))


def take_vidore(ledger: MappingLedger, text: str) -> None:
    """vidore-benchmark: `--model-class` and `--model-name` since 5, a name alone before."""
    of_class, name = ledger.text("--model-class"), ledger.text("--model-name")
    if of_class and of_class not in CLASSES:
        raise UserError(
            f"--model-class is {shown(of_class)}; the supported classes of vidore-benchmark are {', '.join(CLASSES)}."
        )
    weights = name or CLASSES.get(of_class or "")
    if not weights:
        raise UserError("The command has no --model-name; add the model to evaluate.")
    model = retriever_named(of_class or weights)
    # vidore-benchmark 4 has no classes, and was made with the engine of then
    version, engine = engine_of(text, {} if of_class else {"dataset_loading_func": ""})
    if version == (0, 3):
        version = (0, 3, 4)
    generation = "qwen" if model.backbone.startswith("qwen2") else model.backbone
    if generation not in GENERATIONS or model.preset:
        raise UserError(
            f"vidore-benchmark does not know the model {shown(weights)}; it is deprecated, use mteb instead."
        )
    take_retriever(ledger, weights, model, latest(GENERATIONS[generation], version))
    split = ledger.text("--split", "test") or "test"
    measured = [
        {**entry, "counting": VIDORE, **({"split": split} if split != "test" else {})} for entry in vidore_sets(ledger)
    ]
    ledger.recipe("evaluate", measured, "--collection-name", "--dataset-name", "--dataset-format", "--split")
    ledger.beside(engine=engine)
    ledger.beside(evaluation_precision="bf16")
    ledger.beside(score_precision="bf16")
    if model.backbone != "paligemma":
        ledger.beside(attention=FLASH)
    ledger.beside(
        "--batch-passage", "--batch-query", "--batch-score", evaluation_batch=ledger.count("--batch-passage", 4)
    )
    ledger.beside(gain="linear")
    ledger.beside(repeated_queries="last page")


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
        f"The command evaluates on {shown(collection or 'nothing')}; the supported collections are "
        f"{', '.join(COLLECTIONS)}."
    )


def take_mteb(ledger: MappingLedger, text: str) -> None:
    weights = ledger.text("--model")
    if not weights:
        raise UserError("The mteb command names no model; add it with -m.")
    model = retriever_named(weights)
    preset = model.preset or FRAMED.get(model.backbone)
    take_retriever(ledger, weights, model, preset or latest(GENERATIONS[model.backbone], (0, 3, 13)))
    names = [one for benchmark in listed(ledger, "--benchmarks") for one in of_benchmark(benchmark)]
    names += [of_task(task) for task in listed(ledger, "--tasks")]
    if not names:
        raise UserError('mteb needs a benchmark (-b "ViDoRe(v2)") or tasks (-t VidoreDocVQARetrieval); add one.')
    ledger.recipe("evaluate", entries(names), "--benchmarks", "--tasks")
    ledger.beside(evaluation_precision=model.precision)
    ledger.beside(score_precision="fp32")
    if model.backbone not in ("paligemma", "modernvbert"):
        ledger.beside(attention=FLASH)
    flag = next((name for name in ("--batch-size", "--batch_size") if name in ledger.given), "--batch-size")
    ledger.beside(flag, evaluation_batch=ledger.count(flag, 32))
    ledger.beside(gain="linear")
    ledger.beside(repeated_queries="merged")


def take_lmms(ledger: MappingLedger, text: str) -> None:
    """lmms-eval on VQAv2: of models that no family here loads, so what can be checked is how answers are counted."""
    tasks = listed(ledger, "--tasks")
    known = {"vqav2": "val", "vqav2_val": "val", "vqav2_test": "test", "vqav2_val_lite": "val"}
    if not tasks or not set(tasks) <= set(known):
        raise UserError(
            f"lmms-eval's --tasks are {shown(' '.join(tasks) or 'not given')}; the supported tasks are "
            f"{', '.join(known)}."
        )
    arguments = dict(part.partition("=")[::2] for part in (ledger.text("--model_args") or "").split(","))
    weights = arguments.get("pretrained") or ledger.text("--model") or "the model"
    ledger.recipe("family", "beit3")
    ledger.recipe("model", {"weights": weights}, "--model", "--model_args")
    ledger.beside(weights=weights)
    ledger.beside(unknown_model=f"lmms-eval's {shown(ledger.text('--model') or 'model')}, {shown(weights)}")
    take_training(ledger, "beit3-base-vqav2", ("data", "loss", "train"))
    splits = sorted({known[task] for task in tasks})
    measured = [{"suite": "vqav2", "path": "vqav2", "split": split} for split in splits]
    ledger.recipe("evaluate", measured, "--tasks", "--limit")
    ledger.beside(answers_normalised="always")
    ledger.beside(
        "--batch_size",
        evaluation_batch=ledger.count("--batch_size", 1) if str(ledger.given.get("--batch_size", 1)).isdigit() else 1,
    )


TAKE: dict[str, Callable[[MappingLedger, str], None]] = {
    VIDORE: take_vidore,
    MTEB: take_mteb,
    LMMS: take_lmms,
    CLIP_BENCHMARK: take_clip_benchmark,
}
