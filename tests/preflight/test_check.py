"""`check`: a plan and findings for any recipe and any imported command, without data, weights or a network."""

import io
import json
import re
import shutil
import socket
from pathlib import Path

import pytest
from rich.console import Console

from collotype import runner
from collotype.cli.findings import print_check
from collotype.importers import Imported, import_foreign
from collotype.preflight.hardware import named
from collotype.recipe import Recipe, builtin_names, load_recipe, parse_recipe
from collotype.recipe.smoke import STEPS
from collotype.report.plan import in_words
from collotype.runtime.errors import UserError
from collotype.runtime.weights import Stored
from tests.conftest import SMALL

CASES = Path(__file__).parents[1] / "importers" / "cases"
DOCS = Path(__file__).parents[2] / "docs" / "check.md"

DOCUMENTED = {
    # command: (causes that its thread names, other differences that are documented elsewhere)
    "bipali-torchrun": (
        ["per-process negatives"],
        ["generation of query prompts other than the reference's", "optimiser other than the reference's"],
    ),
    "colqwen2-v100": (["fp16 overflow", "hard negatives where the original had none"], ["per-process negatives"]),
    "rn50-cc3m": (
        ["bf16 with BatchNorm", "long warm-up"],
        [
            "too few shards for workers and processes",
            "similarities in half precision",
            "order of examples not seeded",
            "activation other than the reference's",
            "epochs above the reference",
            "beta2 of 0.999",
        ],
    ),
    "beit3-evaluate": (["no process group to wait in", "head not loaded"], ["weights of another run"]),
}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, no weights, nothing of this project's in the working folder."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("check asks no network and reads no weights")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(Stored, "tensor", refuse)
    monkeypatch.setattr(Stored, "pieces", refuse)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-hub"))
    monkeypatch.chdir(tmp_path)


def check_case(name: str, **settings: object) -> tuple[Recipe, dict, Imported]:
    imported = import_foreign(CASES / f"{name}.sh")
    recipe = parse_recipe(imported.values, name)
    return *runner.check(recipe, origin=imported.origin, **settings), imported


HELD_AGAINST = {
    "bipali-torchrun": "bipali-paper",
    "rn50-cc3m": "clip-rn50-cc3m-v0.1",
    "colqwen2-v100": "colqwen2-v0.1",
    "beit3-evaluate": None,
}


DEFENDED = {
    # what is said of the built-in recipes on a card that has all they ask for, beside what is not here
    "bipali-256": {"long warm-up"},
    "biqwen2": set(),
    "clip-rn50-cc12m": {"beta2 of 0.999"},
    "clip-rn50-cc3m": {"the best epoch before the last"},
    "clip-rn50-cc3m-v0.1": {
        "beta2 of 0.999",
        "long warm-up",
        "no augmentation on a middle-sized set",
        "the best epoch before the last",
    },
    "colmodernvbert": {"long warm-up", "projection drawn at random"},
    "colpali-paper": {"projection drawn at random"},
    "colpali-v1.3": {"long warm-up"},
    "colqwen2-v100": {"fp16 overflow", "long warm-up"},
    "colqwen3.5-v3": {"long warm-up", "projection drawn at random", "a filter that raises negative scores"},
    "evie-4.5b": {"long warm-up", "projection drawn at random", "a filter that raises negative scores"},
    "colqwen3.5-engine": {"projection drawn at random"},
    "ops-colqwen3-4b": {"projection drawn at random"},
    "pplx-embed-v2-late-9b": {"projection drawn at random"},
    "tomoro-colqwen3-4b": {"projection drawn at random"},
    "vultron-flash": {"projection drawn at random"},
    "vultron-prime": {"projection drawn at random"},
}


def test_a_plan_is_made_of_a_recipe_whose_teacher_is_not_here(offline: None, tmp_path: Path) -> None:
    plan = runner.check("desk-distill", {"distill.teacher": str(tmp_path / "teacher")})[1]
    assert [found["name"] for found in plan["findings"] if found["severity"] == "blocks"] == ["weights not here"]


PLANNED = [name for name in builtin_names() if not name.startswith("study-") and name != "desk-distill"]


@pytest.mark.parametrize("name", PLANNED)
def test_any_built_in_recipe_has_a_plan_anywhere_and_nothing_is_said_that_cannot_be_defended(
    name: str, offline: None
) -> None:
    recipe, plan = runner.check(name, card="A100")
    assert plan["steps"] == recipe.train.steps and plan["batch"] == recipe.train.batch
    assert plan["parameters"] >= plan["trainable_parameters"] > 0
    assert plan["estimate"]["disk_mib"] > 0 and plan["estimate"]["step_s"] > 0
    first, last = plan["learning_rate"][0], plan["learning_rate"][-1]
    assert first[0] == 1 and last[0] == recipe.train.steps and last[1] < recipe.train.optimizer.lr
    blocked = {found["name"] for found in plan["findings"] if found["severity"] == "blocks"}
    missing = {"weights not here", "training data not here", "evaluation data not here"}
    assert blocked <= missing and len(blocked) <= len(plan["unknown"])
    json.dumps(plan)
    if name.startswith("desk-"):
        assert plan["findings"] == [] and plan["unknown"] == {}
        return
    said = {found["name"] for found in plan["findings"] if found["severity"] != "blocks"}
    fetched = {"weights not here", "training data not here", "evaluation data not here"} if plan["fetched"] else set()
    repeats = "weights" in plan["fetched"] and "reference" in plan
    unpinned = {"revision of the base not named"} if repeats else set()
    assert said - fetched == DEFENDED.get(name, set()) | unpinned


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_documented_causes_are_found_and_none_is_invented_and_all_is_on_one_page(name: str, offline: None) -> None:
    causes, others = DOCUMENTED[name]
    recipe, plan, imported = check_case(name, card=None if name == "colqwen2-v100" else "A100")
    grave = [one for one in plan["findings"] if one["severity"] != "note" and not one["name"].endswith("not here")]
    assert {one["name"] for one in grave} == {*causes, *others}
    assert not any(one["name"].endswith("data not here") for one in plan["findings"]) or name != "beit3-evaluate"
    assert plan.get("reference") == HELD_AGAINST[name]
    console = Console(width=100, record=True, file=io.StringIO())
    print_check(console, recipe, plan, imported)
    text = console.export_text()
    assert "What the command did" in text
    if any(found["severity"] == "blocks" for found in plan["findings"]):
        # what a run fetches by itself does not block
        assert text.index("What the command did") < text.index("What has to be here first")
    assert max(map(len, text.splitlines())) <= 100 and len(text.splitlines()) <= 80
    assert all(cause in text for cause in causes)


def test_the_page_shows_the_documented_failures_as_they_are_tested() -> None:
    rows = re.findall(r"^\| `(.+?)\.sh` \| (.+?) \| (.+?) \| (.+?) \|$", DOCS.read_text(), re.MULTILINE)
    shown = {name: (causes.split("; "), others.split("; ")) for name, _, causes, others in rows}
    assert shown == DOCUMENTED


def test_what_an_imported_command_is_held_against_can_be_named(offline: None) -> None:
    assert check_case("colqwen2-v100")[1]["device"] == "V100 (32 GB)"
    with pytest.raises(UserError, match="There is no published result 'bipaly'"):
        check_case("bipali-torchrun", against="bipaly")


def test_what_is_not_known_is_said_with_its_reason(offline: None) -> None:
    plan = runner.check("beit3-base-vqav2", card="A100")[1]
    assert plan["unknown"]["weights"].startswith("There is no folder or file beit3_base_patch16_224.pth")
    assert "epochs" not in plan and plan["parameters"] == 228_110_649, "of the published shape"
    plan = runner.check("clip-rn50-cc3m")[1]
    assert plan["assumed"] == {"examples": "as published"} and plan["examples"] == 2_905_954


PLAIN = "python -m open_clip_train.main --train-data t.csv --batch-size 10 --warmup 0 --epochs 1 --lr 1e-5 "


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("--model ViT-B-32 --pretrained openai", 151_277_313),
        ("--model RN50 --pretrained logs/a/epoch_3.pt", 102_007_137),
        ("--model hf-hub:laion/CLIP-ViT-B-16-laion2B-s34B-b88K", 149_620_737),
        ("--model EVA02-B-16 --pretrained merged2b", None),
    ],
)
def test_the_size_that_a_command_names_stands_in_for_weights_that_are_not_here(
    model: str, parameters: int | None, offline: None
) -> None:
    imported = import_foreign(f"{PLAIN} {model} --train-num-samples 1000")
    recipe, plan = runner.check(parse_recipe(imported.values, "here"), origin=imported.origin)
    assert plan.get("parameters") == parameters and "weights" in plan["unknown"]
    assert ("model" in plan["unknown"]) == (parameters is None)
    steps = in_words(recipe.model_dump(), plan)["steps"]
    assert steps == "100 (1 epoch of 1,000 examples, as the command says)"


def test_an_impossible_recipe_is_still_an_error(offline: None) -> None:
    with pytest.raises(UserError, match="cannot be divided"):
        runner.check("colpali-paper", {"train.micro_batch": 5})
    with pytest.raises(UserError, match=r"Unknown GPU 'V1000'; the known ones are .*V100"):
        runner.check("colpali-paper", card="V1000")


def test_weights_that_are_here_are_read_for_their_shapes_alone(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("check reads no weights")

    monkeypatch.setattr(Stored, "tensor", refuse)
    monkeypatch.setattr(Stored, "pieces", refuse)
    weights = {"model.size": None, "model.weights": str(trained / "model")}
    plan = runner.check("desk-colpali", {**SMALL, **weights})[1]
    assert plan["unknown"] == {} and plan["projection"]["from"].startswith(str(trained / "model"))
    assert plan["parameters"] == runner.check("desk-colpali", SMALL)[1]["parameters"]
    shutil.copytree(trained / "model", tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").unlink()
    plan = runner.check("desk-colpali", {**SMALL, **weights, "model.weights": str(tmp_path / "half")})[1]
    assert "contains no model.safetensors" in plan["unknown"]["weights"]


def test_measuring_goes_through_a_step_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = runner.check("desk-colpali", {**SMALL, "train.micro_batch": 4}, measure=True)[1]["estimate"]
    assert found["from"] == "one measured micro-batch of 2" and found["step_s"] > 0 < found["peak_memory_mib"]
    assert list(tmp_path.iterdir()) == []


def test_a_run_shows_its_plan_in_the_report(trained: Path) -> None:
    page, record = (trained / "report.html").read_text(), json.loads((trained / "record.json").read_text())
    assert "<h2>The plan</h2>" in page and "warm-up" in page and ">epoch<" in page
    assert record["plan"]["learning_rate"][-1][0] == record["plan"]["steps"]
    assert f"{record['plan']['parameters']:,}, all of them trained" in page


def test_a_card_is_known_by_any_of_its_names() -> None:
    assert named("Tesla V100-SXM2-16GB") == named("v100 16GB")
    assert named("NVIDIA A100-SXM4-80GB")[1]["capability"] == [8, 0]
    assert named("T4")[1]["memory_mib"] == 16 * 1024


def test_the_command_takes_foreign_ones_cards_and_published_names(cli, tmp_path: Path) -> None:
    done = cli(
        "check", CASES / "rn50-cc3m.sh", "--device", "A100", "--set", "train.precision=fp16", "--json", cwd=tmp_path
    )
    shown = json.loads(done.stdout)
    assert shown["origin"]["tool"] == "open_clip" and shown["left_out"] and shown["plan"]["precision"] == "fp16"
    assert "bf16 with BatchNorm" not in {found["name"] for found in shown["plan"]["findings"]}
    text = cli("check", "bipali-256", "--device", "A100", "--against", "bipali-paper", "--recipe", cwd=tmp_path).stdout
    assert text.startswith("name: bipali-256\n") and "may differ: batch above the reference" in text
    assert list(tmp_path.iterdir()) == []


def test_smoke_forms_are_checked_like_others(offline: None) -> None:
    assert runner.check("colqwen2-v1.0", smoke=True)[1]["steps"] == STEPS
    assert load_recipe("colqwen2-v1.0").train.steps != STEPS
