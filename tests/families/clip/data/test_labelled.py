"""Which class a labelled image is of, for folders and shards as they are published."""

from pathlib import Path

import pytest

from collotype.families.clip.data.classes import (
    Classes,
    classes_from,
    imagenet_classes,
    named_templates,
    read_templates,
)
from collotype.families.clip.data.labelled import FolderImages, ShardImages
from collotype.runtime.errors import UserError
from collotype.training.bad_examples import BadExampleError
from tests.families.clip.drawn import drawn, encoded
from tests.runtime.shards.made_shards import write_tar


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLOTYPE_CACHE", str(tmp_path / "cache"))


def folders(root: Path, *names: str) -> Path:
    """Class folders; the image of the class number n is 20 + n pixels wide."""
    for number, name in enumerate(names):
        (root / name / "deeper").mkdir(parents=True)
        drawn(20 + number, 10).save(root / name / "b.JPEG")
        drawn(20 + number, 11).save(root / name / "deeper" / "a.png")
        (root / name / "notes.txt").touch()
    return root


def test_imagenets_classes_are_those_of_its_synsets() -> None:
    classes = imagenet_classes()
    assert len(classes) == 1000 and list(classes.keys) == sorted(classes.keys)
    assert [classes.names[n] for n in (0, 281, 967, 999)] == ["tench", "tabby cat", "espresso", "toilet paper"]
    assert classes.number("n02123045") == classes.number("tabby cat") == classes.number("281") == 281
    # two classes have this name
    assert classes.number("sunglasses") is None and classes.number(-1) is None and classes.number(1000) is None


def test_openais_templates_take_a_class() -> None:
    templates = named_templates("openai")
    assert len(templates) == 80 and templates[0].format("tench") == "a bad photo of a tench."
    assert len(set(named_templates("simple")) & set(templates)) == 7 and named_templates("none") == ["{}"]


def test_synset_folders_have_imagenets_names(tmp_path: Path) -> None:
    images = FolderImages(folders(tmp_path, "n02123045", "n01440764"))
    assert images.classes.names == ("tench", "tabby cat")
    assert [images.label(row) for row in range(len(images))] == [0, 0, 1, 1]
    assert [images.image(row).size for row in range(4)] == [(21, 10), (21, 11), (20, 10), (20, 11)]
    assert images.image(0).mode == "RGB" and len(images.templates()) == 80
    all_classes = FolderImages(tmp_path, "imagenet")
    assert len(all_classes.classes) == 1000 and all_classes.labels == [0, 0, 281, 281]


def test_other_folders_are_their_classes_names(tmp_path: Path) -> None:
    folders(tmp_path, "dog", "cat")
    assert FolderImages(tmp_path).classes.names == ("cat", "dog")
    named = FolderImages(tmp_path, ["a small cat", "a dog"])
    assert named.classes.names[named.label(3)] == "a dog"
    (told,) = named.faults
    assert (
        told.cause == "class folders get class names in alphabetical order (cat is 'a small cat', …)"
        and told.count == 2
    )
    assert not FolderImages(tmp_path, ["dog", "bird", "cat"]).faults and not FolderImages(tmp_path).faults
    with pytest.raises(UserError, match="2 class folders, but 3 class names"):
        FolderImages(tmp_path, ["a", "b", "c"])


def test_numbered_folders_count_into_the_names(tmp_path: Path) -> None:
    folders(tmp_path, "0", "2", "10")
    with pytest.raises(UserError, match="are numbers"):
        FolderImages(tmp_path)
    assert FolderImages(tmp_path, "imagenet").labels == [0, 0, 10, 10, 2, 2]
    with pytest.raises(UserError, match=r"1 labels that are none of the 3 classes .*'10'"):
        FolderImages(tmp_path, ["a", "b", "c"])


def test_folders_without_images_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no class folders"):
        FolderImages(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(UserError, match="cat contains no image"):
        FolderImages(tmp_path)
    with pytest.raises(UserError, match="nowhere is not there; give the one with the class folders"):
        FolderImages(tmp_path / "nowhere")
    (tmp_path / "cat" / "a.jpg").write_bytes(b"none")
    with pytest.raises(BadExampleError, match=r"a\.jpg: image cannot be decoded"):
        FolderImages(tmp_path).image(0)
    (tmp_path / "cat" / "a.jpg").unlink()
    (tmp_path / "cat" / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(BadExampleError, match=r"a\.jpg: image file cannot be read"):
        FolderImages(tmp_path).image(0)


def labelled_shard(path: Path, *labels: str) -> Path:
    files = []
    for number, label in enumerate(labels):
        files += [(f"s{number}.cls", label.encode()), (f"s{number}.webp", encoded(drawn(20 + number, 10), "WEBP"))]
    return write_tar(path, files)


def test_published_shards_bring_their_names_and_templates(tmp_path: Path) -> None:
    path = labelled_shard(tmp_path / "set" / "test" / "0.tar", "1", "0", "2")
    (tmp_path / "set" / "classnames.txt").write_text("cat\ndog\ntoad\n")
    (tmp_path / "set" / "zeroshot_classification_templates.txt").write_text("a photo of a {c}, a pet.\n")
    images = ShardImages.open(str(path))
    assert [images.classes.names[images.label(row)] for row in range(3)] == ["dog", "cat", "toad"]
    assert [images.image(row).size for row in range(3)] == [(20, 10), (21, 10), (22, 10)]
    assert images.templates() == ["a photo of a {}, a pet."]


def test_labels_that_mean_no_class_are_listed(tmp_path: Path) -> None:
    path = labelled_shard(tmp_path / "0.tar", "dog", "3", "cow", "cat", "cow")
    with pytest.raises(UserError, match=r"2 labels that are none of the 2 classes \('cat', 'dog', …\): '3', 'cow'"):
        ShardImages.open(str(path), ["cat", "dog"])
    with pytest.raises(UserError, match=r"no classnames\.txt next to"):
        ShardImages.open(str(path))


def test_names_and_templates_come_from_files(tmp_path: Path) -> None:
    names, templates = tmp_path / "names.txt", tmp_path / "templates.txt"
    names.write_text("cat\n\ndog\n")
    assert classes_from(str(names)) == classes_from(["cat", "dog"]) == Classes(("cat", "dog"))
    with pytest.raises(UserError, match="cannot be read"):
        classes_from(str(tmp_path / "nothing.txt"))
    with pytest.raises(UserError, match="contains no class names"):
        classes_from([])
    templates.write_text("a photo\n")
    with pytest.raises(UserError, match=r"'a photo' must have one \{\}"):
        read_templates(templates)
