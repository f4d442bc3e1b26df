"""BEiT-3's training: the published loss and groups, the same however it is cut, and what a run tells of its data."""

import json
import os
import pickle
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

import collotype
from collotype.families import task_for
from collotype.families.beit3.checkpoints.reading import export
from collotype.families.beit3.data.index import FILES
from collotype.recipe import load_recipe
from collotype.recipe.load import load_evaluation
from collotype.runner.callbacks import Callback
from collotype.runner.planning import check
from collotype.runtime.errors import InterruptedRunError, UserError
from collotype.training.optim import make_optimizer
from tests.families.beit3.made_vqa import write_vqav2
from tests.families.beit3.small import make, pieces_tokenizer, trained_pieces
from tests.families.beit3.vqav2_run import fine_tuned, overrides, pretrained
from tests.training.processes import launch

TINY = {
    "model.size": "tiny",
    "train.batch": 8,
    "train.steps": 6,
    "train.schedule.warmup_steps": 1,
    "train.checkpoint_every": 2,
    "evaluate": [],
    "expect": [],
}
SMALL_TEST = {"suite": "easy-vqa", "limit": 60}


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


RUN = """
import json, sys
import collotype
collotype.run("desk-vqa", out=sys.argv[1] + "/run", overrides=json.loads(sys.argv[2]))
"""


def test_processes_and_micro_batches_change_nothing(tmp_path: Path) -> None:
    changes = {**TINY, "train.precision": "fp64", "evaluate": [SMALL_TEST], "train.steps": 4}
    alone = collotype.run("desk-vqa", out=tmp_path / "alone", overrides=changes)
    cut = {**changes, "train.micro_batch": 2, "train.gradient_checkpointing": True}
    done = launch(2, RUN, tmp_path / "group", json.dumps(cut))
    assert done.returncode == 0, done.stderr
    group = tmp_path / "group" / "run"
    assert losses(group) == pytest.approx(losses(alone.folder), abs=1e-9)
    weights = collotype.load(group / "model").state_dict()
    for name, tensor in alone.model().state_dict().items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-7, rtol=0)
    assert json.loads((group / "record.json").read_text())["results"] == alone.results


def test_the_loss_is_the_published_one() -> None:
    """`BCEWithLogitsLoss()(logits.float(), labels) * num_labels` (unilm, beit3/engine_for_finetuning.py)."""
    task = task_for(load_recipe("desk-vqa", TINY))
    logits, targets = torch.randn(4, 13), torch.rand(4, 13).round(decimals=1)
    found = task.loss({"logits": logits, "targets": targets, "cut": torch.zeros(4, dtype=torch.bool)})
    assert float(found.value) == pytest.approx(float(nn.BCEWithLogitsLoss()(logits, targets) * 13), rel=1e-6)
    best = targets[range(4), logits.argmax(1)]
    assert found.metrics["batch_score"] == pytest.approx(float(best.mean()))


def test_targets_are_the_soft_scores_of_people(tmp_path: Path) -> None:
    root = write_vqav2(tmp_path / "data", 12)
    task = task_for(load_recipe("desk-vqa", {**overrides(root, pretrained(tmp_path / "w")), "evaluate": []}))
    (data,) = task.datasets()
    rows = range(0, len(data), 7)
    batch = task.collate([data.example(row, 0) for row in rows])
    for place, row in enumerate(rows):
        counts = data.questions.answers[int(data.questions.answer_row[row])].counts
        wanted = {task.vocabulary.index(answer): count for answer, count in counts.items() if answer in task.vocabulary}
        found = batch["targets"][place]
        assert {label: float(found[label]) for label in found.nonzero().flatten().tolist()} == pytest.approx(
            {label: min(1.0, (0, 0.3, 0.6, 0.9, 1.0)[min(count, 4)]) for label, count in wanted.items()}
        )


def test_groups_are_the_published_ones(tmp_path: Path) -> None:
    changes = {"train.optimizer.weight_decay": 0.01, "train.optimizer.head_lr_multiplier": 20.0}
    recipe = load_recipe("desk-vqa", {**TINY, **changes})
    task = task_for(recipe)
    model = task.build()
    optimizer = make_optimizer(model, recipe, task.blocks(model), task.head(model), task.undecayed)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = {names[p]: group for group in optimizer.param_groups for p in group["params"]}
    assert {name for name, group in groups.items() if group["lr_multiplier"] == 20} == {
        name for name in groups if name.startswith("head.")
    }, "the pooler is not among them"
    for name, group in groups.items():
        bare = name in ("beit3.vision_embed.cls_token", "beit3.encoder.embed_positions.A.weight")
        assert group["weight_decay"] == (0.0 if bare or model.get_parameter(name).ndim == 1 else 0.01), name
    # layer decay .65 and two layers: .2746, .4225, .65, 1 (docs of unilm); three here
    recipe = load_recipe("desk-vqa", {**TINY, "train.optimizer.layer_decay": 0.65})
    optimizer = make_optimizer(model, recipe, task.blocks(model), task.head(model), task.undecayed)
    found = {names[p]: group["lr_multiplier"] for group in optimizer.param_groups for p in group["params"]}
    assert found["beit3.encoder.embed_positions.B.weight"] == found["beit3.text_embed.weight"] == pytest.approx(0.65**4)
    assert found["beit3.encoder.layers.0.ffn.A.fc1.weight"] == pytest.approx(0.65**3)
    assert found["pooler.dense.weight"] == found["head.3.weight"] == 1.0


def test_what_loaders_are_sent_can_be_sent() -> None:
    task = task_for(load_recipe("desk-vqa", TINY))
    (data,) = task.datasets()
    collate = pickle.loads(pickle.dumps(task.collate))  # noqa: S301 - as the loader does it
    examples = [data.example(row, 0) for row in (0, 9)]
    assert torch.equal(collate(examples)["ids"], task.collate(examples)["ids"])


def test_missing_images_and_lost_questions_are_counted(tmp_path: Path) -> None:
    root = write_vqav2(tmp_path / "data", 20)
    gone = root / "train2014" / f"COCO_train2014_{1003:012d}.jpg"
    gone.unlink()
    changes = {"data.max_bad_examples": 0.2, "train.steps": 12, "data.fewest_questions": 9, "evaluate": []}
    run = collotype.run(
        "desk-vqa", out=tmp_path / "run", overrides=overrides(root, pretrained(tmp_path / "w"), **changes)
    )
    left_out, cut, missing = run.record["events"]
    assert (left_out["kind"], left_out["cause"]) == ("questions left out", "no answer in the vocabulary")
    assert cut["kind"] == "questions cut to 16 tokens" and 0 < cut["count"] <= 12 * 16
    assert left_out["count"] + run.record["data"]["train"]["examples"] == 4 * (2 * 20 - 10)
    assert missing["cause"] == "image file cannot be read" and missing["place"] == str(gone.parent)
    with pytest.raises(UserError, match=r"COCO_train2014_000000001003\.jpg: No such file"):
        strict = {**changes, "data.max_bad_examples": 0.0}
        collotype.run("desk-vqa", out=tmp_path / "none", overrides=overrides(root, tmp_path / "w", **strict))


def test_averages_are_evaluated_and_saved_beside_the_weights(tmp_path: Path) -> None:
    changes = {**TINY, "train.ema_decay": 0.5, "evaluate": [{**SMALL_TEST, "every_steps": 4}]}
    both = {"easy-vqa/test", "easy-vqa/test@ema"}
    straight = collotype.run("desk-vqa", out=tmp_path / "straight", overrides=changes)
    assert set(straight.results) == both
    curve = json.loads((tmp_path / "straight" / "evaluation" / "curve.jsonl").read_text())
    assert curve["step"] == 4 and set(curve["results"]) == both
    averaged, raw = (collotype.load(tmp_path / "straight" / name).state_dict() for name in ("model-ema", "model"))
    assert any(not torch.equal(averaged[name], raw[name]) for name in raw)
    assert json.loads((tmp_path / "straight" / "evaluation" / "easy-vqa" / "test@ema.json").read_text())["metrics"]
    assert "easy-vqa/test@ema" in (tmp_path / "straight" / "report.html").read_text()

    class Stop(Callback):
        def stepped(self, row: dict) -> None:
            if row["step"] == 5:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRunError):
        collotype.run("desk-vqa", out=tmp_path / "cut", overrides=changes, listener=Stop())
    resumed = collotype.run("desk-vqa", out=tmp_path / "cut", overrides=changes, resume=True)
    assert resumed.results == straight.results
    found = collotype.load(tmp_path / "cut" / "model-ema").state_dict()
    assert all(torch.equal(found[name], averaged[name]) for name in averaged)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_report_shows_questions_answers_and_attention(precision: str, tmp_path: Path) -> None:
    blank = {**SMALL_TEST, "blank_pictures": True}
    changes = {**TINY, "evaluate": [SMALL_TEST, blank], "train.precision": precision}
    run = collotype.run("desk-vqa", out=tmp_path / "run", overrides=changes)
    assert set(run.results) == {"easy-vqa/test", "easy-vqa/test-blank"}
    page = (tmp_path / "run" / "report.html").read_text()
    examples = json.loads(next((tmp_path / "run" / "evaluation").glob("*/examples/examples.json")).read_text())
    row = examples["examples"][0]["rows"][0]
    assert row[0]["right"] is None and row[1]["label"] in page.replace("&#39;", "'") and "?" in row[1]["label"]
    assert page.count("data:image/png") >= 10 and "Where the model looked".lower() in page.lower()


def test_index_files_of_upstream_train_too(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "beit3.spm").write_bytes(trained_pieces())
    root = write_vqav2(tmp_path / "data", 4)
    lines = [
        {
            "image_path": f"train2014/COCO_train2014_{1000 + number:012d}.jpg",
            "text_segment": [7, 8, 9][: 1 + number % 3],
            "labels": [number % 2],
            "scores": [1.0],
            "qid": number,
        }
        for number in range(4)
    ]
    for file in FILES["train"]:
        rows = lines if file == FILES["train"][0] else [{**one, "qid": one["qid"] + 9} for one in lines]
        (root / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "answer2label.txt").write_text('{"answer": "yes", "label": 0}\n{"answer": "no", "label": 1}\n')
    changes = {**TINY, "model.tokenizer": str(tmp_path / "w"), "data.train": {"source": "vqa-index", "path": str(root)}}
    run = collotype.run("desk-vqa", out=tmp_path / "run", overrides=changes)
    assert run.model().answer_list == ("yes", "no") and run.record["data"]["train"]["examples"] == 8
    with pytest.raises(UserError, match=r"are tokenized with beit3\.spm; set model\.tokenizer to that file"):
        collotype.run("desk-vqa", out=tmp_path / "words", overrides={**changes, "model.tokenizer": "words"})


def test_a_finding_says_that_released_weights_have_seen_most_of_any_split(tmp_path: Path) -> None:
    root = write_vqav2(tmp_path / "data", 20)
    tuned = make(tokenizer=pieces_tokenizer(), answer_list=("yes", "no", "red", "green", "blue", "yellow", "1"))
    export(tuned, "beit3", tmp_path / "released", "")
    (weights,) = (tmp_path / "released").glob("*.pth")
    changes = {**overrides(root, weights), "model": {"weights": str(weights)}}

    def found() -> dict[str, dict]:
        return {finding["name"]: finding for finding in check("desk-vqa", changes)[1]["findings"]}

    seen = "questions that released weights have seen"
    assert "97.5 %" in found()[seen]["why"]
    changes["model"] = {"weights": str(weights), "new_head": True}
    assert seen not in found()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": {"size": "tiny"}}, "tokenizer is missing: the path of beit3.spm, or words"),
        ({"model": {"weights": "x", "tokenizer": "words"}}, "weights have their own vocabulary"),
        ({"model": {"size": "tiny", "tokenizer": "words", "new_head": True}}, "new_head is only for given weights"),
        ({"data.train": {"source": "vqa2", "path": "x"}}, "did you mean 'vqav2'"),
        ({"evaluate": [{"suite": "easy-vqa", "path": "x"}]}, "path is not supported by the suite easy-vqa"),
        (
            {"evaluate": [{"suite": "vqav2", "path": "x"}, {"suite": "vqav2", "path": "y"}]},
            "would both write the results of vqav2/val",
        ),
        (
            {
                "data.train": {"source": "vqav2", "path": "x", "held_out": "own.json"},
                "evaluate": [{"suite": "vqav2", "path": "./x"}],
            },
            "holds out the images in own.json, but evaluate uses those in x/held-out.json",
        ),
    ],
)
def test_recipes_that_contradict_themselves(changes: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        load_recipe("desk-vqa", changes)


def test_the_number_of_answers_is_that_of_the_recipe(tmp_path: Path) -> None:
    root, weights = write_vqav2(tmp_path / "data", 20), pretrained(tmp_path / "w")
    assert {load_recipe(name).data.num_answers for name in ("beit3-base-vqav2", "beit3-large-vqav2")} == {3129}
    with pytest.raises(
        UserError, match=r"The data has \d+ answers, but data.num_answers is 3,129, so the data is different"
    ):
        collotype.run(
            "desk-vqa", out=tmp_path / "run", overrides=overrides(root, weights, **{"data.num_answers": 3129})
        )
    answers = check("desk-vqa", overrides(root, weights))[1]["answers"]
    plan = check("desk-vqa", overrides(root, weights, **{"data.num_answers": answers}))[1]
    assert plan["answers"] == answers and not plan["unknown"]


def test_a_run_is_not_measured_by_what_nobody_answered(tmp_path: Path) -> None:
    root = write_vqav2(tmp_path / "data", 20)
    changes = overrides(
        root, pretrained(tmp_path / "w"), evaluate=[{"suite": "vqav2", "path": str(root), "split": "test"}]
    )
    with pytest.raises(UserError, match="The answers to vqav2/test are not public, so a run cannot be evaluated on it"):
        collotype.run("desk-vqa", out=tmp_path / "run", overrides=changes)
    assert load_evaluation("beit3", suite=f"vqav2:{root}").own_name == "val"


def test_expectations_that_others_measure_stay_open(tmp_path: Path) -> None:
    expect = {"dataset": "vqav2/test-dev", "metric": "vqa_accuracy", "value": 0.7765, "tolerance": 0.005}
    expect |= {"source": "a table", "measured_by": "EvalAI"}
    _, run = fine_tuned(tmp_path, expect=[expect])
    assert run.verdict is None and run.reproduced
    page = (run.folder / "report.html").read_text()
    assert "open: vqa_accuracy of vqav2/test-dev, expected 0.7765 ± 0.0050; it is measured by EvalAI" in page
