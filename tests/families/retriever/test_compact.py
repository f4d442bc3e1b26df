"""Vectors cut and pages pooled: the same in training as in use, and refused where a model was not trained for it."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional

from collotype.cli.hybrid_index import open_or_create
from collotype.families import load, task_for
from collotype.families.retriever.benchmarks.qa import read_qa
from collotype.families.retriever.checkpoints import native
from collotype.families.retriever.compact import cut, pooled
from collotype.families.retriever.config import Compact
from collotype.families.retriever.evaluate import VectorSearch, retrieve
from collotype.families.retriever.token_pooling import Pooling, pool_tokens
from collotype.losses.contrastive import Vectors
from collotype.recipe import load_recipe
from collotype.recipe.load import load_evaluation
from collotype.runtime.errors import UserError
from collotype.search.encoders import open_encoder
from collotype.search.pages import Page
from tests.families.retriever.benchmarks.parquet_sets import sheets_as_qa

FORMS = {"loss.dims": [128, 64], "loss.pool_factors": [1, 3]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is said to be trained for 64 dimensions and the pool factor 3."""
    folder = tmp_path_factory.mktemp("compact") / "model"
    native.write(task_for(load_recipe("desk-colpali", FORMS)).build(), folder)
    return folder


def pages() -> Vectors:
    generator = torch.Generator().manual_seed(0)
    values = functional.normalize(torch.randn(4, 30, 16, generator=generator, dtype=torch.float64), dim=-1)
    mask = torch.arange(30) < torch.tensor([30, 17, 1, 0])[:, None]
    return Vectors(values * mask[..., None], mask)


def test_training_pools_a_page_as_an_index_does() -> None:
    found, _ = pooled(pages(), 3)
    assert found.mask.sum(1).tolist() == [10, 5, 1, 0]
    for row, keep, own, real in zip(*found, *pages(), strict=True):
        alone = pool_tokens(own[real], 3, "fast")
        best = (row[keep] @ alone.T).amax(1) if len(alone) else torch.ones(0)
        torch.testing.assert_close(best, torch.ones_like(best), atol=1e-6, rtol=0)


def test_the_gradient_goes_through_the_centres() -> None:
    values, mask = (tensor[:2, :8] for tensor in pages())
    assert torch.autograd.gradcheck(
        lambda rows: pooled(Vectors(rows, mask), 3)[0].values, values.clone().requires_grad_()
    )


def test_the_loss_is_the_mean_over_all_forms() -> None:
    task = task_for(load_recipe("desk-colpali", FORMS))
    whole = {
        name: task_for(load_recipe("desk-colpali", {"loss.dims": [d], "loss.pool_factors": [f]}))
        for name, d, f in (("a", 128, 1), ("b", 128, 3), ("c", 64, 1), ("d", 64, 3))
    }
    generator = torch.Generator().manual_seed(1)
    outputs = {}
    for side, length in (("query", 4), ("page", 9)):
        vectors = torch.randn(4, length, 128, generator=generator)
        outputs |= {f"{side}_vectors": functional.normalize(vectors, dim=-1), f"{side}_mask": torch.ones(4, length) > 0}
    alone = [float(one.loss(outputs).value) for one in whole.values()]
    assert len(set(alone)) == 4
    assert float(task.loss(outputs).value) == pytest.approx(sum(alone) / 4, rel=1e-6)


def test_what_a_page_is_pooled_to_pulls_its_vectors() -> None:
    """loss.pool_spread weighs 1 − cosine of every vector with its cluster's centre; pages that pool well have none."""
    task = {
        weight: task_for(load_recipe("desk-colpali", {"loss.pool_factors": [1, 3], "loss.pool_spread": weight}))
        for weight in (0.0, 1.0)
    }
    generator = torch.Generator().manual_seed(2)
    apart = functional.normalize(torch.randn(4, 9, 128, generator=generator), dim=-1)
    alike = functional.normalize(torch.randn(4, 3, 128, generator=generator), dim=-1).repeat_interleave(3, 1)
    for pages, added in ((apart, None), (alike, 0.0)):
        outputs = {"query_vectors": apart[:, :4], "query_mask": torch.ones(4, 4) > 0}
        outputs |= {"page_vectors": pages, "page_mask": torch.ones(4, 9) > 0}
        found = float(task[1.0].loss(outputs).value - task[0.0].loss(outputs).value)
        if added is None:
            centres = [pool_tokens(page, 3, "fast") for page in pages]
            # a vector's own centre is the nearest here
            spread = [1 - (page @ own.T).amax(1) for page, own in zip(pages, centres, strict=True)]
            added = float(torch.cat(spread).mean()) / 2
            assert added > 0.1
        assert found == pytest.approx(added, abs=1e-5)


def test_the_folder_remembers_and_the_identity_does_not_change(folder: Path) -> None:
    model = load(folder)
    assert model.config.compact == Compact(dims=(128, 64), pool_factors=(1, 3))
    assert model.digest() == task_for(load_recipe("desk-colpali")).build().digest()


def test_an_evaluation_cuts_then_pools(folder: Path, tmp_path: Path) -> None:
    model, benchmark = load(folder), read_qa("qa/sheets", sheets_as_qa(tmp_path, 12))
    choice = load_evaluation("retriever", suite="sheets", dim=64, pool_factor=3)
    searcher = VectorSearch.of(model, choice)
    found = retrieve(searcher, [benchmark])[0].scores
    queries = [cut(one, 64) for one in model.encode_queries(list(benchmark.queries.values()))]
    shown = [
        cut(one, 64) for one in model.encode_pages([benchmark.pages.image(n) for n in range(len(benchmark.pages))])
    ]
    expected = model.score(queries, Pooling(factor=3, method="fast")(shown))
    torch.testing.assert_close(found, expected)
    assert searcher.facts()["dim"] == 64 and searcher.facts()["pooling"] == {"factor": 3, "method": "fast"}


@pytest.mark.parametrize(
    ("form", "named"), [({"dim": 32}, "dim 32 .*128, 64"), ({"pool_factor": 2}, "factor 2 .*1, 3")]
)
def test_a_form_it_was_not_trained_for_is_refused(folder: Path, form: dict, named: str, tmp_path: Path) -> None:
    model = load(folder)
    with pytest.raises(UserError, match=f"not trained for the .*{named}.*--untrained"):
        VectorSearch.of(model, load_evaluation("retriever", suite="sheets", **form))
    VectorSearch.of(model, load_evaluation("retriever", suite="sheets", untrained=True, **form))
    asked = {"model": str(folder), "dim": form.get("dim")}
    with pytest.raises(UserError, match="--untrained"):
        open_or_create(tmp_path / "index", asked, None, form.get("pool_factor"))
    assert not (tmp_path / "index").exists()


def test_an_index_keeps_its_dim_and_belongs_to_that_form_of_the_model(folder: Path, tmp_path: Path) -> None:
    index, encoder = open_or_create(tmp_path / "index", {"model": str(folder), "dim": 64}, None, 3)
    image = Image.effect_noise((96, 96), 90).convert("RGB")
    page = Page(document="a", number=1, digest="d", size=image.size, image=lambda: image)
    index.add([(page, encoder.encode_pages([page])[0])])
    query = encoder.encode_queries(["red apple"])[0]
    assert index.page("a", 1).encoded.vectors.shape == (14, 64) and query.vectors.shape[1] == 64
    assert index.search(query)[0].document == "a"
    with pytest.raises(UserError, match="was made by"):
        index.manifest.belongs_to(open_encoder(str(folder)), index.folder)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"loss.dims": [256]}, "loss.dims has 256, but vectors have only model.dim = 128"),
        ({"loss.pool_spread": 0.5}, "loss.pool_spread is 0.5, but nothing is pooled"),
        ({"loss.pool_factors": [3], "model.interaction": "single"}, "a single vector per page cannot be pooled"),
    ],
)
def test_forms_that_cannot_be_are_refused(changes: dict, named: str) -> None:
    with pytest.raises(UserError, match=named):
        load_recipe("desk-colpali", changes)
