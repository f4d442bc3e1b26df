"""A retriever of ours inside mteb."""

from pathlib import Path

import pytest
import torch

from collotype.evaluation.ranking import ranking_metrics
from collotype.families import task_for
from collotype.families.retriever.data.sheets import SheetImages, held_out_sheets
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.token_pooling import Pooling
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError

mteb = pytest.importorskip("mteb")
datasets = pytest.importorskip("datasets")

from mteb.abstasks.retrieval import AbsTaskRetrieval  # noqa: E402
from mteb.abstasks.task_metadata import TaskMetadata  # noqa: E402

from collotype.integrations.mteb import MtebRetriever, retriever  # noqa: E402

IMAGES = SheetImages()
SHEETS = held_out_sheets(IMAGES)[:8]
PAGES = {f"corpus-test-{n}": IMAGES.draw(sheet, "a test") for n, sheet in enumerate(SHEETS)}
QUERIES = {f"query-test-{n}": sheet.query for n, sheet in enumerate(SHEETS)}
QRELS = {query: {f"corpus-test-{n}": 2, f"corpus-test-{(n + 3) % 8}": 1} for n, query in enumerate(QUERIES)}


class EightPages(AbsTaskRetrieval):
    """A document task in the form of mteb's ViDoRe tasks, without a download."""

    metadata = TaskMetadata(
        name="EightPagesRetrieval",
        description="Find sheets of images by two of them.",
        reference=None,
        dataset={"path": "none", "revision": "none"},
        type="DocumentUnderstanding",
        category="t2i",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_5",
        date=("2024-01-01", "2024-07-01"),
        domains=["Academic"],
        task_subtypes=["Image Text Retrieval"],
        license="mit",
        annotations_creators="derived",
        dialect=[],
        modalities=["text", "image"],
        sample_creation="created",
        bibtex_citation="",
    )

    def load_data(self, num_proc: int | None = None, **kwargs) -> None:
        corpus = datasets.Dataset.from_dict(
            {"id": list(PAGES), "image": list(PAGES.values()), "modality": ["image"] * len(PAGES)}
        )
        queries = datasets.Dataset.from_dict(
            {"id": list(QUERIES), "text": list(QUERIES.values()), "modality": ["text"] * len(QUERIES)}
        )
        self.corpus, self.queries = {"test": corpus.cast_column("image", datasets.Image())}, {"test": queries}
        self.relevant_docs, self.data_loaded = {"test": QRELS}, True


def tiny(recipe: str) -> Retriever:
    """Of random weights."""
    return task_for(load_recipe(recipe)).build().eval()


def ndcg_by_mteb(searcher: MtebRetriever, batch_size: int = 3) -> float:
    found = mteb.evaluate(
        searcher, EightPages(), encode_kwargs={"batch_size": batch_size}, cache=None, show_progress_bar=False
    )
    (result,) = found.task_results
    (scores,) = result.scores["test"]
    return scores["ndcg_at_5"]


def ndcg_by_us(model: Retriever, pooling: Pooling | None = None) -> float:
    pages = model.encode_pages(list(PAGES.values()))
    scores = model.score(model.encode_queries(list(QUERIES.values())), pooling(pages) if pooling else pages)
    run = {query: dict(zip(PAGES, row, strict=True)) for query, row in zip(QUERIES, scores.tolist(), strict=True)}
    return ranking_metrics(QRELS, run)[0]["ndcg_at_5"]


@pytest.mark.parametrize("recipe", ["desk-colpali", "desk-bipali"])
def test_mteb_measures_what_we_measure(recipe: str) -> None:
    model = tiny(recipe)
    assert ndcg_by_mteb(retriever(model)) == pytest.approx(ndcg_by_us(model), abs=5e-6)


def test_pooled_pages_are_measured_and_named() -> None:
    model, pooling = tiny("desk-colpali"), Pooling(factor=5, method="fast")
    pooled = retriever(model, "us/tiny", pooling)
    assert ndcg_by_mteb(pooled) == pytest.approx(ndcg_by_us(model, pooling), abs=5e-6)
    assert max(map(len, pooled.pages.values())) == 42 // 5
    assert pooled.mteb_model_meta.name == "us/tiny"
    assert pooled.mteb_model_meta.experiment_kwargs == {"pooling": "fast", "pool_factor": 5}


def test_only_the_best_pages_are_returned_of_those_asked_for() -> None:
    searcher = retriever(tiny("desk-colpali"))
    task = EightPages()
    task.load_data()
    common = {"task_metadata": task.metadata, "encode_kwargs": {}, "num_proc": None}
    searcher.index(task.corpus["test"], hf_split="test", hf_subset="default", **common)
    whole = searcher.search(task.queries["test"], top_k=8, hf_split="test", hf_subset="default", **common)
    few = {query: ["corpus-test-1", "corpus-test-4", "corpus-test-6"] for query in QUERIES}
    best = searcher.search(
        task.queries["test"], top_k=2, top_ranked=few, hf_split="test", hf_subset="default", **common
    )
    for query, found in best.items():
        wanted = sorted(few[query], key=whole[query].get, reverse=True)[:2]
        assert list(found) == wanted and all(found[page] == whole[query][page] for page in found)


def test_a_revision_is_of_the_weights() -> None:
    model = tiny("desk-colpali")
    first, again = (retriever(model).mteb_model_meta.revision for _ in range(2))
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1
    assert first == again != retriever(model).mteb_model_meta.revision


def test_a_task_of_texts_is_refused() -> None:
    searcher = retriever(tiny("desk-colpali"))
    texts = EightPages.metadata.model_copy(update={"category": "t2t", "modalities": ["text"]})
    with pytest.raises(UserError, match=r"document of \['text'\]"):
        searcher.index(None, task_metadata=texts, encode_kwargs={}, num_proc=None)


def test_a_folder_names_the_run(trained: Path) -> None:
    meta = retriever(trained / "model").mteb_model_meta
    assert meta.name == f"collotype/{trained.name}" and meta.modalities == ["text", "image"]
