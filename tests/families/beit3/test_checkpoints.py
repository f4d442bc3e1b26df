"""Published files are read exactly or refused by name, what is written is read again, and no head is random unasked."""

import json
import re
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from collotype.families.beit3.answer_vocab import read_answers
from collotype.families.beit3.checkpoints import native
from collotype.families.beit3.checkpoints.checkpoint import resampled
from collotype.families.beit3.checkpoints.locations import can_load
from collotype.families.beit3.checkpoints.reading import export, read
from collotype.families.beit3.config import sized
from collotype.families.beit3.model import Beit3
from collotype.runtime.errors import UserError
from collotype.runtime.tensor_files import parameters_on_meta
from tests.families.beit3.small import ANSWERS, QUESTIONS, images, make, pieces_tokenizer, trained_pieces

TABLE = "beit3.encoder.embed_positions.A.weight"
NEW = ("cat", "dog", "bird")


def with_pieces(**changes) -> Beit3:
    return make(tokenizer=pieces_tokenizer(), **changes)


def save_published(folder: Path, state: dict[str, Tensor], under: str | None = "model", **beside: object) -> Path:
    """A checkpoint as it is published, or as BEiT-3's own trainer leaves it, with its vocabulary."""
    folder.mkdir(exist_ok=True)
    (folder / "beit3.spm").write_bytes(trained_pieces())
    torch.save({under: state, **beside} if under else state, folder / "beit3.pth")
    return folder / "beit3.pth"


def pretrained(model: Beit3) -> dict[str, Tensor]:
    """Its backbone, and the norm and heads of other tasks that files have which are not fine-tuned on questions."""
    state = {key: value for key, value in model.state_dict().items() if key.startswith("beit3.")}
    for name in ("A.weight", "A.bias", "B.weight", "B.bias"):
        state[f"beit3.encoder.layer_norm.{name}"] = torch.ones(32)
    return state | {"mlm_head.weight": torch.zeros(64, 32), "mlm_head.bias": torch.zeros(64)}


def assert_same(found: Beit3, wanted: Beit3) -> None:
    assert found.config == wanted.config
    assert found.tokenizer.vocabulary.content == wanted.tokenizer.vocabulary.content
    assert found.tokenizer.max_tokens == wanted.tokenizer.max_tokens
    assert found.answer_list == wanted.answer_list
    state, other = found.state_dict(), wanted.state_dict()
    assert state.keys() == other.keys()
    assert all(torch.equal(state[key], other[key]) for key in state)
    assert not found.training
    assert [name for name, p in found.named_parameters() if not p.requires_grad] == ["beit3.vision_embed.mask_token"]


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("answers", [ANSWERS, None])
def test_our_folder_is_read_again_exactly(words: bool, answers: tuple[str, ...] | None, tmp_path: Path) -> None:
    model = (make if words else with_pieces)(answer_list=answers, drop_path=0.2)
    native.write(model, tmp_path / "model")
    assert_same(read(tmp_path / "model").model(), model)


def test_what_is_exported_is_read_again_exactly(tmp_path: Path) -> None:
    model = with_pieces()
    export(model, "beit3", tmp_path / "out", "a card")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "README.md",
        "answer2label.txt",
        "beit3.spm",
        "beit3_tiny_patch8_32_vqa.pth",
    ]
    assert_same(read(tmp_path / "out").model(), model)
    again = read(tmp_path / "out" / "beit3_tiny_patch8_32_vqa.pth").model()
    assert_same(again, model)
    assert again.answers(images(1), ["what red thing?"]) == model.answers(images(1), ["what red thing?"])
    stored = torch.load(tmp_path / "out" / "beit3_tiny_patch8_32_vqa.pth", weights_only=True)
    assert stored.keys() == {"model"}
    assert stored["model"].keys() == model.state_dict().keys()


def test_what_the_published_layout_cannot_say_is_not_exported(tmp_path: Path) -> None:
    for model, said in (
        (make(), "17 words; train with beit3.spm"),
        (with_pieces(layers=2), "has 2 layers of width 32"),
    ):
        with pytest.raises(UserError, match=said):
            export(model, "beit3", tmp_path / "out", "card")
    with pytest.raises(UserError, match="Unknown layout 'gguf'; this model can be exported to beit3"):
        export(with_pieces(), "gguf", tmp_path / "out", "card")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
@pytest.mark.parametrize("under", ["model", "module", None])
def test_a_fine_tuned_checkpoint_is_read(prefix: str, under: str | None, tmp_path: Path) -> None:
    model = with_pieces()
    state = {prefix + key: value for key, value in model.state_dict().items()}
    file = save_published(tmp_path, state, under)
    assert_same(read(file, answers=ANSWERS).model(), model)
    assert read(file).model().answer_list is None


def test_what_the_published_trainer_keeps_beside_the_weights_is_no_obstacle(tmp_path: Path) -> None:
    model = with_pieces()
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    options = Namespace(model="beit3_base_patch16_480", task="vqav2", opt_betas=[0.9, 0.98], clip_grad=None)
    more = {"optimizer": optimizer, "epoch": 3, "scaler": {"scale": 65536.0}, "args": options}
    assert_same(read(save_published(tmp_path, model.state_dict(), **more), answers=ANSWERS).model(), model)


class Harmful:
    pass


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    state = with_pieces().state_dict()
    with pytest.raises(UserError, match="loading that could run code"):
        read(save_published(tmp_path, state, args=Harmful()))
    whole = save_published(tmp_path, state).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text"):
        (tmp_path / "beit3.pth").write_bytes(content)
        with pytest.raises(UserError, match=re.escape("beit3.pth")):
            read(tmp_path / "beit3.pth")
    with pytest.raises(UserError, match=r"contains no BEiT-3: .* is not among its 1 tensors"):
        read(save_published(tmp_path, {"head.3.weight": torch.zeros(2, 3)}))
    with pytest.raises(UserError, match="no folder or file"):
        read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="contains no BEiT-3 in a known layout"):
        read(tmp_path / "empty")
    (tmp_path / "empty" / "collotype.json").write_text(json.dumps({"family": "clip"}))
    with pytest.raises(UserError, match="contains a clip model, not a beit3 model"):
        read(tmp_path / "empty")
    save_published(tmp_path, state)
    (tmp_path / "second.pth").write_bytes(b"")
    with pytest.raises(UserError, match=r"contains 2 checkpoints \(beit3.pth, second.pth\); give the path of one"):
        read(tmp_path)


def test_a_random_head_is_never_evaluated(tmp_path: Path) -> None:
    """As happened to users of the published code, whose evaluation then ran to its end."""
    file = save_published(tmp_path, pretrained(with_pieces()))
    with pytest.raises(
        UserError, match="is only pretrained and has no question-answering head, so its answers would be random"
    ):
        read(file)
    with pytest.raises(UserError, match="is only pretrained"):
        read(file, answers=NEW)
    with pytest.raises(UserError, match="needs a list of answers"):
        read(file, new_head=True)


def test_half_a_head_is_missing(tmp_path: Path) -> None:
    state = with_pieces().state_dict()
    file = save_published(tmp_path, {key: value for key, value in state.items() if not key.startswith("pooler.")})
    with pytest.raises(UserError, match=r"4 tensors are missing \(pooler.dense.bias, "):
        read(file).model()


@pytest.mark.parametrize("kind", ["pretrained", "fine-tuned", "ours"])
def test_a_new_head_is_drawn_when_asked_for(kind: str, tmp_path: Path) -> None:
    model = with_pieces()
    if kind == "ours":
        native.write(model, tmp_path / "model")
        source = tmp_path / "model"
    else:
        source = save_published(tmp_path, pretrained(model) if kind == "pretrained" else model.state_dict())
    heads = []
    for seed in (1, 1, 2):
        found = read(source, answers=NEW, new_head=True)
        torch.manual_seed(seed)
        new = found.model()
        assert (new.answer_list, new.config) == (NEW, replace(model.config, num_answers=3))
        state = new.state_dict()
        assert all(torch.equal(state[key], v) for key, v in model.state_dict().items() if key.startswith("beit3."))
        heads.append(state["head.3.weight"])
        assert 0 < heads[-1].abs().max() <= 0.02
        assert new.answers(images(1), ["what red thing?"])[0][0][0] in NEW
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
    of_others = {"pretrained": 6, "fine-tuned": 10, "ours": 0}
    assert len(found.left_out) == of_others[kind]


def test_the_heads_of_other_tasks_are_left_out_and_named(tmp_path: Path) -> None:
    model = with_pieces()
    extra = pretrained(model) | {"logit_scale": torch.zeros(()), "vision_head.weight": torch.zeros(2, 2)}
    found = read(save_published(tmp_path, extra | model.state_dict()), answers=ANSWERS)
    assert_same(found.model(), model)
    assert len(found.left_out) == 8
    assert {"beit3.encoder.layer_norm.A.weight", "mlm_head.bias", "logit_scale"} < set(found.left_out)


def test_every_key_is_accounted_for(tmp_path: Path) -> None:
    state = with_pieces().state_dict()
    lost = "beit3.encoder.layers.1.ffn.B.fc1.bias"
    kept = {key: value for key, value in state.items() if key != lost}
    file = save_published(tmp_path, {**kept, "beit3.extra": torch.zeros(2), "fc_norm.bias": torch.zeros(2)})
    with pytest.raises(
        UserError, match=rf"1 tensors are missing \({lost}\) and 2 are unknown \(beit3.extra, fc_norm.b"
    ):
        read(file).model()
    with pytest.raises(UserError, match=r"1 are unknown \(beit3.extra\)"):
        read(file, answers=NEW, new_head=True).model()
    with pytest.raises(UserError, match=r"1 tensors under two names \(head.3.bias\)"):
        read(save_published(tmp_path, {**state, "module.head.3.bias": state["head.3.bias"]}))
    with pytest.raises(UserError, match=r"head.0.weight has the shape \[9, 32\], but the model's has \[64, 32\]"):
        read(save_published(tmp_path, {**state, "head.0.weight": torch.zeros(9, 32)})).model()


def test_another_list_of_answers_is_refused(tmp_path: Path) -> None:
    model = with_pieces()
    file = save_published(tmp_path, model.state_dict())
    with pytest.raises(UserError, match="has 7 answers, but 3 names were given"):
        read(file, answers=NEW)
    native.write(model, tmp_path / "model")
    with pytest.raises(UserError, match="its own list of answers"):
        read(tmp_path / "model", answers=ANSWERS[::-1])
    assert_same(read(tmp_path / "model", answers=list(ANSWERS)).model(), model)
    (tmp_path / "answer2label.txt").write_text('{"answer": "cat", "label": 0}\n')
    with pytest.raises(UserError, match="has 7 answers, but 1 names were given"):
        read(file)


def test_the_vocabulary_must_be_the_models(tmp_path: Path) -> None:
    model = with_pieces()
    file = save_published(tmp_path / "a", model.state_dict())
    (tmp_path / "other.spm").write_bytes(trained_pieces(40))
    with pytest.raises(UserError, match=r"has \d+ word embeddings, but beit3\.spm has"):
        read(file, tokenizer=tmp_path / "other.spm")
    (tmp_path / "a" / "beit3.spm").rename(tmp_path / "moved.spm")
    with pytest.raises(UserError, match=r"There is no .*beit3.spm; give the path of beit3.spm"):
        read(file)
    assert_same(read(file, tokenizer=tmp_path / "moved.spm", answers=ANSWERS).model(), model)
    native.write(model, tmp_path / "model")
    with pytest.raises(UserError, match="has its own vocabulary"):
        read(tmp_path / "model", tokenizer=tmp_path / "moved.spm")


@pytest.mark.parametrize("published", [True, False])
def test_a_model_is_read_for_larger_images(published: bool, tmp_path: Path) -> None:
    model = with_pieces()
    if published:
        source = save_published(tmp_path, model.state_dict())
    else:
        source = tmp_path / "model"
        native.write(model, source)
    larger = read(source, answers=ANSWERS, image_size=48).model()
    assert larger.config == replace(model.config, image_size=48)
    old, new = model.state_dict()[TABLE], larger.state_dict()[TABLE]
    assert (old.shape, new.shape) == ((19, 32), (39, 32))
    assert torch.equal(new[:3], old[:3])
    grid = old[3:].T.reshape(1, 32, 4, 4)
    wanted = torch.nn.functional.interpolate(grid, size=(6, 6), mode="bicubic", align_corners=False)
    torch.testing.assert_close(new[3:].T.reshape(1, 32, 6, 6), wanted)
    assert larger.answers(images(1), ["what red thing?"]) != model.answers(images(1), ["what red thing?"])
    same = read(source, answers=ANSWERS, image_size=32).model()
    assert torch.equal(same.state_dict()[TABLE], old)
    with pytest.raises(UserError, match="image_size 50 of patch_size 8"):
        read(source, answers=ANSWERS, image_size=50)


@pytest.mark.parametrize(("side", "rows"), [(24, 579), (30, 903), (48, 2307)])
def test_places_in_half_keep_their_type(side: int, rows: int) -> None:
    places = torch.randn(3 + 14**2, 8)
    found = resampled(places.half(), side)
    assert (found.shape, found.dtype) == ((rows, 8), torch.float16)
    torch.testing.assert_close(found.float(), resampled(places, side), atol=5e-3, rtol=0)


def test_heads_are_never_guessed(tmp_path: Path) -> None:
    file = save_published(tmp_path, with_pieces(layers=2).state_dict())
    with pytest.raises(UserError, match=r"an unknown size .2 layers, width 32, 16 patches., so its number of heads"):
        read(file)


def test_a_checkpoint_is_recognised_without_being_opened(tmp_path: Path) -> None:
    (tmp_path / "any.pth").write_bytes(b"")
    assert can_load(tmp_path / "any.pth")
    assert not can_load(tmp_path)
    save_published(tmp_path, {})
    assert can_load(tmp_path)


def test_a_list_of_answers_is_checked_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "answer2label.txt"
    lines = [json.dumps({"answer": answer, "label": number}) for number, answer in enumerate(ANSWERS)]
    file.write_text("\n".join(lines))
    assert read_answers(file) == ANSWERS
    for text, said in (
        ("\n".join(lines[1:]), "line 1 has the answer 'no' with the label 1"),
        (lines[0] + "\nno\n", "line 2 is 'no'; it must be like"),
        (lines[0] + "\n" + lines[0].replace("0", "1"), "2 answers, but only 1 different"),
        ("", "0 answers"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=re.escape(said)):
            read_answers(file)
    with pytest.raises(UserError, match="cannot be read"):
        read_answers(tmp_path / "missing")


def test_a_model_of_full_size_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published base for questions: its size, and its images of 480 pixels, are seen from its tensors."""
    monkeypatch.setattr("collotype.families.beit3.tokenizer.PUBLISHED_PIECES", pieces_tokenizer().vocab_size - 2)
    with parameters_on_meta():
        empty = Beit3(sized("base"), None)
    state = {key: torch.zeros(1, dtype=torch.float16).expand(value.shape) for key, value in empty.state_dict().items()}
    state["pooler.dense.bias"] = torch.full((768,), 0.5)
    contents = read(save_published(tmp_path, state))
    assert contents.config == sized("base")
    assert contents.tokenizer.max_tokens == 64
    model = contents.model(dtype=None)
    assert sum(parameter.numel() for parameter in model.parameters()) == 228_110_649
    assert model.pooler.dense.bias.mean() == 0.5


def test_questions_of_a_desk_come_back_with_the_model(tmp_path: Path) -> None:
    model = make()
    native.write(model, tmp_path / "model")
    again = read(tmp_path / "model").model()
    assert again.answers(images(), QUESTIONS) == model.answers(images(), QUESTIONS)
    assert again.digest() == model.digest()
