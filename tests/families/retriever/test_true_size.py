"""What a large model must not cost: copies of its weights, reading them to know them again, or for a refusal."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import collotype
from collotype.families.retriever import commands
from collotype.families.retriever.checkpoints.reading import export, read
from collotype.runtime import tensor_files
from collotype.runtime.digest import state_digest
from collotype.runtime.errors import UserError
from collotype.runtime.weights import Weights
from tests.families.retriever.test_checkpoints import make

PRESET = "colqwen2-engine-0.3.4"


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A retriever in the engine's layout whose weights lie in bf16, as published ones do."""
    folder = tmp_path_factory.mktemp("half") / "model"
    export(make("colqwen2"), "engine", folder, "card")
    file = folder / "model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(file).items()}, file, {"format": "pt"})
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLLOTYPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def types_of(model: torch.nn.Module) -> set[torch.dtype]:
    return {parameter.dtype for parameter in model.parameters()}


@pytest.mark.parametrize(
    ("dtype", "held"), [(None, torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.half)]
)
def test_a_model_is_held_in_the_type_that_is_asked_for(half: Path, dtype: str | None, held: torch.dtype) -> None:
    model = collotype.load(half, preset=PRESET, **({"dtype": dtype} if dtype else {}))
    assert types_of(model) == {held}
    vectors = model.encode_queries(["apple bicycle"])[0]
    exact = collotype.load(half, preset=PRESET).encode_queries(["apple bicycle"])[0]
    assert vectors.dtype is torch.float32 and float((vectors * exact).sum(1).min()) > 0.99


def test_auto_keeps_half_precision_only_where_the_device_has_units_for_it(half: Path, monkeypatch) -> None:
    for units, held in (({}, torch.float32), ({"amx_bf16": True}, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda units=units: units)
        assert types_of(collotype.load(half, preset=PRESET, dtype="auto")) == {held}
    with pytest.raises(UserError, match="Unknown dtype 'half'; the choices are auto, fp32, bf16, fp16"):
        collotype.load(half, preset=PRESET, dtype="half")


def test_a_type_says_nothing_of_which_model_it_is(half: Path) -> None:
    models = [collotype.load(half, preset=PRESET, dtype=dtype) for dtype in ("fp32", "bf16", "fp16")]
    assert len({model.digest() for model in models}) == 1


def test_a_digest_is_read_once_and_is_that_of_the_weights_in_float32(half: Path, own_cache: Path, monkeypatch) -> None:
    import hashlib

    first = collotype.load(half, preset=PRESET, dtype="bf16").digest()
    model = collotype.load(half, preset=PRESET)
    config = model.config.to_dict()
    # these came later, and an index that was made before has to find its model
    assert not config["preset"].pop("keeps_budget") and not config["preset"].pop("tokenizer_frame")
    assert config.pop("compact") is None and config.pop("pages") is None
    facts = json.dumps([config, model.processor.tokenizer.to_str()], sort_keys=True)
    # as every version computed it, so that what was made with those is known again
    assert first == hashlib.sha256((facts + state_digest(model)).encode()).hexdigest()
    [kept] = own_cache.glob("digests/*.json")
    kept.write_text(json.dumps({"sha256": "kept"}))
    assert collotype.load(half, preset=PRESET).digest() == hashlib.sha256((facts + "kept").encode()).hexdigest()


def test_a_digest_follows_what_happens_to_files_and_to_the_model(half: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(half, tmp_path / "model"))
    file, before = folder / "model.safetensors", collotype.load(folder, preset=PRESET).digest()
    told, tensors = file.stat(), load_file(file)
    tensors["custom_text_proj.weight"] = tensors["custom_text_proj.weight"] * 2
    save_file(tensors, file, {"format": "pt"})
    os.utime(file, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert file.stat().st_size == told.st_size
    model = collotype.load(folder, preset=PRESET)
    after = model.digest()
    assert after != before
    with torch.no_grad():
        model.custom_text_proj.weight /= 2
    assert model.digest() == before
    loaded = collotype.load(folder, preset=PRESET)
    file.unlink()
    assert loaded.digest() == after


def test_a_digest_needs_no_place_to_be_kept(half: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "no-folder").write_text("")
    monkeypatch.setenv("COLLOTYPE_CACHE", str(tmp_path / "no-folder"))
    assert len(collotype.load(half, preset=PRESET).digest()) == 64


@pytest.mark.parametrize("layout", ["engine", "sentence-transformers"])
def test_a_conversion_keeps_the_type_in_shards(half: Path, layout: str, tmp_path: Path, monkeypatch) -> None:
    written = sum(file.stat().st_size for file in half.glob("*.safetensors"))
    monkeypatch.setattr(tensor_files, "SHARD", written // 3)
    for module in (commands.read.__globals__[name] for name in ("sentence_transformers", "transformers_native")):
        monkeypatch.setattr(module, "SHARD", written // 3)
    out = tmp_path / "out"
    said = commands.export(half, layout, out, preset=PRESET)
    assert "the same vectors" in said[0]
    files = list(out.rglob("*.safetensors"))
    assert len(files) > 2 and sum(file.stat().st_size for file in files) < 1.02 * written + 5_000
    for file in files:
        with safe_open(file, "pt") as opened:
            assert {opened.get_slice(name).get_dtype() for name in opened.keys()} == {"BF16"}
    one, other = read(half, PRESET), read(out, PRESET if layout == "engine" else None)
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


def test_what_cannot_be_written_is_refused_before_weights_are_read(half: Path, tmp_path: Path, monkeypatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr(Weights, "to", never)
    for layout, problem in (
        ("transformers", "cannot use the query prompt"),
        ("adapter", "no adapter"),
        ("gguf", "Unknown layout"),
    ):
        with pytest.raises(UserError, match=problem):
            commands.export(half, layout, tmp_path / "out", preset=PRESET)
    assert not (tmp_path / "out").exists()


def test_weights_kept_in_half_precision_are_looked_at_when_they_are_used(half: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(half, tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    tensors["custom_text_proj.bias"][0] = torch.inf
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="not finite"):
        collotype.load(folder, preset=PRESET)
    model = collotype.load(folder, preset=PRESET, dtype="bf16")
    with pytest.raises(UserError, match=r"custom_text_proj\.bias has values that are not finite"):
        model.encode_queries(["apple"])


def test_a_long_stage_is_told_and_a_short_one_is_not() -> None:
    code = (
        "import time; from collotype.runtime import stage_messages as s; s.PATIENCE_S = 0.05; s.tell_stages()\n"
        "with s.stage('reading 4.4 GB of weights'): time.sleep({})"
    )
    for seconds, said in ((0.5, "collotype: reading 4.4 GB of weights …"), (0, "")):
        done = subprocess.run([sys.executable, "-c", code.format(seconds)], capture_output=True, text=True, check=True)
        assert done.stderr.partition("\n")[0] == said


def test_a_log_is_told_of_a_stage_that_takes_long(capsys: pytest.CaptureFixture, monkeypatch) -> None:
    from collotype.cli import terminal

    clock = iter([0.0, 2.0, 3.5, 4.0, 70.0])
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    told = terminal.Stages()
    for done in range(1, 6):
        told.log("pages encoded", done, 2000)
    assert capsys.readouterr().err.splitlines() == [
        "collotype: pages encoded: 3 of 2,000",
        "collotype: pages encoded: 5 of 2,000",
    ]


def test_a_new_index_takes_the_files_type_and_an_older_one_stays_in_float32(tmp_path: Path) -> None:
    from collotype.cli.index import asked_for
    from collotype.search.index import Index
    from collotype.search.ingest import SourceLedger

    new = asked_for(tmp_path / "new", "a/model", None, None, None)
    assert new["dtype"] == "auto" and "dtype" not in asked_for(tmp_path / "new", None, None, None, None)
    assert asked_for(tmp_path / "new", "a/model", None, None, "bf16")["dtype"] == "bf16"
    older = {"model": "a/model", "preset": None, "base": None}
    Index.create(tmp_path / "older", encoder_name="a/model", identity="x", dim=8, interaction="late")
    SourceLedger(tmp_path / "older").update({}, older)
    assert asked_for(tmp_path / "older", None, None, None, None) == older
    assert asked_for(tmp_path / "older", "a/model", None, None, None) == older
