"""Sparse retrievers: a page is weights of words, a query its own words, and no model reads it."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from collotype.families import load, task_for
from collotype.families.retriever.checkpoints import native
from collotype.families.retriever.config import BYTES_PER_WEIGHT
from collotype.families.retriever.inverted import InvertedIndex, all_scores
from collotype.families.retriever.model import Retriever
from collotype.losses.sparse import bags, flops, saturated
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError

PAGES = [torch.tensor([[0.0, 2.0, 0.0, 1.0]]), torch.tensor([[0.5, 0.0, 0.0, 0.0]]), torch.zeros(1, 4)]


@pytest.fixture(scope="module")
def model() -> Retriever:
    return task_for(load_recipe("desk-sparse")).build().eval()


def test_a_words_weight_is_its_best_token_saturated_and_padding_has_none() -> None:
    logits = torch.tensor([[[1.0, -1.0], [3.0, 9.0]]])
    weights = saturated(logits, torch.tensor([[True, False]]))
    torch.testing.assert_close(weights, torch.tensor([[2.0, 1.0]]).log())


def test_a_query_is_its_words_once_each() -> None:
    ids, mask = torch.tensor([[2, 2, 0], [1, 0, 0]]), torch.tensor([[True, True, True], [True, False, False]])
    assert bags(ids, mask, 4).tolist() == [[1, 0, 1, 0], [0, 1, 0, 0]]


def test_the_regulariser_is_what_a_search_would_multiply() -> None:
    assert flops(torch.tensor([[2.0, 0.0], [0.0, 2.0]])) == 2 and flops(torch.tensor([[2.0, 0.0], [2.0, 0.0]])) == 4


def test_an_inverted_index_scores_as_the_dot_product() -> None:
    queries = [torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0, 0.0]])]
    assert all_scores(queries, PAGES).tolist() == [[2.0, 0.5, 0.0], [0.0, 0.0, 0.0]]
    assert InvertedIndex(PAGES).bytes_per_page == pytest.approx(3 * BYTES_PER_WEIGHT / 3)


def test_a_query_needs_no_model_and_knows_no_frame(model: Retriever, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.backbone, "forward", None)
    [found] = model.encode_queries(["Red apple"])
    own = {model.processor.tokenizer.token_to_id(word) for word in ("red", "apple")}
    assert found.shape == (1, model.width) and set(found[0].nonzero()[:, 0].tolist()) == own


def test_it_is_trained_saved_and_loaded_like_any_other(model: Retriever, tmp_path: Path) -> None:
    native.write(model, tmp_path / "model")
    picture = Image.effect_noise((96, 96), 90).convert("RGB")
    [page] = load(tmp_path / "model").encode_pages([picture])
    torch.testing.assert_close(page, model.encode_pages([picture])[0])
    assert page.shape == (1, model.width) and (page >= 0).all()


def test_the_loss_adds_the_regulariser() -> None:
    task, without = (task_for(load_recipe("desk-sparse", {"loss.flops": weight})) for weight in (3e-3, None))
    batch = task.collate([task.datasets()[0].example(row, 0) for row in range(4)])
    outputs = task.outputs(task.build(), batch)
    added = task.loss(outputs).value - without.loss(outputs).value
    assert float(added) == pytest.approx(3e-3 * float(flops(outputs["page_vectors"][:, 0])), rel=1e-2)


@pytest.mark.parametrize(
    ("recipe", "changes", "named"),
    [
        ("desk-sparse", {"model.dim": 64}, "leave model.dim and loss.dims out"),
        ("desk-colpali", {"loss.flops": 0.1}, "only sparse models support"),
    ],
)
def test_what_does_not_fit_is_refused(recipe: str, changes: dict, named: str) -> None:
    with pytest.raises(UserError, match=named):
        load_recipe(recipe, changes)
