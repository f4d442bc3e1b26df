"""A student reads queries, its teacher encodes the pages: trained like any other, one folder, and refused where they do
not fit."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

import collotype
from collotype.cli.hybrid_index import open_or_create
from collotype.families import load, task_for
from collotype.families.retriever.checkpoints import native
from collotype.families.retriever.task import RetrieverTask
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError
from collotype.runtime.world import World
from collotype.search.encoders import open_encoder
from collotype.search.encoders.retriever import RetrieverEncoder
from collotype.search.encoders.student import StudentEncoder
from collotype.search.library import EmbeddedLibrary
from collotype.search.pages import Page
from collotype.training.engine import Engine

PICTURE = Image.effect_noise((96, 96), 90).convert("RGB")
PAGE = Page(document="a", number=1, digest="d", size=PICTURE.size, image=lambda: PICTURE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher of random weights."""
    place = tmp_path_factory.mktemp("distill")
    native.write(task_for(load_recipe("desk-colpali")).build(), place / "teacher")
    return place


def changes(place: Path, **distill: object) -> dict:
    teacher = {"teacher": str(place / "teacher"), **distill}
    train = {"train.steps": 3, "train.batch": 8, "train.checkpoint_every": 2, "evaluate": [], "expect": []}
    return {**train, "distill": teacher}


@pytest.fixture(scope="module")
def student(place: Path) -> Path:
    collotype.run("desk-distill", out=place / "run", overrides=changes(place))
    return place / "run" / "model"


def gradient(task: RetrieverTask, size: int) -> Tensor:
    engine = Engine(task, task.recipe, World(), torch.device("cpu"))
    examples = [task.datasets()[0].example(row, 0) for row in range(8)]
    engine.backward([task.collate(examples[first : first + size]) for first in range(0, 8, size)], step=1)
    return torch.cat([weight.grad.flatten() for weight in engine.parameters if weight.grad is not None])


@pytest.mark.parametrize("recipe", ["desk-distill", "desk-colpali"])
@pytest.mark.parametrize(("objective", "weight"), [("vectors", 1.0), ("kl", 0.5), ("margin-mse", 1.0)])
def test_micro_batches_change_no_gradient(recipe: str, objective: str, weight: float, place: Path) -> None:
    asked = {**changes(place, objective=objective, weight=weight), "train.precision": "fp64", "train.seed": 7}
    task = task_for(load_recipe(recipe, asked))
    whole = gradient(task, 8)
    assert whole.norm() > 1e-6
    torch.testing.assert_close(gradient(task, 4), whole, atol=1e-10, rtol=1e-10)


def test_a_student_is_small_and_its_pages_are_its_teachers(student: Path, place: Path) -> None:
    model, teacher = load(student), load(place / "teacher")
    count = lambda one: sum(weight.numel() for weight in one.parameters())  # noqa: E731
    assert count(model) < count(teacher) / 4
    torch.testing.assert_close(model.encode_pages([PICTURE]), teacher.encode_pages([PICTURE]), rtol=0, atol=0)
    assert [one.shape for one in model.encode_queries(["red apple"])] == [
        one.shape for one in teacher.encode_queries(["red apple"])
    ]
    assert model.page_digest == teacher.digest() != model.digest()


def test_training_brings_its_vectors_nearer_to_the_teachers(place: Path, tmp_path: Path) -> None:
    longer = {**changes(place), "train.steps": 30, "train.optimizer.lr": 3e-3}
    run = collotype.run("desk-distill", out=tmp_path / "run", overrides=longer)
    first, *_, last = [
        float(line.split('"distillation": ')[1].split(",")[0]) for line in open(run.folder / "metrics.jsonl")
    ]
    assert last < first / 2


def test_a_search_needs_no_page_model(student: Path, place: Path, tmp_path: Path, cli) -> None:
    shutil.copytree(student, tmp_path / "student")
    shutil.copytree(place / "teacher", tmp_path / "teacher")
    description = (tmp_path / "student/collotype.json").read_text()
    (tmp_path / "student/collotype.json").write_text(description.replace(str(place), str(tmp_path)))
    index, encoder = open_or_create(tmp_path / "index", {"model": str(tmp_path / "student")}, None, None)
    index.add([(PAGE, encoder.encode_pages([PAGE])[0])])
    shutil.rmtree(tmp_path / "teacher")
    library = EmbeddedLibrary.open(tmp_path / "index", lambda *_: PICTURE)
    assert library.search("red apple", 1)[0].document == "a"
    code = "import sys; from collotype.cli import main; del sys.argv[1:3]\n"
    code += "try: main()\nfinally: print('torch' in sys.modules)"
    done = cli("search", tmp_path / "index", "red apple", launcher=[sys.executable, "-c", code])
    assert "1. a, page 1" in done.stdout and done.stdout.endswith("False\n"), done.stderr
    with pytest.raises(UserError, match=r"encodes queries only, and .*--base"):
        library.model.encode_pages([PAGE])
    assert open_encoder(str(tmp_path / "student"), base=str(place / "teacher")).encode_pages([PAGE])


@pytest.mark.parametrize("dim", [None, 32])
def test_search_computes_a_students_queries_as_the_model_does(student: Path, dim: int | None) -> None:
    encoder = open_encoder(str(student), dim=dim)
    assert isinstance(encoder, StudentEncoder)
    queries = ["Red  apple and bicycle", "umbrella"]
    for found, expected in zip(encoder.encode_queries(queries), encoder.whole.encode_queries(queries), strict=True):
        np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)
        assert (found.words, found.word_of) == (expected.words, expected.word_of)
    assert (encoder.identity, encoder.dim) == (encoder.whole.identity, encoder.whole.dim)


def test_so_it_does_of_a_single_vector(place: Path, tmp_path: Path) -> None:
    native.write(task_for(load_recipe("desk-bipali")).build(), tmp_path / "teacher")
    form = {"model.interaction": "single", "model.dim": 128, "distill.teacher": str(tmp_path / "teacher")}
    native.write(task_for(load_recipe("desk-distill", form)).build(), tmp_path / "student")
    encoder = open_encoder(str(tmp_path / "student"))
    [found], [expected] = (one.encode_queries(["umbrella"]) for one in (encoder, encoder.whole))
    assert isinstance(encoder, StudentEncoder) and found.vectors.shape == (1, 128)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)


def test_a_student_in_another_form_is_computed_by_torch(student: Path, tmp_path: Path) -> None:
    assert isinstance(open_encoder(str(student), dtype="bf16"), RetrieverEncoder)
    shutil.copytree(student, tmp_path / "half")
    weights = load_file(student / "model.safetensors")
    save_file({name: one.bfloat16() for name, one in weights.items()}, tmp_path / "half/model.safetensors")
    assert isinstance(open_encoder(str(tmp_path / "half")), RetrieverEncoder)
    with pytest.raises(UserError, match="contains <image>, the placeholder of a page"):
        open_encoder(str(student)).encode_queries(["an <image>"])


def test_a_damaged_student_is_refused(student: Path, tmp_path: Path) -> None:
    shutil.copytree(student, tmp_path / "student")
    (tmp_path / "student/tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="student is damaged"):
        open_encoder(str(tmp_path / "student"))
    with pytest.raises(UserError, match="dim is 400, but the vectors of"):
        open_encoder(str(student), dim=400)


def test_an_index_of_the_teacher_is_searched_by_the_student_and_by_no_other(
    student: Path, place: Path, tmp_path: Path
) -> None:
    index, encoder = open_or_create(tmp_path / "index", {"model": str(place / "teacher")}, None, None)
    index.add([(PAGE, encoder.encode_pages([PAGE])[0])])
    by_student = EmbeddedLibrary.open(tmp_path / "index", lambda *_: PICTURE, queries=str(student))
    assert by_student.encoder == str(student) and by_student.search("red apple", 1)
    native.write(task_for(load_recipe("desk-colpali", {"train.seed": 1})).build(), tmp_path / "other")
    with pytest.raises(UserError, match=r"was made by .*teacher"):
        EmbeddedLibrary.open(tmp_path / "index", lambda *_: PICTURE, queries=str(tmp_path / "other"))


def test_a_teacher_that_changes_while_it_is_learned_from_is_an_event(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "teacher", tmp_path / "teacher")
    task = task_for(load_recipe("desk-distill", changes(tmp_path)))
    task.build()
    kind = "the teacher changed since"
    assert kind not in [event["kind"] for event in task.events([])]
    learned_from = task.teacher.sha256
    shutil.rmtree(tmp_path / "teacher")
    native.write(task_for(load_recipe("desk-colpali", {"train.seed": 1})).build(), tmp_path / "teacher")
    [event] = [event for event in task.events([]) if event["kind"] == kind]
    assert event["learned from"] == learned_from == load(place / "teacher").digest()


def test_a_teacher_that_changed_is_refused(student: Path, place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "teacher", tmp_path / "teacher")
    collotype_run = {"out": tmp_path / "run", "overrides": changes(tmp_path)}
    collotype.run("desk-distill", **collotype_run)
    shutil.rmtree(tmp_path / "teacher")
    native.write(task_for(load_recipe("desk-colpali", {"train.seed": 1})).build(), tmp_path / "teacher")
    with pytest.raises(UserError, match=r"distilled from the teacher .* is now another"):
        load(tmp_path / "run/model").encode_pages([PICTURE])
    with pytest.raises(UserError, match=r"was written with a different teacher"):
        collotype.run(tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("recipe", "asked", "named"),
    [
        ("desk-distill", {"model.dim": 64}, "model.dim is 64, but its teacher .* has 128"),
        ("desk-distill", {"model.interaction": "single"}, "model.interaction is single"),
        ("desk-distill", {"model.preset": "colpali-transformers"}, "model.preset is colpali-transformers"),
        ("desk-colpali", {"data.train": {"source": "sheets", "queries": 64, "seed": 3}}, ""),
        ("desk-colpali", {"model.dim": 64}, "model.dim is 64"),
    ],
)
def test_a_student_whose_vectors_are_others_is_refused(recipe: str, asked: dict, named: str, place: Path) -> None:
    task = task_for(load_recipe(recipe, {**changes(place), **asked}))
    if named:
        with pytest.raises(UserError, match=named):
            task.build()
    else:
        task.build()


def test_what_does_nothing_to_a_text_tower_is_refused(place: Path) -> None:
    with pytest.raises(UserError, match=r"model.backbone is text, which cannot encode pages"):
        load_recipe("desk-distill", {"distill": None})
    with pytest.raises(UserError, match=r"loss.dims is not supported"):
        load_recipe("desk-distill", {**changes(place), "loss.dims": [64]})
