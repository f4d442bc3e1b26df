"""What a command imports: who waits for a list, a hit or a comparison does not wait for what trains models."""

import json
import subprocess
import sys
from pathlib import Path

from tests.small_pdf import small_pdf

HEAVY = ("torch", "transformers", "lancedb", "peft", "scipy", "sklearn", "onnxruntime", "ray")
OPEN_CLIP = "python -m open_clip_train.main --model RN50 --train-data pairs.csv"
COMMANDS = (
    ["list"],
    ["list", "published"],
    ["compare", "published:bipali-paper", "published:bipali-torchrun"],
    ["import", OPEN_CLIP],
    ["check", OPEN_CLIP],
    ["check", "colpali-paper"],
    ["check", "beit3-large-vqav2"],
    ["check", "desk-clip"],
    ["index", "a.pdf", "--to", "library"],
    ["search", "library", "source package"],
)


def imported(command: list[str], folder: Path) -> tuple[int, list[str]]:
    """The exit status of a command in a process of its own, and which of the heavy modules it has at the end."""
    code = (
        "import json, sys\nfrom collotype.cli import main\nsys.argv = ['collotype', *json.loads(sys.argv[1])]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    status = end.code or 0\n"
        f"print(json.dumps([status, [name for name in {HEAVY} if name in sys.modules]]))"
    )
    command = [sys.executable, "-c", code, json.dumps(command)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def test_no_command_at_the_shell_waits_for_what_it_does_not_use(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(small_pdf([["A source package"]]))
    assert {" ".join(command): imported(command, tmp_path) for command in COMMANDS} == {
        " ".join(command): (0, ["onnxruntime"] if command[0] in ("index", "search") else []) for command in COMMANDS
    }


def test_a_server_with_the_reader_imports_no_torch() -> None:
    parts = ("server.app", "server.run", "library", "index", "heatmap", "ingest", "encoders.text")
    modules = ", ".join(f"collotype.search.{part}" for part in parts)
    code = f"import sys\nimport {modules}\nprint('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
