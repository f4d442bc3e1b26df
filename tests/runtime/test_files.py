"""Files are whole or absent."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from collotype.runtime.errors import UserError
from collotype.runtime.files import JsonLines, atomic_folder, sweep_partial, write_json


def test_a_folder_appears_only_when_the_block_ends_well(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "model") as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "whole").write_text("x")
        assert not (tmp_path / "model").exists()
    assert [file.name for file in (tmp_path / "model").iterdir()] == ["whole"]


def test_a_replaced_folder_keeps_nothing_of_the_old(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_folder(tmp_path / "model") as folder:
            (folder / name).touch()
    assert [file.name for file in (tmp_path / "model").iterdir()] == ["new"]


def test_leftovers_of_a_kill_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".step-000001.abc.partial").mkdir()
    (tmp_path / ".record.json.abc.partial").touch()
    (tmp_path / "step-000001").mkdir()
    sweep_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_a_line_cut_short_is_not_read_and_later_steps_are_dropped(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        lines.append({"step": step})
    with lines.path.open("a") as file:
        file.write('{"step": 4, "lo')
    assert [row["step"] for row in lines.read()] == [1, 2, 3]
    lines.keep(through_step=2)
    assert lines.path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_full_disk_is_said_in_a_sentence_and_the_old_file_stays(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    write_json(target, {"old": True})

    def shrink() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    code = (
        "import sys; from pathlib import Path; from collotype.runtime.files import write_json\n"
        "try: write_json(Path(sys.argv[1]), 'x' * 5000)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, target], capture_output=True, text=True, check=True, preexec_fn=shrink
    )
    assert result.stdout.startswith(f"UserError The disk is full: {target}")
    assert json.loads(target.read_text()) == {"old": True}
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot write"):
        write_json(tmp_path / "file" / "record.json", {})
