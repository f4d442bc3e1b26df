"""`collotype import` as a user types it."""

import json
from pathlib import Path

import pytest
import yaml

from collotype.cli.import_ import recipe_of
from collotype.importers import import_foreign
from collotype.recipe import load_recipe
from collotype.recipe.load import parse_recipe
from tests.importers.test_imports import WHOLE

CASES = Path(__file__).parents[1] / "importers" / "cases"


def test_a_command_becomes_a_recipe_that_says_what_is_missing(cli, tmp_path: Path) -> None:
    done = cli("import", CASES / "rn50-cc3m.sh", "-o", tmp_path / "rn50.yaml")
    assert done.returncode == 0 and done.stderr == ""
    assert "local_loss: false" in done.stdout and "--report-to = tensorboard" in done.stdout
    assert done.stdout.endswith(f"recipe: {tmp_path / 'rn50.yaml'}\n")
    assert load_recipe(tmp_path / "rn50.yaml").train.batch == 1024
    assert "# started with torchrun on 8 processes\n" in (tmp_path / "rn50.yaml").read_text()
    command = "mpirun python -m open_clip_train.main --train-data a.tar --train-num-samples 900"
    assert cli("import", command).stdout.splitlines()[2].startswith("# mind: processes: mpirun's number of processes")
    first, second, *_ = cli("check", command).stdout.splitlines()
    assert "imported from open_clip" in first and second.startswith("mind: processes: mpirun's number of processes")


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.name)
def test_what_is_written_is_a_recipe(file: Path, tmp_path: Path) -> None:
    imported = import_foreign(file)
    written = tmp_path / "recipe.yaml"
    written.write_text(recipe_of(imported, str(file)))
    assert load_recipe(written) == parse_recipe(imported.values, "here")


def test_json_has_all_of_it_and_errors_are_a_sentence(cli) -> None:
    found = json.loads(cli("import", CASES / "bipali-torchrun.sh", "--json").stdout)
    assert found["recipe"]["train"]["batch"] == 32
    assert found["origin"]["settings"]["negatives_per_query"] == 3
    assert found["carried"]["tr_args.learning_rate"] == "train.optimizer.lr"
    assert ("run_eval", "true") in {(one["name"], one["value"]) for one in found["left_out"]}
    told = json.loads(
        cli(
            "import", "mpirun python -m open_clip_train.main --train-data a.tar --train-num-samples 900", "--json"
        ).stdout
    )
    assert told["origin"]["assumed"][0].startswith("processes: mpirun's number of processes is not in the text")
    wrong = cli("import", "ls -l")
    assert wrong.returncode == 2 and wrong.stdout == "" and wrong.stderr.count("\n") == 1


def test_foreign_words_cannot_leave_the_comments(tmp_path: Path) -> None:
    """What stands in the header is quoted from a file of somebody else."""
    command = "python -m training.main --train-data a.tar --wandb-notes 'x\nname: evil\n# '"
    text = recipe_of(import_foreign(command), command)
    values = yaml.safe_load(text)
    assert values["name"] == "open_clip"
    assert [line for line in text.splitlines() if "evil" in line and not line.startswith("#")] == []
