"""Zero-shot classification and retrieval against the plain formulas, on files and on two processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import collotype
from collotype import families
from collotype.families.clip.benchmarks import CaptionedImages, Classification, find_suite
from collotype.families.clip.evaluate import accuracy, classifier, classify, ranks_of_own, retrieve
from collotype.recipe import load_recipe
from collotype.recipe.load import load_evaluation
from collotype.runtime.errors import UserError
from collotype.runtime.shards.names import is_shards
from tests.families.clip.drawn import drawn
from tests.training.processes import launch

NAMES = ["red apple", "green pear", "fire engine", "house", "sun", "cat"]
COLOURS = ["red", "green", "orange", "gray", "yellow", "brown"]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clip") / "run"
    changes = {"model.size": "tiny-rn", "model.vocabulary": "clip", "model.batch_norm_group": 4, "train.batch": 8}
    changes |= {"train.steps": 2, "train.schedule": {"name": "cosine", "warmup_steps": 1}, "evaluate": [], "expect": []}
    collotype.run("desk-clip", out=out, overrides=changes)
    return out / "model"


@pytest.fixture(scope="module")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("labelled") / "fruit"
    for number, name in enumerate(NAMES):
        (root / name).mkdir(parents=True)
        for count in range(number + 1):
            Image.new("RGB", (40 + count, 33), COLOURS[number]).save(root / name / f"{count}.png")
    return root


def test_a_class_is_the_mean_of_its_captions(model_folder: Path) -> None:
    model = collotype.load(model_folder)
    captions = [["a red apple", "an apple"], ["house"]]
    found = classifier(model, captions)
    mean = model.encode_texts(captions[0]).mean(0)
    torch.testing.assert_close(found[0], mean / mean.norm())
    torch.testing.assert_close(found[1:], model.encode_texts(["house"]))


def test_accuracy_is_that_of_plain_loops(model_folder: Path, class_folders: Path) -> None:
    model = collotype.load(model_folder)
    (benchmark,) = find_suite(load_evaluation("clip", suite=f"labelled:{class_folders}", templates="simple"))
    assert benchmark.name == "labelled/fruit" and len(benchmark.labels) == 21 and len(benchmark.captions[0]) == 7
    found, _ = classify(model, benchmark)
    weights = classifier(model, benchmark.captions)
    firsts, fives, by_class = [], [], {}
    for row, label in enumerate(benchmark.labels):
        scores = (model.encode_images([benchmark.images.image(row)]) @ weights.T)[0]
        order = scores.argsort(descending=True).tolist()
        firsts.append(order[0] == label)
        fives.append(label in order[:5])
        by_class.setdefault(label, []).append(firsts[-1])
    metrics = accuracy(found, benchmark)
    assert metrics["top1"] == pytest.approx(sum(firsts) / 21) and metrics["top5"] == pytest.approx(sum(fives) / 21)
    mean = sum(sum(hits) / len(hits) for hits in by_class.values()) / len(by_class)
    assert metrics["mean_per_class"] == pytest.approx(mean)


def test_own_captions_rank_as_in_the_whole_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, answers = (torch.randn(300, 4, generator=generator) for _ in range(2))
    scores = queries @ answers.T
    wanted = (scores > scores.diagonal()[:, None]).sum(1) + 1
    assert torch.equal(torch.cat([*ranks_of_own(queries, answers)]), wanted)


def test_a_model_that_says_nothing_is_not_right() -> None:
    alike = torch.ones(5, 4)
    assert torch.cat([*ranks_of_own(alike, alike)]).tolist() == [5] * 5
    with pytest.raises(UserError, match="not finite"):
        list(ranks_of_own(torch.full((5, 4), float("nan")), alike))


def test_folders_are_known_by_their_names_in_any_order(class_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join(reversed(NAMES)))
    choice = load_evaluation("clip", suite=f"labelled:{class_folders}", names=str(tmp_path / "names.txt"))
    (benchmark,) = find_suite(choice)
    for row, label in enumerate(benchmark.labels):
        assert benchmark.images.paths[row].parent.name == benchmark.classes[label]
    with pytest.raises(UserError, match="not ImageNet synsets"):
        find_suite(load_evaluation("clip", suite=f"imagenet:{class_folders}"))


def test_a_image_that_cannot_be_read_is_a_miss_that_is_told(model_folder: Path, class_folders: Path) -> None:
    broken = class_folders / "cat" / "5.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:40])
    try:
        choice = load_evaluation("clip", suite=f"labelled:{class_folders}")
        (measured,) = families.evaluate([model_folder], choice)[str(model_folder)]
    finally:
        broken.write_bytes(whole)
    assert measured.facts["data"]["pictures"] == 21
    (event,) = measured.facts["events"]
    assert event == {"kind": "image cannot be decoded", "count": 1, "note": f"they count as misses; in {broken}"}


def test_images_none_of_which_can_be_read_are_an_error(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text("image,label\na.jpg,cat\nb.jpg,dog\n")
    choice = load_evaluation("clip", suite=f"labelled:{tmp_path / 'val.csv'}")
    with pytest.raises(UserError, match=r"None of the 2 images of labelled/val can be read .*image file cannot"):
        families.evaluate([model_folder], choice)


def test_two_sets_of_one_suite_have_names_of_their_own() -> None:
    entries = [{"suite": "imagenet:val"}, {"suite": "imagenet:v2", "name": "v2"}]
    recipe = load_recipe("desk-clip", {"evaluate": entries})
    assert [choice.own_name for choice in recipe.evaluate] == ["val", "v2"]
    with pytest.raises(UserError, match="would both write the results of imagenet/val"):
        load_recipe("desk-clip", {"evaluate": [entries[0], {"suite": "imagenet:v2"}]})


def test_retrieval_from_a_table(model_folder: Path, tmp_path: Path) -> None:
    rows = []
    for number in range(12):
        drawn(40 + number, 36).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png\tpicture number {number}")
    (tmp_path / "val.tsv").write_text("\n".join(["filepath\ttitle", *rows]) + "\n")
    choice = load_evaluation("clip", suite=f"captions:{tmp_path / 'val.tsv'}", limit=10)
    (benchmark,) = find_suite(choice)
    assert isinstance(benchmark, CaptionedImages) and benchmark.rows == 10
    metrics, faults = retrieve(collotype.load(model_folder), benchmark)
    assert metrics["image_to_text_recall_at_10"] == metrics["text_to_image_recall_at_10"] == 1.0
    assert 1 <= metrics["image_to_text_mean_rank"] <= 10 and not faults
    for number in range(4, 12):
        (tmp_path / f"{number}.png").write_bytes(b"damaged")
    (measured,) = families.evaluate([model_folder], choice)[str(model_folder)]
    (event,) = measured.facts["events"]
    assert (event["kind"], event["count"]) == ("image cannot be decoded", 6) and "left out" in event["note"]
    assert measured.metrics["image_to_text_recall_at_5"] == 1.0, "four images and their captions are left"


def test_datasets_are_called_by_the_end_of_their_path() -> None:
    for path, name in (
        ("shards/val-{0000..0049}.tar", "val-0000..0049"),
        ("imagenet/v2/*.tar", "v2"),
        ("a.tar::b/c.tar", "c"),
        ("my set", "my-set"),
    ):
        assert load_evaluation("clip", suite="labelled", path=path).own_name == name


@pytest.mark.parametrize(
    ("path", "shards"),
    [
        ("val-{0..3}.tar", True),
        ("s3://bucket/val/", True),
        ("https://host/val.tar", True),
        ("one.tar::two.tar", True),
        ("https://host/val.parquet", False),
        ("tars.tar.d/val.csv", False),
    ],
)
def test_sources_are_known_for_shards(path: str, shards: bool) -> None:
    assert is_shards(path) == shards


EVALUATE = """
import json, sys
from pathlib import Path
from collotype import families
from collotype.recipe import load_recipe
from collotype.recipe.load import load_evaluation
from collotype.runtime.process import World

choice = load_evaluation("clip", suite=f"labelled:{sys.argv[2]}")
found = families.evaluate([sys.argv[3]], choice)[sys.argv[3]]
(Path(sys.argv[1]) / f"{World.from_environment().rank}.json").write_text(json.dumps(found[0].metrics))
"""


def test_two_processes_share_the_work_and_agree(model_folder: Path, class_folders: Path, tmp_path: Path) -> None:
    done = launch(2, EVALUATE, tmp_path, str(class_folders), str(model_folder))
    assert done.returncode == 0, done.stderr
    choice = load_evaluation("clip", suite=f"labelled:{class_folders}")
    alone = families.evaluate([model_folder], choice)[str(model_folder)][0].metrics
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)] == [alone, alone]


def test_the_command_finds_the_family(model_folder: Path, class_folders: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "collotype", "evaluate", str(model_folder), "--suite", f"labelled:{class_folders}"]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "top-5" in done.stdout, done.stderr
    result = json.loads((tmp_path / "out" / "labelled" / "fruit.json").read_text())
    assert result["headline"] == "top1" and result["data"]["pictures"] == 21
    wrong = subprocess.run([*command, "--preset", "colpali-paper"], capture_output=True, text=True, timeout=120)
    assert wrong.returncode == 2 and "preset is not supported by clip models" in wrong.stderr


def test_images_that_come_with_the_package() -> None:
    names, kinds = find_suite(load_evaluation("clip", suite="pictures"))
    assert isinstance(names, Classification)
    assert (len(names.labels), len(names.classes), len(kinds.classes)) == (1906, 1905, 98)
    row = names.labels.index(names.classes.index("bicycle"))
    assert "bicycle" in kinds.captions[kinds.labels[row]] and names.images.image(row).size == (64, 64)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"suite": "vidore-v1"}, "a CLIP can be evaluated on pictures"),
        ({"suite": "imagenet"}, "give its path with --path"),
        ({"suite": "labelled:nowhere"}, "nowhere"),
    ],
)
def test_a_suite_that_cannot_be_read_is_a_sentence(values: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        find_suite(load_evaluation("clip", **values))
