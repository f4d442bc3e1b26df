"""A student's text tower starts from a pretrained encoder's layers, and from its words cut into pieces."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaModel,
)

import collotype
from collotype.families import task_for
from collotype.families.retriever.backbones.text import MAX_TOKENS, ROW
from collotype.families.retriever.checkpoints import native, text_encoder
from collotype.recipe import load_recipe
from collotype.runner.planning import check
from collotype.runtime.errors import UserError
from collotype.search.encoders import open_encoder
from collotype.search.encoders.student import StudentEncoder

PIECES = ["<pad>", "[UNK]", "red", "app", "##le", "bicycle"]
SMALL = {"vocab_size": len(PIECES), "pad_token_id": 0}
BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
ROBERTA = {**BERT, "layer_norm_eps": 1e-5}
KINDS = {
    "bert": BertForMaskedLM(BertConfig(**SMALL, **BERT)),
    "distilbert": DistilBertForMaskedLM(DistilBertConfig(**SMALL, **DISTILBERT)),
    "roberta": RobertaForMaskedLM(RobertaConfig(**SMALL, **ROBERTA)),
    "xlm-roberta": XLMRobertaModel(XLMRobertaConfig(vocab_size=len(PIECES), pad_token_id=1, **ROBERTA)),
}


def pieces(names: list[str] = PIECES) -> Tokenizer:
    vocabulary = {name: number for number, name in enumerate(names)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def words(*names: str) -> Tokenizer:
    made = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token=names[0]))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["<unk>"])
    return made


def written(kind: str, folder: Path) -> Path:
    KINDS[kind].eval().save_pretrained(folder)
    pieces().save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_computes_as_in_transformers(kind: str, tmp_path: Path) -> None:
    found = text_encoder.read(str(written(kind, tmp_path)), words("<unk>", "bicycle", "red"))
    tower = ROW.build(found.config).eval()
    tower.load_state_dict(found.weights)
    given = {"input_ids": torch.tensor([[1, 2, 2]]), "attention_mask": torch.ones(1, 3, dtype=torch.bool)}
    with torch.no_grad():
        ours = ROW.forward(tower, given, False)
        own = KINDS[kind].base_model(input_ids=torch.tensor([[5, 2, 2]]), attention_mask=torch.ones(1, 3))
    torch.testing.assert_close(ours, own.last_hidden_state, atol=1e-6, rtol=1e-5)
    assert len(found.weights[text_encoder.POSITIONS]) == MAX_TOKENS


def test_a_word_starts_from_the_mean_of_its_pieces(tmp_path: Path) -> None:
    found = text_encoder.read(str(written("bert", tmp_path)), words("<unk>", "apple", "red"))
    own, table = KINDS["bert"].bert.embeddings.word_embeddings.weight, found.weights[text_encoder.WORDS]
    torch.testing.assert_close(table, torch.stack([own.mean(0), own[3:5].mean(0), own[2]]))
    assert found.events == (
        {
            "kind": "words start from the pieces of another vocabulary",
            "weights": str(tmp_path),
            "of one piece": 1,
            "of several": 1,
            "of none": 1,
        },
    )


def test_a_student_of_pretrained_weights_is_trained_and_searched_without_torch(tmp_path: Path) -> None:
    native.write(task_for(load_recipe("desk-colpali")).build(), tmp_path / "teacher")
    asked = {
        "model.size": None,
        "model.weights": str(written("roberta", tmp_path / "roberta")),
        "distill.teacher": str(tmp_path / "teacher"),
        **{"train.steps": 2, "train.batch": 8, "evaluate": [], "expect": []},
    }
    plan = check("desk-distill", overrides=asked)[1]
    task = task_for(load_recipe("desk-distill", asked))
    started, layer = task.build(), "encoder.layer.1.output.dense.weight"
    assert torch.equal(started.backbone.state_dict()[layer], KINDS["roberta"].roberta.state_dict()[layer])
    assert "sha256" not in plan["teacher"], "weights that nobody has read"
    assert plan["parameters"] == sum(weight.numel() for weight in started.parameters())
    run = collotype.run("desk-distill", out=tmp_path / "run", overrides=asked)
    events = json.loads((run.folder / "record.json").read_text())["events"]
    assert any(event["kind"] == "words start from the pieces of another vocabulary" for event in events)
    encoder = open_encoder(str(run.folder / "model"))
    assert isinstance(encoder, StudentEncoder)
    [ours], [torchs] = (one.encode_queries(["red apple"]) for one in (encoder, encoder.whole))
    np.testing.assert_allclose(ours.vectors, torchs.vectors, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mpnet"}, "describes a 'mpnet' model, and a text tower starts from one of bert, distilbert"),
        ({"hidden_act": "relu"}, "has hidden_act = 'relu'"),
        ({"position_embedding_type": "relative_key"}, "has position_embedding_type = 'relative_key'"),
        ({"num_hidden_layers": 3}, "do not fit its config.json .missing: encoder.layer.2"),
        ({"hidden_size": 64}, "of another shape: embeddings.LayerNorm.bias"),
        ({"num_attention_heads": 5}, "config.json cannot be used .The hidden size .32. is not a multiple"),
        ({"hidden_size": "32"}, "config.json cannot be used .Validation error for field 'hidden_size'"),
    ],
)
def test_other_encoders_are_refused_by_name(changes: dict, message: str, tmp_path: Path) -> None:
    file = written("bert", tmp_path) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    with pytest.raises(UserError, match=message):
        text_encoder.read(str(tmp_path), words("<unk>", "red"))


def test_a_tokenizer_of_another_encoder_is_refused(tmp_path: Path) -> None:
    pieces([*PIECES, "pear"]).save(str(written("bert", tmp_path) / "tokenizer.json"))
    with pytest.raises(UserError, match="has a token 6, but the weights have only 6 tokens; copy both from the same"):
        text_encoder.read(str(tmp_path), words("<unk>", "pear"))
