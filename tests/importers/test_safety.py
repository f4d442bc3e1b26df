"""Foreign files are data: nothing in them is run, imported or followed out of their folder."""

import os
import subprocess
from pathlib import Path

import pytest

from collotype.importers import import_foreign
from collotype.runtime.errors import UserError
from tests.importers.fuzz import HERE, fuzz, watched

CONFIG = (HERE / "cases" / "bipali.yaml").read_text()
LAUGHS = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


def refused(text: str, folder: Path, **files: str) -> str:
    """What the user is told of this config; the folder has these other files."""
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(content)
    path = folder / "configs_of_mine" / "config.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with watched() as did, pytest.raises(UserError) as error:
        import_foreign(path)
    assert did == []
    assert "\n" not in str(error.value)
    return str(error.value)


NONE_OF_IT = "must be a YAML file in or below"
WITHOUT_END = "expand to more than 20000 values or 40 levels"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            "!!python/object/apply:os.system [id]",
            "the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not supported",
        ),
        ("!!python/name:os.system", "is not supported (!ext, !path, !import, !cfg), because nothing that a config"),
        ("!!python/object/new:os.system {args: [id]}", "python/object/new:os.system"),
        ("!!binary aGk=", "binary' is not supported"),
        ("{(): os.system, command: id}", "line 14: it calls os.system, which is unknown and never run"),
        ("{(): colpali_engine}", "'colpali_engine' is not the dotted name"),
        ("!import ../../x.yaml", NONE_OF_IT),
        ("!import ../secret.yaml", NONE_OF_IT),
        ("!import /etc/passwd", NONE_OF_IT),
        ("!import link.yaml", NONE_OF_IT),
        ("!import config.yaml", WITHOUT_END),
        ("!cfg config", WITHOUT_END),
        ("!cfg nowhere.at.all", "!cfg nowhere.at.all does not exist"),
        ("&a [*a]", WITHOUT_END),
        ("[" * 60 + "]" * 60, WITHOUT_END),
        ("{a: " * 3000 + "1" + "}" * 3000, "nested without end"),
        ("0x" + "f" * 999, "is not a valid int (too large)"),
        ("1\n  max_length: 2", "the key 'max_length' occurs twice"),
    ],
)
def test_hostile_values_are_refused_by_name(value: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "configs_of_mine").mkdir()
    (tmp_path / "configs_of_mine" / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    text = CONFIG.replace("max_length: 50\n  run", f"max_length: {value}\n  run")
    assert text != CONFIG
    assert words in refused(text, tmp_path, secret="a: 1", x="a: 1")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("torch.bfloat16", "subprocess.Popen", "it calls subprocess.Popen, which is unknown and never run"),
        ("peft.LoraConfig", "builtins.eval", "it calls builtins.eval"),
        ("peft.LoraConfig", "peft.PromptTuningConfig", "only peft.LoraConfig is supported"),
        (
            "colpali_engine.loss.bi_encoder_losses.BiEncoderLoss",
            "torch.hub.load",
            "the supported losses are BiEncoderLoss, BiPa",
        ),
        (
            "colpali_engine.models.BiPali",
            "transformers.AutoModel",
            "the supported models of colpali-engine are ColPali, BiPali",
        ),
        ("ColModelTrainingConfig", "Trainer", "is not a training config of colpali-engine"),
        ("config:\n", f"a0: &a0 [x]\n{LAUGHS}config:\n", WITHOUT_END),
        ("config:\n", "config: {\n", "is not readable YAML"),
        ("config:\n", f"#{'x' * 70_000}\nconfig:\n", "is not a file of at most 64 KB"),
    ],
)
def test_hostile_configs_are_refused_by_name(old: str, new: str, words: str, tmp_path: Path) -> None:
    assert old in CONFIG
    assert words in refused(CONFIG.replace(old, new, 1), tmp_path)


def test_paths_and_variables_are_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No path of a config is opened, and the environment of whoever imports it is not asked."""
    import_foreign(f"python train_colbert.py {HERE}/cases/bipali.yaml")  # what reads scripts is imported
    monkeypatch.setenv("TOP_SECRET", "hunter2")
    config = tmp_path / "c.yaml"
    text = CONFIG.replace("max_length: 50\n  run", "max_length: !path /etc/passwd\n  add_suffix: ${TOP_SECRET}\n  run")
    config.write_text(text.replace("learning_rate: 5e-5", "learning_rate: ${RATE-3e-5}"))
    with watched() as did:
        imported = import_foreign(config)
        told = import_foreign(f"RATE=2e-5 HF_TOKEN=hf_abc python train_colbert.py {config}")
    assert did == []
    left = {one.name: one.value for one in imported.left_out}
    assert (left["max_length"], left["add_suffix"]) == ("/etc/passwd", "${TOP_SECRET}")
    assert imported.values["train"]["optimizer"]["lr"] == 3e-5
    assert told.values["train"]["optimizer"]["lr"] == 2e-5
    assert {one.name: one.value for one in told.left_out}["HF_TOKEN"] == "(not shown)"


def test_imports_stay_within_the_folder_of_the_configs(tmp_path: Path) -> None:
    """Published configs lie below `configs` and import from its other folders; out of it nothing leads."""
    part = "(): transformers.TrainingArguments\nper_device_train_batch_size: 6\n"
    text = CONFIG[: CONFIG.index("  tr_args:")] + "  tr_args: !import ../tr_args/mine.yml\n"
    for folder in ("configs/pali", "configs/tr_args", "elsewhere/pali", "elsewhere/tr_args"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("configs", "elsewhere"):
        (tmp_path / folder / "pali" / "c.yaml").write_text(text)
        (tmp_path / folder / "tr_args" / "mine.yml").write_text(part)
    assert import_foreign(tmp_path / "configs" / "pali" / "c.yaml").values["train"]["batch"] == 6
    with pytest.raises(UserError, match="must be a YAML file in or below"):
        import_foreign(tmp_path / "elsewhere" / "pali" / "c.yaml")
    (tmp_path / "alone.yaml").write_text(text)
    for alone in (text, tmp_path / "alone.yaml"):
        assert "!import ../tr_args/mine.yml: the file is not there" in " ".join(import_foreign(alone).origin.assumed)
    (tmp_path.parent / "tr_args").mkdir(exist_ok=True)
    (tmp_path.parent / "tr_args" / "mine.yml").write_text(part)
    with pytest.raises(UserError, match="must be a YAML file in or below"):
        import_foreign(tmp_path / "alone.yaml")
    with pytest.raises(UserError, match="must be a YAML file in or below"):
        import_foreign(text.replace("../tr_args", "../../tr_args"))


def test_the_watch_sees_what_is_forbidden(tmp_path: Path) -> None:
    """The fuzzer's silence means something."""
    with watched() as did:
        os.system("true")
        subprocess.run(["true"], check=True)
        (tmp_path / "x").write_text("x")
        with pytest.raises(ImportError):
            __import__("colpali_engine.models")
        exec("1")
    seen = " ".join(did)
    for word in ("os.system", "subprocess.Popen", "open ", "import colpali_engine", "exec"):
        assert word in seen


@pytest.mark.parametrize("seed", range(2))
def test_mutated_inputs_are_imported_or_refused(seed: int, tmp_path: Path) -> None:
    """`python -m tests.importers.fuzz` does ten thousand."""
    outcome = fuzz(1000, seed, tmp_path)
    assert outcome["imported"] > 100 and outcome["refused"] > 100
