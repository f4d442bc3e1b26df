"""The commands as a user types them: output, exit status, and one sentence for what is wrong."""

import io
import json
import re
import resource
import shutil
import sys
import tarfile
from pathlib import Path

import pytest
import typer
from rich.console import Console

import collotype
from collotype.cli import in_a_sentence
from collotype.cli.terminal import compression_tables
from collotype.families.retriever.data.sheets import ASSETS, SheetImages, held_out_sheets
from tests.conftest import SMALL, as_flags
from tests.families.retriever.benchmarks.parquet_sets import as_png, write_table

FLAGS = as_flags({**SMALL, "train.steps": 2})


def test_who_stops_a_command_is_told_how_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """An evaluation goes on by itself, and knows no --resume."""

    def stopped(**options: bool) -> None:
        raise KeyboardInterrupt

    for options, said in ({}, "the same command."), ({"resume": False}, "the same command and --resume."):
        with pytest.raises(typer.Exit):
            in_a_sentence(stopped)(**options)
        assert (
            capsys.readouterr().err == f"collotype: Stopped; everything written so far is kept. Continue with {said}\n"
        )


def test_a_missed_expectation_is_exit_status_3(cli, tmp_path: Path) -> None:
    missed = "[{dataset: sheets/held-out, metric: mrr, value: 0.9, tolerance: 0.01, source: a test}]"
    flags = [*FLAGS, "--set", "evaluate=[{suite: sheets}]", "--set", f"expect={missed}"]
    done = cli("run", "desk-colpali", "--out", tmp_path / "run", *flags)
    assert done.returncode == 3
    assert "not reproduced: mrr of sheets/held-out is 0.0" in done.stdout
    assert "report: " in done.stdout and (tmp_path / "run" / "report.html").is_file()
    assert done.stderr == "", "quiet when not a terminal"


def test_a_met_expectation_is_exit_status_0_and_json_is_only_json(cli, tmp_path: Path) -> None:
    met = "[{dataset: sheets/held-out, metric: mrr, value: 0.5, tolerance: 0.5, source: a test}]"
    flags = [*FLAGS, "--set", "evaluate=[{suite: sheets}]", "--set", f"expect={met}", "--json"]
    done = cli("run", "desk-bipali", "--out", tmp_path / "run", *flags)
    assert done.returncode == 0
    outcome = json.loads(done.stdout)
    assert outcome["verdict"]["reproduced"] and outcome["folder"] == str(tmp_path / "run")
    measured = json.loads(cli("evaluate", tmp_path / "run" / "model", "--json", "--out", tmp_path / "e").stdout)
    assert measured == outcome["results"]
    assert (
        json.loads((tmp_path / "e" / "sheets" / "held-out.json").read_text())["metrics"] == measured["sheets/held-out"]
    )


def test_compress_shows_what_pooling_saves_and_costs(cli, trained: Path, tmp_path: Path) -> None:
    flags = ["--factors", "3", "--stored", "fp16", "--out", tmp_path / "rows.json", "--plot", tmp_path / "rows.svg"]
    rows = json.loads(cli("compress", trained / "model", "--json", *flags).stdout)
    assert rows == json.loads((tmp_path / "rows.json").read_text())
    assert [(row["dataset"], row["method"], row["factor"], row["bytes_per_page"]) for row in rows] == [
        (dataset, method, factor, size)
        for dataset in ("sheets/held-out", "sheets/held-out-second-hand")
        for method, factor, size in ((None, 1, 10752), ("fast", 3, 3584))
    ]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(compression_tables(rows)[0])
    first, second = [line.split() for line in console.export_text().splitlines() if line.split()[:1] == ["own"]]
    assert first[:6] == ["own", "none", "128", "fp16", "42.0", "10,752"]
    assert second[:7] == ["own", "fast", "3", "128", "fp16", "14.0", "3,584"]
    assert float(second[8]) - float(first[7]) == pytest.approx(float(second[9]), abs=2e-3)
    assert (tmp_path / "rows.svg").read_text().startswith("<svg")


def test_check_shows_the_plan_and_writes_nothing(cli, tmp_path: Path) -> None:
    done = cli("check", "desk-colpali", "--set", "train.steps=8", "--json", cwd=tmp_path)
    shown = json.loads(done.stdout)
    assert shown["plan"]["steps"] == 8 and shown["plan"]["negatives_per_query"] == shown["plan"]["batch"] - 1
    text = cli("check", "desk-colpali").stdout
    assert text.startswith("desk-colpali\n") and "31 negatives per query" in text
    assert cli("check", "desk-colpali", "--recipe").stdout.startswith("name: desk-colpali\n")
    assert list(tmp_path.iterdir()) == []


def test_train_leaves_a_model_to_evaluate(cli, tmp_path: Path) -> None:
    assert cli("train", "desk-colpali", "--out", tmp_path / "run", *FLAGS).returncode == 0
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
    assert not (tmp_path / "run" / "evaluation").exists() or not list((tmp_path / "run" / "evaluation").glob("*/*"))


def test_a_report_can_be_written_again(cli, trained: Path) -> None:
    before = (trained / "report.html").read_text()
    (trained / "report.html").unlink()
    assert cli("report", trained).returncode == 0
    assert (trained / "report.html").read_text() == before


def test_list_names_what_there_is(cli) -> None:
    recipes = {line.split()[0] for line in cli("list").stdout.splitlines()}
    assert {"desk-colpali", "desk-biqwen2", "colpali-paper"} <= recipes
    assert {"infonce", "pairwise", "ColbertLoss", "BiSigmoidLoss"} < set(cli("list", "losses").stdout.split())
    assert {"paligemma", "qwen2-vl", "idefics3"} < set(cli("list", "models").stdout.split())
    assert "colqwen2-engine-0.3.4" in cli("list", "presets").stdout.split()
    assert "bipali-paper                58.8 nDCG@5 of vidore-v1/average" in cli("list", "published").stdout
    assert {"sheets", "slides", "vidore-v1", "vidore-v3", "qa", "beir"} < set(cli("list", "suites").stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "desk-colpaly"], "There is no recipe 'desk-colpaly'; did you mean 'desk-colpali'?"),
        (["run", "desk-colpali", "--set", "train.stepz=1"], "did you mean 'steps'?"),
        (["run", "desk-colpali", "--set", "train.steps=x"], "found 'x'"),
        (["run", "desk-colpali", "--set", "train.micro_batch=5"], "cannot be divided"),
        (["check", "desk-colpali", "--set", "train.micro_batch=5"], "cannot be divided"),
        (["run", "."], "The folder . contains no recipe.yaml"),
        (["evaluate", "nowhere"], "There is no folder nowhere"),
        (["evaluate", "/nowhere"], "There is no folder or file /nowhere; check the path"),
        (["evaluate", "nowhere", "--suite", "vidore"], "Unknown suite 'vidore'"),
        (["evaluate", "bm25", "--suite", "sheets", "--path", "x"], "path is not supported by the suite sheets"),
        (["evaluate", "bm25", "--suite", "qa:nowhere"], "there is no nowhere; check the path"),
        (["compress", "nowhere"], "There is no folder nowhere"),
        (["compress", "nowhere", "--factors", "2,0"], "The pool factor is 0"),
        (["compress", "nowhere", "--factors", "2;3"], "--factors is '2;3'"),
        (["compress", "nowhere", "--methods", "slow"], "Unknown pooling method 'slow'"),
        (["report", "nowhere"], "has no readable record.json (No such file or directory), which"),
        (["submit", "nowhere", "--to", "clone"], "nowhere contains no result files"),
        (["compare", "nowhere", "nowhere"], "has no readable record.json"),
        (["compare", "published:nothing", "nowhere"], "There is no published result 'nothing'"),
        (["run", "study-late", "--smoke"], "study-late is a study and has no smoke form; shorten it"),
        (["check", "study-late", "--set", "study.seeds=0"], "greater than 0"),
        (["run", "desk-colpali", "--out", "x" * 300], "File name too long"),
        (["run", "desk-colpali", "--resume", "--overwrite"], "give only one of them"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_status_2(cli, arguments: list, words: str, tmp_path: Path) -> None:
    done = cli(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1 and done.stderr.startswith("collotype: ")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_what_was_written(cli, tmp_path: Path) -> None:
    """No file may grow over 3 MB: the optimiser's state (5 MB) does not fit."""

    def shrink() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))

    done = cli("run", "desk-colpali", "--out", tmp_path / "run", *FLAGS, preexec_fn=shrink)
    assert done.returncode == 2
    assert "The disk is full" in done.stderr and "--resume" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == 2
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    resumed = cli("run", tmp_path / "run", "--resume")
    assert resumed.returncode == 0 and (tmp_path / "run" / "record.json").is_file()


def test_an_unreadable_image_is_named_with_its_row(cli, tmp_path: Path) -> None:
    """Every image of the first artist's is cut short."""
    shutil.copy(ASSETS / "pictures" / "google.tar", tmp_path)
    with (
        tarfile.open(ASSETS / "pictures" / "twitter.tar") as before,
        tarfile.open(tmp_path / "twitter.tar", "w") as after,
    ):
        for member in before:
            content = before.extractfile(member).read()
            content = content[: len(content) // 2] if member.name.endswith(".png") else content
            member.size = len(content)
            after.addfile(member, io.BytesIO(content))
    flags = [*FLAGS, "--set", f"data.train.pictures={tmp_path}"]
    done = cli("run", "desk-colpali", "--out", tmp_path / "run", *flags)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert re.match(
        r"collotype: training row \d+: the image \S+\.png \([a-z ]+\) in \S+twitter\.tar cannot", done.stderr
    )


def test_a_wrong_device_is_named(cli) -> None:
    done = cli("check", "desk-colpali", env={"COLLOTYPE_DEVICE": "gpu"})
    assert done.returncode == 2 and "COLLOTYPE_DEVICE is 'gpu', which is not a device" in done.stderr


def test_compare_shows_what_differs(cli, trained: Path, tmp_path: Path) -> None:
    flags = [*FLAGS, "--set", "evaluate=[{suite: sheets}]", "--set", "expect=[]"]
    assert cli("run", "desk-bipali", "--out", tmp_path / "run", *flags).returncode == 0
    page = tmp_path / "page.html"
    found = json.loads(cli("compare", trained, tmp_path / "run", "--json", "--html", page).stdout)
    assert (found["differences"][0]["key"], found["differences"][0]["values"]) == (
        "model.interaction",
        ["late", "single"],
    )
    assert page.read_text().count("<svg ") >= 2
    assert found["results"]["sheets/held-out"]["mrr"][0] == pytest.approx(
        json.loads((trained / "record.json").read_text())["results"]["sheets/held-out"]["mrr"]
    )
    shown = cli("compare", trained, tmp_path / "run").stdout
    assert "model.interaction" in shown and str(trained / "report.html") in shown
    shown = cli("compare", trained, "published:bipali-paper").stdout
    assert "no dataset and metric in common" in shown and "paged_adamw_8bit" in shown


def test_seeds_under_a_launcher_share_one_group(cli, tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    flags = [*FLAGS, "--seeds", "2", "--out", tmp_path / "seeds"]
    done = cli("run", "desk-colpali", *flags, launcher=launcher, env={"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "seeds" / "seed-43" / "record.json").is_file()
    assert (tmp_path / "seeds" / "table.md").is_file()


def test_a_baseline_stands_beside_a_model_on_one_process_and_on_two(cli, trained: Path, tmp_path: Path) -> None:
    images = SheetImages()
    sheets = held_out_sheets(images)[:70]
    columns = {
        "query": [sheet.query for sheet in sheets],
        "image": [as_png(images.draw(sheet, "a test")) for sheet in sheets],
        "text": [" ".join(name for name, _ in sheet.cells) for sheet in sheets],
    }
    write_table(tmp_path / "set" / "test-00000-of-00001.parquet", columns, group=20)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [
        "evaluate",
        "bm25",
        "runs/model",
        "--suite",
        "qa",
        "--path",
        tmp_path / "set",
        "--no-cache",
        "--out",
        "out",
    ]
    outputs = {}
    for name, how in (("one", [sys.executable]), ("two", launcher)):
        shutil.copytree(trained / "model", tmp_path / name / "runs" / "model")
        done = cli(*command, "--json", cwd=tmp_path / name, launcher=how, env={"OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
        outputs[name] = json.loads(done.stdout)
        assert (tmp_path / name / "out" / "runs__model" / "qa" / "set.json").is_file()
    assert outputs["one"] == outputs["two"]
    bm25, model = outputs["one"]["bm25"]["qa/set"], outputs["one"]["runs/model"]["qa/set"]
    assert bm25["ndcg_at_5"] > 0.9 > model["ndcg_at_5"]
    shown = cli(*command, cwd=tmp_path / "one")
    assert len(re.findall(r"^ +qa/set +(bm25|runs/model) +0\.", shown.stdout, re.M)) == 2 and shown.stderr == ""


def test_two_processes_train_like_one(cli, tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    flags = [*as_flags({**SMALL, "train.steps": 4}), "--set", "evaluate=[{suite: sheets}]"]
    for name, how in (("one", [sys.executable]), ("two", launcher)):
        done = cli("run", "desk-colpali", "--out", tmp_path / name, *flags, launcher=how, env={"OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
    rows = {
        name: [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    }
    for one, two in zip(rows["one"], rows["two"], strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    plan = json.loads((tmp_path / "two" / "record.json").read_text())["plan"]
    assert (plan["processes"], plan["micro_batch"], plan["negatives_per_query"]) == (2, 4, 7)


def test_the_version_is_printed(cli) -> None:
    done = cli("--version")
    assert (done.returncode, done.stdout) == (0, f"collotype {collotype.__version__}\n")
