"""A teacher's scores from a table: learned from as they stand, complete, and the same ones after a resume."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import collotype
from collotype.families import task_for
from collotype.families.retriever.task import RetrieverTask
from collotype.losses.contrastive import ContrastiveLoss, Vectors
from collotype.losses.distillation import own_scores_loss
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError
from collotype.runtime.world import World
from collotype.training.engine import Engine

PAGES = 8


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Eight queries with a page each and up to two explicit negatives, and a table that scores all of them."""
    for number in range(PAGES):
        Image.new("RGB", (48, 48), (30 * number, 255 - 30 * number, 90)).save(tmp_path / f"{number}.png")
    negatives = [[f"{(number + step) % PAGES}.png" for step in range(1, 1 + number % 3)] for number in range(PAGES)]
    rows = [
        {"query": f"page {number}", "image": f"{number}.png", "negatives": others}
        for number, others in enumerate(negatives)
    ]
    write(tmp_path / "pairs.jsonl", rows)
    scores = [
        {"query": row["query"], "page": page, "score": 5.0 - place - 0.1 * number}
        for number, row in enumerate(rows)
        for place, page in enumerate([row["image"], *row["negatives"]])
    ]
    write(tmp_path / "scores.jsonl", scores)
    return tmp_path


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def changes(place: Path, objective: str = "margin-mse", **more: Any) -> dict[str, Any]:
    data = {"source": "pairs", "path": str(place / "pairs.jsonl"), "negatives": 2}
    train = {"train.steps": 3, "train.batch": 8, "train.checkpoint_every": 2, "evaluate": [], "expect": []}
    return {
        **train,
        "data.train": data,
        "distill": {"scores": str(place / "scores.jsonl"), "objective": objective},
        **more,
    }


def gradient(task: RetrieverTask, size: int) -> torch.Tensor:
    engine = Engine(task, task.recipe, World(), torch.device("cpu"))
    examples = [task.datasets()[0].example(row, 0) for row in range(8)]
    engine.backward([task.collate(examples[first : first + size]) for first in range(0, 8, size)], step=1)
    return torch.cat([weight.grad.flatten() for weight in engine.parameters if weight.grad is not None])


@pytest.mark.parametrize("objective", ["kl", "margin-mse"])
def test_micro_batches_change_no_gradient(objective: str, place: Path) -> None:
    task = task_for(load_recipe("desk-colpali", changes(place, objective, **{"train.precision": "fp64"})))
    whole = gradient(task, 8)
    assert whole.norm() > 1e-6
    torch.testing.assert_close(gradient(task, 2), whole, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("objective", ["kl", "margin-mse"])
def test_a_model_with_the_tables_own_scores_has_nothing_to_learn(objective: str, place: Path) -> None:
    task = task_for(load_recipe("desk-colpali", changes(place, objective)))
    model = task.build().eval()
    pages = model.encode_pages([Image.open(place / f"{number}.png") for number in range(PAGES)])
    table = lines(place / "scores.jsonl")
    queries = model.encode_queries([row["query"] for row in table])
    for row, query in zip(table, queries, strict=True):
        own = model.score([query], [pages[int(row["page"][0])]])
        row["score"] = float(own) / (len(query) if task.objective.normalize else 1)
    write(place / "scores.jsonl", table)
    again = task_for(load_recipe("desk-colpali", changes(place, objective)))
    batch = again.collate([again.datasets()[0].example(row, 0) for row in range(PAGES)])
    assert again.loss(again.outputs(model, batch)).metrics["distillation"] == pytest.approx(0, abs=1e-5)
    other = task.collate([task.datasets()[0].example(row, 0) for row in range(PAGES)])
    assert task.loss(task.outputs(model, other)).metrics["distillation"] > 1e-2


def test_what_is_not_there_has_no_part() -> None:
    student = torch.tensor([[2.0, 1.0, 9.0], [3.0, 0.0, 1.0]])
    teacher = torch.tensor([[2.0, 0.0, 0.0], [3.0, 0.0, 1.0]])
    there = torch.tensor([[True, True, False], [True, True, True]])
    assert own_scores_loss(student, teacher, there, None) == pytest.approx(1 / 3)
    one, two = (torch.tensor([2.0, last]).softmax(0) for last in (0.0, 1.0))
    kl = float((one * (one / two).log()).sum()) / 2
    assert own_scores_loss(student, teacher, there, 1.0) == pytest.approx(kl, abs=1e-5)
    unit = Vectors(torch.ones(1, 2, 2), torch.ones(1, 2, dtype=torch.bool))
    none = Vectors(torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3, dtype=torch.bool))
    scores, present = ContrastiveLoss(normalize=True).own_scores(unit, unit, none)
    assert scores.tolist() == [[2.0, 0.0]] and present.tolist() == [[True, False]]


def test_a_run_records_its_table_and_goes_on_with_no_other(place: Path) -> None:
    run = collotype.run("desk-colpali", out=place / "run", overrides=changes(place, **{"loss.normalize": False}))
    told = json.loads((run.folder / "record.json").read_text())["model"]["teacher"]
    assert told["scores"] == len(lines(place / "scores.jsonl")) and told["source"].endswith("scores.jsonl")
    (place / "scores.jsonl").write_text((place / "scores.jsonl").read_text().replace("5.0", "4.5"))
    with pytest.raises(UserError, match="was written with a different table of scores"):
        collotype.run(place / "run", resume=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda rows: rows[1:],
            r"no score for the query 'page 0' and the page path .*0\.png, which .* \(1 such pairs",
        ),
        (
            lambda rows: [*rows, {**rows[0], "score": 1.0}],
            r"scores 'page 0' and its page differently than an earlier row",
        ),
        (lambda rows: [{**rows[0], "score": "high"}, *rows[1:]], r"the score is 'high', not a finite number"),
        (lambda rows: [{**rows[0], "page": None}, *rows[1:]], r"names no page; remove the row"),
        (
            lambda rows: [{"query": "a", "score": 1.0}],
            r"has no column 'page'; it has query, score; a table of scores",
        ),
    ],
)
def test_a_table_that_does_not_match_is_refused(place: Path, change: Any, named: str) -> None:
    write(place / "scores.jsonl", change(lines(place / "scores.jsonl")))
    with pytest.raises(UserError, match=named):
        task_for(load_recipe("desk-colpali", changes(place))).datasets()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"distill.objective": "vectors"}, "a table contains scores; set it to kl or margin-mse"),
        ({"distill.teacher": "runs/desk-colpali/model"}, "either a teacher or a table of its scores"),
        ({"data.train": {"source": "sheets", "queries": 64, "negatives": 1}}, "sheets have none"),
        ({"data.train.negatives": 0}, "data.train has none; set data.train.negatives"),
    ],
)
def test_a_recipe_that_a_table_does_not_fit_is_refused(place: Path, more: dict, named: str) -> None:
    with pytest.raises(UserError, match=named):
        load_recipe("desk-colpali", changes(place, **more))
