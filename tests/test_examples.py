"""The examples run as they stand, from another folder, and end with what they promise."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def ran(name: str, *arguments: str, cwd: Path, **variables: str) -> str:
    program = sys.executable if name.endswith(".py") else "bash"
    commands = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLLOTYPE_CACHE": str(cwd / "cache")}
    environment = {**os.environ, **commands, **variables}
    command = [program, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_fine_tune_on_pdfs(tmp_path: Path) -> None:
    said = ran("fine_tune_on_pdfs.py", "--steps", "2", cwd=tmp_path)
    assert "trained on 125 queries" in said and "answers 'build packages'" in said
    assert (tmp_path / "runs" / "own-pdfs" / "report.html").is_file()


def test_evaluate_and_compare(tmp_path: Path) -> None:
    said = ran("evaluate_and_compare.sh", cwd=tmp_path, STEPS="2")
    assert "model.interaction" in said and "sheets/held-out" in said
    assert list((tmp_path / "runs" / "compare" / "results").rglob("held-out.json"))


def test_search_pdfs_and_again(tmp_path: Path) -> None:
    assert "89 pages indexed, 0 unchanged" in ran("search_pdfs.py", cwd=tmp_path)
    said = ran("search_pdfs.py", cwd=tmp_path)
    assert "0 pages indexed, 89 unchanged" in said
    assert "\npackaging-tutorial.en.pdf#page=28 " in said and "    chroot: " in said
    assert (tmp_path / "hit.png").is_file()


def test_import_failing_command(tmp_path: Path) -> None:
    said = ran("import_failing_command.sh", cwd=tmp_path)
    assert "repaired by the recipe" in said and said.count("beta2 of 0.999") == 1, "the last plan has it changed"
    assert (tmp_path / "runs" / "imported" / "recipe.yaml").is_file()


def test_each_example_is_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"`{file.name}`" in listed for file in EXAMPLES.iterdir() if file.suffix in (".py", ".sh"))
