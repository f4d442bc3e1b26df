"""Does a score depend on the batch, the attention kernel or the precision? Ours and the peers', on the same weights.

    python benchmarks/stability.py MODEL-OR-RECIPE … [--engine colpali_engine-0.3.18-py3-none-any.whl]

A recipe's model is the one before its first step.

Pages of four sizes and queries of many lengths are encoded in batches of 1, 4, 16 and 32 as they come, padding
included. A row gives, against batches of one in float32 with the same tool: the largest difference of a score, queries
whose ten best pages come in another order, the change of nDCG@5, and how many values the first query's scores take.
sentence-transformers reads an export; transformers and colpali-engine score (`score_retrieval`, `score_multi_vector`)
what the model gives them in their padded form. The engine's wheel is only unpacked, since its imports want torchvision.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel

import collotype
from collotype.evaluation.ranking import ranking_metrics
from collotype.families import task_for
from collotype.families.retriever.checkpoints import export
from collotype.families.retriever.data.sheets import SheetImages, held_out_sheets
from collotype.families.retriever.model import Retriever
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError

BATCHES = (1, 4, 16, 32)
KERNELS = {"math": SDPBackend.MATH, "flash": SDPBackend.FLASH_ATTENTION}
PAGES = 64
CROPS = [(96, 96), (96, 60), (64, 96), (48, 48)]
Scorer = Callable[[Sequence[str], Sequence[Image.Image], int], torch.Tensor]


def task(count: int) -> tuple[list[str], list[Image.Image], dict[str, dict[str, int]]]:
    """Held-out queries, sheets cut to four sizes, and which of them are right."""
    images = SheetImages()
    sheets = held_out_sheets(images)[:count]
    pages = [
        images.draw(sheet, "a test").crop((0, 0, *CROPS[number % len(CROPS)])) for number, sheet in enumerate(sheets)
    ]
    queries = [" and ".join(sheet.query.split(" and ")[: 1 + number % 2]) for number, sheet in enumerate(sheets)]
    return queries, pages, {str(number): {str(number): 1} for number in range(count)}


def batches(model: Retriever, things: Sequence[Any], size: int, make: Callable) -> Iterator[list[torch.Tensor]]:
    for start in range(0, len(things), size):
        yield model._vectors(make(list(things[start : start + size])))


def ours(model: Retriever) -> Scorer:
    def score(queries: Sequence[str], pages: Sequence[Image.Image], size: int) -> torch.Tensor:
        with torch.inference_mode():
            asked = [one for batch in batches(model, queries, size, model.processor.queries) for one in batch]
            shown = [one for batch in batches(model, pages, size, model.processor.pages) for one in batch]
        return model.score(asked, shown)

    return score


def padded(model: Retriever, scorer: Callable[..., torch.Tensor]) -> Scorer:
    """The model's own forward passes, whose padding is zero, scored by a peer in batches of the same size."""

    @torch.inference_mode()
    def score(queries: Sequence[str], pages: Sequence[Image.Image], size: int) -> torch.Tensor:
        def forward(things: Sequence[Any], make: Callable) -> list[torch.Tensor]:
            return [
                row for start in range(0, len(things), size) for row in model(make(things[start : start + size]))[0]
            ]

        asked, shown = forward(queries, model.processor.queries), forward(pages, model.processor.pages)
        return scorer(asked, shown, batch_size=size).float()

    return score


def sentence_transformers(model: Retriever, folder: Path) -> Scorer:
    from sentence_transformers import MultiVectorEncoder

    export(model, "sentence-transformers", folder, "")
    encoder = MultiVectorEncoder(str(folder))

    def score(queries: Sequence[str], pages: Sequence[Image.Image], size: int) -> torch.Tensor:
        asked = encoder.encode_query(list(queries), batch_size=size, show_progress_bar=False)
        shown = encoder.encode_document(list(pages), batch_size=size, show_progress_bar=False)
        return torch.as_tensor(encoder.similarity(asked, shown)).float()

    return score


def engine_scorer(wheel: Path, folder: Path) -> Callable[..., torch.Tensor]:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (folder / "colpali_engine" / "__init__.py").write_text("")  # which would import every model
    sys.path.insert(0, str(folder))
    file = folder / "colpali_engine" / "utils" / "processing_utils.py"
    spec = importlib.util.spec_from_file_location("processing_utils", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *args, **options: module.BaseVisualRetrieverProcessor.score_multi_vector(
        *args, device="cpu", **options
    )


def transformers_scorer() -> Callable[..., torch.Tensor]:
    from transformers import ColPaliProcessor

    return lambda *args, **options: ColPaliProcessor.score_retrieval(None, *args, **options)


def measured(one: torch.Tensor, reference: torch.Tensor, qrels: dict) -> dict[str, float]:
    best, before = (scores.topk(10, dim=1).indices for scores in (one, reference))
    ndcg = [
        ranking_metrics(qrels, {str(q): {str(p): float(v) for p, v in enumerate(row)} for q, row in enumerate(scores)})[
            0
        ]
        for scores in (one, reference)
    ]
    return {
        "score": float((one - reference).abs().max()),
        "flips": int((best != before).any(1).sum()),
        "ndcg_at_5": ndcg[0]["ndcg_at_5"] - ndcg[1]["ndcg_at_5"],
        "values": len(one[0].unique()),
    }


@contextmanager
def in_bf16(model: Retriever) -> Iterator[None]:
    model.to(torch.bfloat16)
    yield
    model.float()


def rows_of(source: str, engine: Path | None, count: int) -> Iterator[dict[str, Any]]:
    model = collotype.load(source) if Path(source).is_dir() else task_for(load_recipe(source)).build().eval()
    queries, pages, qrels = task(count)
    with tempfile.TemporaryDirectory() as scratch:
        tools = {"collotype": ours(model), "transformers": padded(model, transformers_scorer())}
        if engine:
            tools["colpali-engine"] = padded(model, engine_scorer(engine, Path(scratch) / "engine"))
        if not model.row.name.startswith("qwen"):  # whose processors want torchvision
            with suppress(UserError):  # a preset that its processors cannot be set to
                tools["sentence-transformers"] = sentence_transformers(model, Path(scratch) / "st")
        for tool, score in tools.items():
            reference = score(queries, pages, 1)
            settings = [(f"batch {size}", size, nullcontext()) for size in BATCHES[1:]]
            if tool == "collotype":
                settings += [(f"kernel {name}", 1, sdpa_kernel(kernel)) for name, kernel in KERNELS.items()]
            if tool != "sentence-transformers":
                settings += [(f"bf16, batch {size}", size, in_bf16(model)) for size in (1, 16)]
            for what, size, context in settings:
                with context:
                    found = measured(score(queries, pages, size), reference, qrels)
                yield {"model": f"{model.row.name}", "tool": tool, "setting": what, **found}


def beside_a_longer_page(scorer: Callable[..., torch.Tensor]) -> tuple[float, float]:
    """The score of a page that one of the query's vectors is unlike throughout: alone, and beside a longer page."""
    query, short = torch.eye(2), torch.tensor([[0.8, -0.6]])
    longer = torch.tensor([[0.6, 0.8], [0.8, 0.6]])
    return tuple(float(scorer([query], pages, batch_size=4)[0, 0]) for pages in ([short], [short, longer]))


def zero_padding(engine: Path | None) -> None:
    scorers = {"transformers": transformers_scorer()}
    with tempfile.TemporaryDirectory() as scratch:
        if engine:
            scorers["colpali-engine"] = engine_scorer(engine, Path(scratch) / "engine")
        for tool, scorer in scorers.items():
            print("{}: {:.1f} alone, {:.1f} beside a longer page".format(tool, *beside_a_longer_page(scorer)))
    ours = lambda queries, pages, batch_size: Retriever.score(OnCpu(), queries, pages)  # noqa: E731
    print("collotype: {:.1f} alone, {:.1f} beside a longer page".format(*beside_a_longer_page(ours)))


class OnCpu:
    device = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="none: only what zero padding does to a score")
    parser.add_argument("--engine", type=Path)
    parser.add_argument("--pages", type=int, default=PAGES)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    zero_padding(given.engine)
    rows = [row for source in given.models for row in rows_of(source, given.engine, given.pages)]
    print("| model | tool | against batches of one in float32 | score | other order | nDCG@5 | values of 1 query |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        numbers = f"{row['score']:.1g} | {row['flips']} of {given.pages} | {row['ndcg_at_5']:+.3f} | {row['values']}"
        print(f"| {row['model']} | {row['tool']} | {row['setting']} | {numbers} |")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
