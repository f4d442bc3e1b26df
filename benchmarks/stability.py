"""Do the scores of other tools depend on the batch or the precision, on the same weights and pages as ours?

    python benchmarks/stability.py MODEL … [--engine colpali_engine-0.3.18-py3-none-any.whl]

`collotype evaluate MODEL --stability` measures ours; its rows come first. sentence-transformers reads an export;
transformers and colpali-engine score (`score_retrieval`, `score_multi_vector`) what the model gives them in its padded
form, in batches of the same size. The engine's wheel is only unpacked, since its imports want torchvision.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

import collotype
from collotype.families.retriever.benchmarks.sheets import sheet_benchmarks
from collotype.families.retriever.checkpoints.reading import export
from collotype.families.retriever.model import Retriever, stack
from collotype.families.retriever.stability import BATCHES, PAGES, Sample, differences, sample, stability
from collotype.losses.contrastive import score_all
from collotype.runtime.errors import UserError

Scorer = Callable[[Sample, int], torch.Tensor]


def padded(model: Retriever, scorer: Callable[..., torch.Tensor]) -> Scorer:
    """The model's own forward passes, whose padding is zero, scored by a peer in batches of the same size."""

    @torch.inference_mode()
    def score(of: Sample, size: int) -> torch.Tensor:
        asked, shown = (
            [row for start in range(0, len(things), size) for row in model(make(things[start : start + size]))[0]]
            for things, make in ((of.queries, model.processor.queries), (of.pages, model.processor.pages))
        )
        return scorer(asked, shown, batch_size=size).float()

    return score


def sentence_transformers(model: Retriever, folder: Path) -> Scorer:
    from sentence_transformers import MultiVectorEncoder

    export(model, "sentence-transformers", folder, "")
    encoder = MultiVectorEncoder(str(folder))

    def score(of: Sample, size: int) -> torch.Tensor:
        asked = encoder.encode_query(list(of.queries), batch_size=size, show_progress_bar=False)
        shown = encoder.encode_document(list(of.pages), batch_size=size, show_progress_bar=False)
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


def mteb_scorer() -> Callable[..., torch.Tensor]:
    from mteb.similarity_functions import max_sim

    return max_sim


def transformers_scorer() -> Callable[..., torch.Tensor]:
    from transformers import ColPaliProcessor

    return lambda *args, **options: ColPaliProcessor.score_retrieval(None, *args, **options)


def of_peers(source: str, engine: Path | None, of: Sample, scratch: Path) -> Iterator[dict[str, Any]]:
    model = collotype.load(source)
    tools = {"transformers": padded(model, transformers_scorer()), "mteb": padded(model, mteb_scorer())}
    if engine:
        tools["colpali-engine"] = padded(model, engine_scorer(engine, scratch / "engine"))
    if not model.row.name.startswith("qwen"):  # whose processors want torchvision
        with suppress(UserError):  # a preset that its processors cannot be set to
            tools["sentence-transformers"] = sentence_transformers(model, scratch / "st")
    references = {tool: score(of, 1) for tool, score in tools.items()}
    for precision in ("fp32", "bf16"):
        for tool, score in tools.items():
            if precision == "bf16" and tool == "sentence-transformers":  # which has a model of its own
                continue
            reference = references[tool]
            for size in BATCHES[precision == "fp32" :]:
                found = score(of, size)
                setting = f"{precision}, " + (f"batches of {size}, padded" if size > 1 else "one at a time")
                yield {"tool": tool, "setting": setting, **differences(found, reference, of)}
                reference = found if size == 1 else reference
        model.to(torch.bfloat16)


def rows_of(source: str, engine: Path | None, pages: int) -> Iterator[dict[str, Any]]:
    of = sample(sheet_benchmarks()[0], pages)
    model = collotype.load(source)
    for row in stability(model, of):
        yield {"model": model.row.name, "tool": "collotype", **row}
    with tempfile.TemporaryDirectory() as scratch:
        for row in of_peers(source, engine, of, Path(scratch)):
            yield {"model": model.row.name, **row}


def beside_a_longer_page(scorer: Callable[..., torch.Tensor]) -> tuple[float, float]:
    """The score of a page that one of the query's vectors is unlike throughout: alone, and beside a longer page."""
    query, short = torch.eye(2), torch.tensor([[0.8, -0.6]])
    longer = torch.tensor([[0.6, 0.8], [0.8, 0.6]])
    return tuple(float(scorer([query], pages, batch_size=4)[0, 0]) for pages in ([short], [short, longer]))


def zero_padding(engine: Path | None) -> None:
    scorers = {"transformers": transformers_scorer(), "mteb": mteb_scorer()}
    with tempfile.TemporaryDirectory() as scratch:
        if engine:
            scorers["colpali-engine"] = engine_scorer(engine, Path(scratch) / "engine")
        for tool, scorer in scorers.items():
            print("{}: {:.1f} alone, {:.1f} beside a longer page".format(tool, *beside_a_longer_page(scorer)))
    ours = lambda queries, pages, batch_size: score_all(stack(queries), stack(pages))  # noqa: E731
    print("collotype: {:.1f} alone, {:.1f} beside a longer page".format(*beside_a_longer_page(ours)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="none: only what zero padding does to a score")
    parser.add_argument("--engine", type=Path)
    parser.add_argument("--pages", type=int, default=PAGES)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    zero_padding(given.engine)
    rows = [row for source in given.models for row in rows_of(source, given.engine, given.pages)]
    print("| model | tool | setting | score differs by | nDCG@5 by | queries reordered | distinct scores |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        change = f"{row['largest_score_difference']:.1g} | {row['metric_difference']:+.4f}"
        counts = f"{row['queries_with_other_order']} | {row['distinct_scores']}"
        print(f"| {row['model']} | {row['tool']} | {row['setting']} | {change} | {counts} |")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
