"""A small BEiT-3 and what it is asked, for the tests of this folder."""

import io
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from collotype.families.beit3.config import sized
from collotype.families.beit3.model import Beit3
from collotype.families.beit3.tokenizer import Beit3Tokenizer, SentencePieces, word_tokenizer

ANSWERS = ("yes", "no", "red", "green", "blue", "2", "on the left")
QUESTIONS = ("is it red ?", "what colour is the big apple on the left ?", "how many ?")
COLOURS, THINGS = ("red", "green", "blue", "yellow"), ("apple", "bicycle", "house", "river", "window", "cat", "dog")


def make(seed: int = 0, **changes) -> Beit3:
    """With every weight away from where it starts, in evaluation mode."""
    torch.manual_seed(seed)
    tokenizer = changes.pop("tokenizer", None) or word_tokenizer(QUESTIONS, max_tokens=16)
    answers = changes.pop("answer_list", ANSWERS)
    model = Beit3(sized("tiny", vocab_size=tokenizer.vocab_size, **changes), tokenizer, answers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def pixels(batch: int = 3) -> Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def images(count: int = 3) -> list[Image.Image]:
    draw = np.random.default_rng(0).integers
    return [Image.fromarray(draw(0, 255, (40 + 5 * n, 50, 3), np.uint8)) for n in range(count)]


@cache
def trained_pieces(vocab_size: int = 48) -> bytes:
    """A sentencepiece model like beit3.spm, of a few hundred sentences."""
    from sentencepiece import SentencePieceTrainer

    sentences = [
        f"what {colour} thing is next to the {thing} {number} times, and where is the {other}?"
        for number in range(4)
        for colour in COLOURS
        for thing in THINGS
        for other in THINGS
    ]
    out = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=out,
        vocab_size=vocab_size,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return out.getvalue()


def pieces_tokenizer(max_tokens: int = 16) -> Beit3Tokenizer:
    return Beit3Tokenizer(SentencePieces(trained_pieces(), "here"), max_tokens)
