"""From VQAv2's raw files to a fine-tuned model, a complete submission and a score, whoever shares the work."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

import collotype
from collotype import families
from collotype.evaluation.vqa import vqa_scores
from collotype.families.beit3.answer_vocab import write_answers
from collotype.families.beit3.benchmarks import find_suite
from collotype.families.beit3.data.images import ImageFiles, decoded
from collotype.families.beit3.predict import Answering
from collotype.families.beit3.submission import read_submission
from collotype.recipe.load import load_evaluation
from collotype.runner.result import Run
from collotype.runtime.errors import UserError
from tests.families.beit3.small import trained_pieces
from tests.families.beit3.vqav2_run import IMAGES, fine_tuned
from tests.training.processes import ROOT

FILE = "submit_vqav2_test.json"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    return fine_tuned(tmp_path_factory.mktemp("vqav2"))


@pytest.fixture(scope="module")
def submitted(tuned: tuple[Path, Run], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The submission of one process."""
    root, run = tuned
    out = tmp_path_factory.mktemp("submitted")
    evaluate(run.folder / "model", root, out)
    return (out / FILE).read_bytes()


def evaluate(model: Path, root: Path, out: Path | None, split: str = "test", name: str | None = None, **options):
    choice = load_evaluation("beit3", suite="vqav2", path=root, split=split, name=name)
    return families.evaluate([model], choice, out=out, **options)[str(model)][0]


def test_raw_files_become_a_model_a_submission_and_a_score(tuned: tuple[Path, Run], submitted: bytes) -> None:
    root, run = tuned
    assert run.record["data"]["train"]["examples"] <= 4 * (2 * IMAGES - 10)
    measured = run.results["vqav2/val"]
    assert {"vqa_accuracy", "vqa_accuracy_yes_no", "vqa_accuracy_number", "beit3_score"} <= set(measured)
    asked = json.loads((root / "vqa" / "v2_OpenEnded_mscoco_test2015_questions.json").read_text())["questions"]
    said = json.loads(submitted)
    assert [one["question_id"] for one in said] == [one["question_id"] for one in asked]
    assert {one["answer"] for one in said} <= set(collotype.load(run.folder / "model").answer_list)


def test_the_score_is_that_of_each_question_answered_alone(tuned: tuple[Path, Run], tmp_path: Path) -> None:
    root, run = tuned
    found = evaluate(run.folder / "model", root, tmp_path, "val")
    benchmark = find_suite(load_evaluation("beit3", suite="vqav2", path=root))
    model, questions = collotype.load(run.folder / "model"), benchmark.questions
    answers = {}
    for row in range(len(questions)):
        image = decoded(questions.images, int(questions.image[row]))
        (((answer, _),),) = model.answers([image], [questions.text(row)], top=1, cut=True)
        answers[int(questions.ids[row])] = answer
    assert read_submission(tmp_path / "submit_vqav2_val.json", list(answers)) == answers
    wanted = vqa_scores(benchmark.people(), answers, model.answer_list)
    assert found.metrics == wanted.metrics == run.record["results"]["vqav2/val"]
    assert found.facts["by_question_type"] == wanted.by_question_type
    blind = found.facts["most_frequent_of_each_wording"]["vqa_accuracy"]
    assert blind >= found.facts["most_frequent_answer"]["vqa_accuracy"] > 0


def test_times_and_memory_are_those_of_every_process(tuned: tuple[Path, Run], tmp_path: Path, cli: Callable) -> None:
    root, run = tuned
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = ["evaluate", run.folder / "model", "--suite", "vqav2", "--path", root, "--split", "test"]
    done = cli(*command, "--out", tmp_path, launcher=launcher)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "vqav2" / "test.json").read_text())
    timing = facts["timing"]
    assert timing["processes"] == len(timing["by_process"]) == len(facts["peak_memory_mib"]) == 2
    assert sum(one["questions"] for one in timing["by_process"]) == 4 * IMAGES and timing["samples_per_s"] > 0
    assert all(one["batch_mean_s"] <= one["batch_max_s"] and one["samples_per_s"] for one in timing["by_process"])
    assert facts["metrics"] == {"answered": 1.0}


LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc-per-node={}"],
    # adds --local-rank=N to our arguments
    "launch": ["torch.distributed.launch", "--nproc-per-node={}", "--master-port=2954{}"],
    "accelerate-1": ["accelerate.commands.launch", "--num_processes={}", "--main_process_port=2955{}"],
    "accelerate-2": ["accelerate.commands.launch", "--multi_gpu", "--num_processes={}", "--main_process_port=2955{}"],
}


@pytest.mark.parametrize(
    ("name", "processes"),
    [
        ("python", 1),
        *(("torchrun", count) for count in (1, 2)),
        *(("launch", count) for count in (1, 2)),
        *((f"accelerate-{count}", count) for count in (1, 2)),
    ],
)
def test_every_launcher_writes_the_same_bytes(
    name: str, processes: int, tuned: tuple[Path, Run], submitted: bytes, tmp_path: Path, cli: Callable
) -> None:
    root, run = tuned
    words = [word.format(processes) for word in LAUNCHERS.get(name, [])]
    launcher = [sys.executable, *(["-m", *words] if words else [])]
    command = ["evaluate", run.folder / "model", "--suite", "vqav2", "--path", root, "--split", "test"]
    done = cli(*command, "--out", tmp_path / "out", launcher=launcher, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / FILE).read_bytes() == submitted
    assert not list((tmp_path / "out").glob(".answers*")) and not list((tmp_path / "out").glob("*partial*"))


def test_the_old_spelling_of_the_local_rank(tuned: tuple[Path, Run], submitted: bytes, tmp_path: Path) -> None:
    """As torch.distributed.launch of torch before 2.0 starts two processes."""
    root, run = tuned
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29561", "PYTHONPATH": path}
    command = ["evaluate", run.folder / "model", "--suite", "vqav2", "--path", root, "--split", "test"]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "collotype", f"--local_rank={rank}", *map(str, command), "--out", tmp_path / "out"],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [one.wait(timeout=120) for one in started] == [0, 0]
    assert (tmp_path / "out" / FILE).read_bytes() == submitted


def test_a_stopped_evaluation_goes_on_and_ends_alike(
    tuned: tuple[Path, Run], submitted: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, run = tuned
    whole, done = Answering.of_block, []

    def stopped(self, pictures):
        if done:
            raise KeyboardInterrupt
        done.append(len(pictures))
        return whole(self, pictures)

    monkeypatch.setattr(Answering, "of_block", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run.folder / "model", root, tmp_path)
    assert not (tmp_path / FILE).exists()
    partial = json.loads((tmp_path / "submit_vqav2_test.partial.json").read_text())
    assert len(partial) == 4 * done[0] and partial == json.loads(submitted)[: len(partial)]
    monkeypatch.setattr(Answering, "of_block", whole)
    with pytest.raises(UserError, match=r"contains answers from an evaluation with another questions"):
        choice = load_evaluation("beit3", suite="vqav2", path=root, split="test", name="test", blank_pictures=True)
        shutil.copytree(tmp_path / ".answers-vqav2-test", tmp_path / ".answers-vqav2-test-blank")
        families.evaluate([run.folder / "model"], choice, out=tmp_path)
    resumed = evaluate(run.folder / "model", root, tmp_path)
    assert resumed.facts["timing"]["by_process"][0]["questions"] == 4 * (IMAGES - done[0])
    assert (tmp_path / FILE).read_bytes() == submitted
    assert not (tmp_path / "submit_vqav2_test.partial.json").exists()


def test_images_that_cannot_be_read(tuned: tuple[Path, Run], tmp_path: Path) -> None:
    """Of a test set: the questions stay open and the file says so. Of a set with answers: they count as wrong."""
    root, run = tuned
    shutil.copytree(root, tmp_path / "data")
    broken = tmp_path / "data" / "test2015" / f"COCO_test2015_{3005:012d}.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(UserError, match=r"^1 images cannot be read, first .*3005.jpg.*4 missing: 3005000, .*partial"):
        evaluate(run.folder / "model", tmp_path / "data", tmp_path / "out")
    shutil.copy(root / "test2015" / broken.name, broken)
    mended = evaluate(run.folder / "model", tmp_path / "data", tmp_path / "out")
    assert mended.facts["timing"]["by_process"][0]["questions"] < 4 * IMAGES
    held_out = json.loads((root / "held-out.json").read_text())["image_ids"]
    (tmp_path / "data" / "val2014" / f"COCO_val2014_{held_out[0]:012d}.jpg").write_bytes(b"no image")
    found = evaluate(run.folder / "model", tmp_path / "data", None, "val")
    (event,) = (one for one in found.facts["events"] if one["kind"] == "questions unanswered")
    assert event["count"] == 4 and str(held_out[0] * 1000) in event["note"]


def rewrite(file: Path, change: Callable[[dict], None]) -> None:
    said = json.loads(file.read_text())
    change(said)
    file.write_text(json.dumps(said))


QUESTIONS = "vqa/v2_OpenEnded_mscoco_{}_questions.json"


def another_split(root: Path) -> None:
    shutil.copy(root / QUESTIONS.format("val2014"), root / QUESTIONS.format("test2015"))


def twice(root: Path) -> None:
    rewrite(root / QUESTIONS.format("test2015"), lambda said: said["questions"].append(said["questions"][0]))


def unasked(root: Path) -> None:
    rewrite(root / QUESTIONS.format("test2015"), lambda said: said["questions"][2].update(question=None))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (another_split, "belongs to val2014, not test2015"),
        (twice, "questions whose id occurs twice, 3000000 the first"),
        (lambda root: shutil.rmtree(root / "test2015"), "There is no folder .*test2015; unpack COCO's images"),
        (lambda root: next((root / "test2015").iterdir()).unlink(), "1 images that questions refer to are missing"),
        (unasked, "'question': None.*TypeError: None is not text.; download the file again"),
        (lambda root: (root.parent / "out" / "checkpoint-9.pth").write_bytes(b""), r"out contains checkpoint-9\.pth"),
    ],
)
def test_bad_data_is_told_before_anything_is_evaluated(
    damage: Callable[[Path], None], told: str, tuned: tuple[Path, Run], tmp_path: Path
) -> None:
    root, run = tuned
    shutil.copytree(root, tmp_path / "data")
    (tmp_path / "out").mkdir()
    damage(tmp_path / "data")
    with pytest.raises(UserError, match=told):
        evaluate(run.folder / "model", tmp_path / "data", tmp_path / "out")
    assert not list((tmp_path / "out").glob("submit*"))


def test_bad_models_are_told_before_anything_is_evaluated(tuned: tuple[Path, Run], tmp_path: Path) -> None:
    root, run = tuned
    weights = run.folder.parent / "pretrained" / "beit3_tiny_patch8_32.pth"
    with pytest.raises(
        UserError, match="is only pretrained and has no question-answering head, so its answers would be random"
    ):
        evaluate(weights, root, tmp_path)
    families.export(run.folder / "model", "beit3", tmp_path / "published")
    (published,) = (tmp_path / "published").glob("*.pth")
    write_answers(["yes", "no"], tmp_path / "few.txt")
    with pytest.raises(UserError, match=r"has \d+ answers, but 2 names were given"):
        evaluate(published, root, tmp_path, answers=tmp_path / "few.txt")
    (tmp_path / "other.spm").write_bytes(trained_pieces(44))
    with pytest.raises(UserError, match=r"has 50 word embeddings, but beit3\.spm has 46"):
        evaluate(published, root, tmp_path, tokenizer=tmp_path / "other.spm")
    with pytest.raises(UserError, match=r"The answers to vqav2/test are not public, .*set --out"):
        evaluate(run.folder / "model", root, None)
    assert not list(tmp_path.glob("submit*"))


def test_only_released_weights_may_have_seen_what_is_held_out(tuned: tuple[Path, Run], tmp_path: Path) -> None:
    root, run = tuned
    families.export(run.folder / "model", "beit3", tmp_path / "published")
    found = evaluate(tmp_path / "published", root, None, "val", name="mine")
    assert found.metrics == run.results["vqav2/val"]
    assert "released weights have seen" in found.facts["events"][-1]["kind"]
    assert not any(
        "seen" in event["kind"] for event in evaluate(run.folder / "model", root, None, "val").facts["events"]
    )


def test_a_submission_is_scored_whoever_wrote_it(tuned: tuple[Path, Run], tmp_path: Path, cli: Callable) -> None:
    root, run = tuned
    wanted = evaluate(run.folder / "model", root, tmp_path, "val")
    file, answers = tmp_path / "submit_vqav2_val.json", run.folder / "model" / "answer2label.txt"
    assert evaluate(file, root, None, "val", answers=answers).metrics == wanted.metrics
    command = ["evaluate", file, "--suite", "vqav2", "--path", root, "--out", tmp_path / "scored", "--json"]
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    del wanted.metrics["beit3_score"]
    assert json.loads(done.stdout) == {"vqav2/val": wanted.metrics}
    assert json.loads((tmp_path / "scored" / "vqav2" / "val.json").read_text())["by_question_type"]
    rewrite(file, lambda said: said.pop())
    with pytest.raises(UserError, match=r"submit_vqav2_val\.json does not match the questions \(1 missing"):
        evaluate(file, root, None, "val")


def test_a_image_is_decoded_once_for_all_of_its_questions(
    tuned: tuple[Path, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[int] = Counter()
    read = ImageFiles.read

    def counted(files: ImageFiles, picture: int) -> bytes:
        reads[picture] += 1
        return read(files, picture)

    monkeypatch.setattr(ImageFiles, "read", counted)
    root, run = tuned
    evaluate(run.folder / "model", root, None, "val")
    assert len(reads) == 10 and set(reads.values()) == {1}


def test_half_precision_is_said_and_not_mixed_with_full(tuned: tuple[Path, Run], tmp_path: Path) -> None:
    root, run = tuned
    assert evaluate(run.folder / "model", root, None, "val").facts["precision"] == "fp32"
    broken = shutil.copytree(root, tmp_path / "data") / "test2015" / f"COCO_test2015_{3005:012d}.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(UserError, match="cannot be read"):
        evaluate(run.folder / "model", tmp_path / "data", tmp_path / "out")
    with pytest.raises(UserError, match="contains answers from an evaluation with another device"):
        evaluate(run.folder / "model", tmp_path / "data", tmp_path / "out", precision="bf16")
    types = []
    watched = register_module_forward_hook(lambda module, inputs, output: types.append((module, output)))
    found = evaluate(run.folder / "model", root, tmp_path / "half", precision="bf16")
    watched.remove()
    assert found.facts["precision"] == "bf16" and found.metrics == {"answered": 1.0}
    assert {output.dtype for module, output in types if isinstance(module, nn.Linear)} == {torch.bfloat16}


def test_what_a_user_does_wrong_is_a_sentence_and_exit_status_2(tuned: tuple[Path, Run], cli: Callable) -> None:
    done = cli("evaluate", tuned[1].folder / "model", "--suite", "vqav2", "--path", "/nowhere", "--split", "test")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "collotype: There is no folder /nowhere/test2015; unpack COCO's images of test2015 there.\n"
