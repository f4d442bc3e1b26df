"""Files that a script sources are a part of it where they lie beside it, and nowhere else."""

from pathlib import Path

import pytest

from collotype.importers import import_foreign

TRAIN = """torchrun --nproc_per_node 2 -m open_clip_train.main --train-data "$SHARDS" --train-num-samples 12800 \\
  --dataset-type webdataset --model ViT-B-32 --batch-size ${BATCH:-64} --lr 1e-3 --warmup 10 --epochs 1
"""
SETTINGS = "SHARDS='/pool/{00..09}.tar'\nexport BATCH=200\n"


def script(folder: Path, sourcing: str) -> Path:
    file = folder / "train.sh"
    file.write_text(f"{sourcing}\n{TRAIN}")
    return file


@pytest.mark.parametrize(
    "sourcing",
    [
        "source env.sh",
        ". ./env.sh",
        'source "$(dirname "$0")/env.sh"',
        '. "${BASH_SOURCE%/*}/env.sh"',
        "set -e; . env.sh",
    ],
)
def test_what_lies_beside_is_read(tmp_path: Path, sourcing: str) -> None:
    (tmp_path / "env.sh").write_text(SETTINGS)
    imported = import_foreign(script(tmp_path, sourcing))
    assert imported.values["train"]["batch"] == 400
    assert imported.values["data"]["train"]["path"] == "/pool/{00..09}.tar"
    assert not any("sourced" in one for one in imported.origin.assumed)


def test_what_is_not_there_is_said_first(tmp_path: Path) -> None:
    imported = import_foreign(script(tmp_path, "source env.sh"))
    assert imported.values["train"]["batch"] == 128
    assert any("sourced: env.sh (line 1) is not next to the script" in one for one in imported.origin.assumed)


@pytest.mark.parametrize("name", ["../env.sh", "within/link.sh"])
def test_nothing_outside_the_folder_is_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "env.sh").write_text(SETTINGS)
    folder = tmp_path / "scripts"
    (folder / "within").mkdir(parents=True)
    (folder / "within" / "link.sh").symlink_to(tmp_path / "env.sh")
    imported = import_foreign(script(folder, f"source {name}"))
    assert imported.values["train"]["batch"] == 128
    assert any("sourced: " in one for one in imported.origin.assumed)


def test_a_prepared_shell_is_no_matter(tmp_path: Path) -> None:
    imported = import_foreign(script(tmp_path, "source ~/.bashrc\nsource venv/bin/activate\nsource activate clip"))
    assert not any("sourced" in one for one in imported.origin.assumed)
