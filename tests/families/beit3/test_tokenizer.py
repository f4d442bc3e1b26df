"""Token ids by the published rule, whatever the question; a wrong vocabulary is refused."""

import copy
import io
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from collotype.families.beit3.tokenizer import Beit3Tokenizer, SentencePieces, pad, word_tokenizer
from collotype.runtime.errors import UserError
from tests.families.beit3.small import pieces_tokenizer, trained_pieces

PIECES = st.sampled_from(["what", " colour", "red ", "apple", "?", "<s>", "</s>", "<unk>", "é", "🦊", "１", "\n", "▁"])


@settings(max_examples=100)
@given(st.lists(st.one_of(st.text(max_size=8), PIECES), max_size=12).map("".join))
def test_ids_are_pieces_moved_by_one_behind_a_frame_of_four(question: str) -> None:
    processor = SentencePieceProcessor(model_proto=trained_pieces())
    rule = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    names = [processor.id_to_piece(piece) for piece in processor.encode(question)]
    own = [rule.get(name, processor.piece_to_id(name) + 1) for name in names]
    ids, cut = pieces_tokenizer(max_tokens=10)(question)
    assert ids == [0, *own[:8], 2]
    assert cut == (len(own) > 8)
    assert max(ids) < pieces_tokenizer().vocab_size - 1, "the last row is the mask's"


def test_the_published_size_has_rows_that_no_token_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = SentencePieceProcessor(model_proto=trained_pieces()).get_piece_size()
    assert pieces_tokenizer().vocab_size == pieces + 2
    monkeypatch.setattr("collotype.families.beit3.tokenizer.PUBLISHED_PIECES", pieces)
    assert pieces_tokenizer().vocab_size == 64_010


def test_a_wrong_file_is_refused(tmp_path: Path) -> None:
    good = trained_pieces()
    for name, content in (("text", b"no model"), ("empty", b""), ("half", good[: len(good) // 2])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name} is not a sentencepiece model .* give the beit3.spm"):
            Beit3Tokenizer.read(tmp_path / name, 64)
    with pytest.raises(UserError, match=r"There is no .*beit3.spm or .*words.txt"):
        Beit3Tokenizer.read(tmp_path, 64)
    other = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["a cat and a dog", "a red house"] * 20),
        model_writer=other,
        vocab_size=25,
        unk_id=3,
        bos_id=0,
        eos_id=2,
        pad_id=1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    with pytest.raises(UserError, match=r"numbers unknown, start and end as \(3, 0, 2\)"):
        SentencePieces(other.getvalue(), "here")


def test_a_tokenizer_comes_back_from_its_folder(tmp_path: Path) -> None:
    question = "where is the blue bicycle?"
    for number, tokenizer in enumerate((pieces_tokenizer(), word_tokenizer([question], max_tokens=16))):
        folder = tmp_path / str(number)
        folder.mkdir()
        tokenizer.save(folder)
        again = Beit3Tokenizer.read(folder, 16)
        assert again(question) == tokenizer(question)
        assert again.vocabulary.content == tokenizer.vocabulary.content
        assert again.vocab_size == tokenizer.vocab_size


def test_a_tokenizer_can_go_to_a_loader_process() -> None:
    question = "where is the blue bicycle?"
    for tokenizer in (pieces_tokenizer(), word_tokenizer([question])):
        assert pickle.loads(pickle.dumps(tokenizer))(question) == copy.copy(tokenizer)(question)  # noqa: S301


def test_words_have_a_token_each_and_unknown_ones_are_named() -> None:
    tokenizer = word_tokenizer(["Is the Apple red?", "a red apple, isn't it?"])
    assert tokenizer.vocab_size == 4 + len({"is", "the", "apple", "red", "?", "a", ",", "isn", "'", "t", "it"})
    assert tokenizer("IS the  apple red ?") == tokenizer("is the apple red?")
    with pytest.raises(UserError, match=r"not in this model's vocabulary \(green, house\)"):
        tokenizer("is the green house red?")
    with pytest.raises(UserError, match="0 words"):
        word_tokenizer([])


def test_a_question_that_is_cut_is_known() -> None:
    tokenizer = word_tokenizer(["what is it ?"], max_tokens=5)
    assert not tokenizer("what is it").cut
    assert tokenizer("what is it ?").cut
    with pytest.raises(UserError, match="1 of 2 questions are longer than the 5 tokens"):
        tokenizer.batch(["what is it", "what is it ?"])
    ids, mask = tokenizer.batch(["what ?", "what is it ?"], cut=True)
    assert ids.tolist() == [[0, 7, 4, 2, 1], [0, 7, 5, 6, 2]]
    assert mask.tolist() == [[True, True, True, True, False], [True] * 5]
    assert (ids.dtype, mask.dtype) == (torch.int64, torch.bool)
    assert pad([])[0].shape == (0, 0)
