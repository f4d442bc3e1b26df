"""Token ids: the published ones, whatever the text; a closed vocabulary says what it does not know."""

import gzip
import html
from functools import cache
from itertools import pairwise
from pathlib import Path

import ftfy
import pytest
import regex
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from collotype.families.clip.tokenizer import (
    END,
    START,
    VOCABULARY,
    ClipTokenizer,
    bpe_tokenizer,
    byte_letters,
    word_tokenizer,
)
from collotype.runtime.errors import UserError


@cache
def published() -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """Numbers of tokens and ranks of merges, as CLIP's code makes them of its file."""
    lines = gzip.decompress(VOCABULARY.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    merges = [tuple(line.split()) for line in lines]
    letters = sorted(byte_letters())
    tokens = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges), START, END]
    return {token: n for n, token in enumerate(tokens)}, {merge: rank for rank, merge in enumerate(merges)}


def reference(text: str) -> list[int]:
    """A text's own ids by the plain algorithm: merge the pair of the lowest rank until there is none."""
    numbers, ranks = published()
    letters = byte_letters()
    text = " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).strip().split()).strip().lower()
    marks = r"""<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
    ids = []
    for word in regex.findall(marks, text, regex.IGNORECASE):
        parts = [letters[byte] for byte in word.encode()]
        parts[-1] += "</w>"
        while word not in (START, END) and (pairs := [pair for pair in pairwise(parts) if pair in ranks]):
            first, second = min(pairs, key=ranks.get)
            at = 0
            while at < len(parts) - 1:
                if (parts[at], parts[at + 1]) == (first, second):
                    parts[at : at + 2] = [first + second]
                at += 1
        ids += [numbers[word]] if word in (START, END) else [numbers[part] for part in parts]
    return ids


PIECES = st.sampled_from(
    ["cat", "Photograph ", "'s", "'LL", "'ſ", START, END, "&amp;lt;", "<", " \n", "ﬁ", "3", "é", "🦊"]
)


BPE = bpe_tokenizer()


@settings(max_examples=150)
@given(st.lists(st.one_of(st.text(max_size=12), PIECES), max_size=12).map("".join))
def test_ids_are_those_of_the_plain_algorithm(text: str) -> None:
    ids, cut = BPE(text)
    own = reference(text)
    assert ids == [49406, *own[:75], 49407]
    assert cut == (len(own) > 75)


def test_a_caption_that_is_cut_is_known() -> None:
    tokenizer = bpe_tokenizer(context_length=8)
    short, long = "a cat", "a cat and a dog and a bird"
    assert not tokenizer(short).cut
    assert tokenizer(long).cut
    with pytest.raises(UserError, match="1 of 2 texts are longer than the 8 tokens"):
        tokenizer.batch([short, long])
    ids = tokenizer.batch([short, long], cut=True)
    assert ids.tolist() == [[49406, 320, 2368, 49407, 0, 0, 0, 0], [49406, 320, 2368, 537, 320, 1929, 537, 49407]]
    assert ids.dtype == torch.int64


def test_another_vocabulary_file_is_refused(tmp_path: Path) -> None:
    content = VOCABULARY.read_bytes()
    for name, changed in (("cut", content[:-1]), ("other", content[:1000] + b"x" + content[1001:])):
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(UserError, match=f"{len(changed):,} bytes"):
            bpe_tokenizer(vocabulary=tmp_path / name)
    with pytest.raises(UserError, match="cannot be read"):
        bpe_tokenizer(vocabulary=tmp_path / "missing")


def test_words_have_a_token_each_and_the_end_is_last(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(["A red Apple, and a bicycle", "don't"], context_length=10)
    assert tokenizer.vocab_size == 1 + len({"a", "red", "apple", ",", "and", "bicycle", "don", "'t"}) + 2
    ids, cut = tokenizer("a  RED bicycle")
    assert (len(ids), ids[-1], cut) == (5, tokenizer.vocab_size - 1, False)
    assert ids == tokenizer("A red bicycle").ids
    with pytest.raises(UserError, match=r"not in this model's vocabulary \(green, car\)"):
        tokenizer("a green car")
    tokenizer.save(tmp_path)
    again = ClipTokenizer.read(tmp_path, 10)
    assert (again("red apple"), again.is_bpe) == (tokenizer("red apple"), False)


def test_a_saved_vocabulary_of_byte_pairs_is_read_alike(tmp_path: Path) -> None:
    tokenizer = bpe_tokenizer()
    tokenizer.save(tmp_path)
    again = ClipTokenizer.read(tmp_path, 77)
    texts = ["naïve café — déjà vu", f"{START} it's {END}"]
    assert torch.equal(again.batch(texts), tokenizer.batch(texts))
    assert again.is_bpe


def test_a_tokenizer_without_its_end_is_refused(tmp_path: Path) -> None:
    Tokenizer(models.WordLevel({"a": 0, START: 1, END: 2, "b": 3}, unk_token="a")).save(
        str(tmp_path / "tokenizer.json")
    )
    with pytest.raises(UserError, match="as its last token"):
        ClipTokenizer.read(tmp_path, 77)
