"""CLIP's training: the whole batch's gradient however it is cut, and what a run tells of its data."""

import io
import json
import math
import os
import signal
import tarfile
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import collotype
from collotype.families import task_for
from collotype.recipe import load_recipe
from collotype.runner.callbacks import Callback
from collotype.runtime.errors import InterruptedRunError, UserError
from tests.families.clip.drawn import drawn, encoded
from tests.training.processes import launch

SMALL = {
    "model.size": "tiny-rn",
    "model.batch_norm_group": 4,
    "train.batch": 16,
    "train.steps": 6,
    "train.schedule": {"name": "cosine", "warmup_steps": 1},
    "evaluate": [],
    "expect": [],
}


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return collotype.load(folder / "model").state_dict()


def assert_same(one: dict, other: dict, tolerance: float) -> None:
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, atol=tolerance, rtol=0)


RUN = """
import json, sys
import collotype
collotype.run("desk-clip", out=sys.argv[1] + "/run", overrides=json.loads(sys.argv[2]), resume=len(sys.argv) > 3)
"""


@pytest.mark.parametrize("sigmoid", [False, True])
def test_processes_and_micro_batches_change_nothing(sigmoid: bool, tmp_path: Path) -> None:
    changes = {**SMALL, "train.precision": "fp64", "loss": {"name": "sigmoid" if sigmoid else "symmetric-infonce"}}
    collotype.run("desk-clip", out=tmp_path / "alone", overrides=changes)
    cut = {**changes, "train.micro_batch": 4, "train.gradient_checkpointing": True}
    done = launch(2, RUN, tmp_path / "group", json.dumps(cut))
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "group" / "run") == pytest.approx(losses(tmp_path / "alone"), abs=1e-8)
    assert_same(weights(tmp_path / "alone"), weights(tmp_path / "group" / "run"), 1e-6)


def test_a_run_goes_on_in_the_middle_of_an_epoch_on_other_processes(tmp_path: Path) -> None:
    # 1,906 images are three batches of 512 and some: steps 2 and 5 are in the middle of epochs
    changes = {
        **SMALL,
        "train.batch": 512,
        "train.precision": "fp64",
        "model.batch_norm_group": 64,
        "evaluate": [{"suite": "pictures", "every_steps": 3}],
        "train.checkpoint_every": 1,
    }
    straight = collotype.run("desk-clip", out=tmp_path / "straight", overrides=changes)

    class Stop(Callback):
        def stepped(self, row: dict) -> None:
            if row["step"] == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRunError):
        collotype.run("desk-clip", out=tmp_path / "cut" / "run", overrides=changes, listener=Stop())
    assert launch(2, RUN, tmp_path / "cut", json.dumps(changes), "--resume").returncode == 0
    assert losses(tmp_path / "cut" / "run") == pytest.approx(losses(tmp_path / "straight"), abs=1e-8)
    curves = [(tmp_path / name / "evaluation" / "curve.jsonl").read_text() for name in ("straight", "cut/run")]
    assert json.loads(curves[0]) == json.loads(curves[1])
    resumed = json.loads((tmp_path / "cut" / "run" / "record.json").read_text())
    assert resumed["results"] == straight.results
    assert {"kind": "resumed", "step": 2} in resumed["events"]


def shard(path: Path, samples: list[tuple[str, dict[str, bytes]]]) -> str:
    with tarfile.open(path, "w") as tar:
        for key, parts in samples:
            for suffix, content in parts.items():
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return str(path)


def samples(
    count: int, damaged: tuple[int, ...] = (), bare: tuple[int, ...] = ()
) -> list[tuple[str, dict[str, bytes]]]:
    found = []
    for number in range(count):
        image = encoded(drawn(30 + number, 40))
        parts = {"jpg": image[:90] if number in damaged else image, "txt": f"image {number}".encode()}
        if number in bare:
            del parts["txt"]
        found.append((f"{number:04d}", parts))
    return found


def test_bad_samples_are_counted_by_cause_and_shard(tmp_path: Path) -> None:
    paths = [
        shard(tmp_path / "a.tar", samples(20, damaged=(3,), bare=(4, 5))),
        shard(tmp_path / "b.tar", samples(20, damaged=(7,))),
    ]
    changes = {
        **SMALL,
        "data": {"train": {"source": "shards", "path": "::".join(paths)}, "max_bad_examples": 0.2},
        "train.batch": 8,
        "model.image_size": 32,
    }
    run = collotype.run("desk-clip", out=tmp_path / "run", overrides=changes)
    assert (run.record["plan"]["examples"], run.record["plan"]["faults_of_data"]) == (38, "2 no caption")
    left_out, *replaced = run.record["events"]
    assert left_out == {"kind": "samples left out", "source": 0, "cause": "no caption", "place": paths[0], "count": 2}
    assert {(event["cause"], event["place"], event["count"]) for event in replaced} == {
        ("image cannot be decoded", path, 1) for path in paths
    }
    with pytest.raises(UserError, match=r"2 training examples cannot be used, but data\.max_bad_examples allows 1"):
        collotype.run("desk-clip", out=tmp_path / "few", overrides={**changes, "data.max_bad_examples": 0.04})
    with pytest.raises(UserError, match=r"a.tar.*image cannot be decoded|b.tar.*image cannot be decoded"):
        strict = {**changes, "data.train.path": paths[1], "data.max_bad_examples": 0.0}
        collotype.run("desk-clip", out=tmp_path / "none", overrides=strict)


def test_captions_longer_than_the_context_are_told(tmp_path: Path) -> None:
    long = [(key, {**parts, "txt": b"one " * 40 if int(key) < 3 else b"one"}) for key, parts in samples(8)]
    source = {"source": "shards", "path": shard(tmp_path / "a.tar", long)}
    changes = {**SMALL, "data.train": source, "train.batch": 8, "train.steps": 2, "model.image_size": 32}
    run = collotype.run("desk-clip", out=tmp_path / "run", overrides=changes)
    assert {"kind": "captions cut to 16 tokens", "count": 6} in run.record["events"]


def test_the_largest_micro_batch_keeps_groups_whole(tmp_path: Path) -> None:
    auto = {**SMALL, "train.micro_batch": "auto", "train.steps": 1}
    run = collotype.run("desk-clip", out=tmp_path / "groups", overrides=auto)
    assert run.record["plan"]["micro_batch"] % 4 == 0
    whole = collotype.run("desk-clip", out=tmp_path / "whole", overrides={**auto, "model.batch_norm_group": None})
    assert whole.record["plan"]["micro_batch"] == 16
    done = launch(4, RUN, tmp_path / "group", json.dumps({**auto, "model.batch_norm_group": 8}))
    assert done.returncode != 0 and "does not divide" in done.stderr and "Traceback (most recent" not in done.stdout


def test_several_images_of_a_sample_are_doubtful_and_used(tmp_path: Path) -> None:
    both = [(key, {**parts, "png": encoded(drawn(20, 20), "PNG")}) for key, parts in samples(12)]
    source = {"source": "shards", "path": shard(tmp_path / "a.tar", both)}
    changes = {**SMALL, "data.train": source, "train.batch": 8, "train.steps": 1, "model.image_size": 32}
    run = collotype.run("desk-clip", out=tmp_path / "run", overrides=changes)
    (event,) = run.record["events"]
    assert (event["kind"], event["cause"], event["count"]) == ("samples doubtful", "several images", 12)


@pytest.mark.parametrize("name", ["symmetric-infonce", "sigmoid"])
def test_the_loss_is_the_published_one(name: str) -> None:
    task = task_for(load_recipe("desk-clip", {"loss": {"name": name}}))
    generator = torch.Generator().manual_seed(0)
    images, texts = (functional.normalize(torch.randn(6, 5, generator=generator), dim=1) for _ in range(2))
    scale, bias = torch.tensor(2.3), torch.tensor(-4.0)
    outputs = {"images": images, "texts": texts, "scale": scale.expand(6), "bias": bias.expand(6)}
    found = task.loss({**outputs, "cut": torch.zeros(6, dtype=torch.bool)}).value
    logits = scale.exp() * images @ texts.T
    if name == "sigmoid":
        # arXiv 2303.15343, algorithm 1
        labels = 2 * torch.eye(6) - 1
        wanted = -functional.logsigmoid(labels * (logits + bias)).sum() / 6
    else:
        targets = torch.arange(6)
        wanted = (functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, targets)) / 2
    torch.testing.assert_close(found, wanted)


def test_the_logit_scale_stays_within_its_bounds() -> None:
    task = task_for(load_recipe("desk-clip", SMALL))
    model = task.build()
    for value, kept in ((7.0, math.log(100)), (-1.0, 0.0), (2.0, 2.0)):
        model.logit_scale.data.fill_(value)
        task.after_step(model)
        assert model.logit_scale.item() == pytest.approx(kept)


def test_half_precision_leaves_the_scores_alone(tmp_path: Path) -> None:
    """Under bf16 autocast similarities would come in steps of 1/8 at a scale of 16 to 32."""
    changes = {**SMALL, "train.precision": "bf16", "train.steps": 2}
    run = collotype.run("desk-clip", out=tmp_path / "run", overrides=changes)
    (finding,) = (one for one in run.record["plan"]["findings"] if one["name"] == "bf16 with BatchNorm")
    assert "precision=fp16" in finding["fix"]
    task = task_for(load_recipe("desk-clip", changes))
    model = task.build().train()
    batch = task.collate([data.example(row, 0) for data in task.datasets() for row in range(16)])
    with torch.autocast("cpu", torch.bfloat16):
        outputs = task.outputs(model, batch)
    assert outputs["images"].dtype == outputs["texts"].dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.batch_norm_group": 5}, "batch_norm_group is 5, which does not divide the micro-batch of 16"),
        ({"model.batch_norm_group": None, "train.micro_batch": 4}, "statistics of the whole batch"),
        ({"data.train.path": "nothing.tar"}, "nothing.tar"),
        ({"model": {"size": "tiny-rn"}}, "activation is missing"),
        ({"model.size": "RN51"}, "Unknown CLIP size 'RN51'"),
        ({"model.size": "tiny-vit"}, "a ViT has no BatchNorm"),
        ({"train.micro_batch_tokens": 6}, "the model has BatchNorm over groups of 4 examples"),
        ({"negatives": {"scope": "global", "processes": 4}}, "use the scope `process`"),
        ({"negatives": {"scope": "process", "processes": 3}}, "a divisor of train.batch = 16"),
        ({"train.shard": "fsdp"}, "a single number and cannot be sharded"),
        ({"train.optimizer.layer_decay": 0.5}, "has two towers and no head above them"),
        ({"data.augmentation.scale": [1.0, 0.4]}, r"scale is \[1.0, 0.4\]"),
        ({"evaluate": [{"suite": "labelled"}]}, "give its path with --path"),
    ],
)
def test_what_cannot_run_is_said_before(changes: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        collotype.run("desk-clip", out=tmp_path / "run", overrides={**SMALL, **changes})
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_training_goes_on_from_weights_of_open_clips_layout(tmp_path: Path) -> None:
    changes = {**SMALL, "model.vocabulary": "clip"}
    first = collotype.run("desk-clip", out=tmp_path / "first", overrides=changes)
    collotype.families.export(first.folder / "model", "open_clip", tmp_path / "theirs")
    assert "quick_gelu" in (tmp_path / "theirs" / "README.md").read_text()
    changes["model"] = {"weights": str(tmp_path / "theirs"), "batch_norm_group": 4}
    del changes["model.size"], changes["model.batch_norm_group"], changes["model.vocabulary"]
    again = collotype.run("desk-clip", out=tmp_path / "again", overrides={**changes, "train.steps": 1})
    assert again.record["model"]["activation"] == "quick_gelu"
    assert losses(tmp_path / "again")[0] < losses(tmp_path / "first")[0]
    with pytest.raises(UserError, match="has the activation quick_gelu, not gelu"):
        collotype.run("desk-clip", out=tmp_path / "wrong", overrides={**changes, "model.activation": "gelu"})
