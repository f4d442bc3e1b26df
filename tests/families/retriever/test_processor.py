"""Texts and pictures to tensors."""

import numpy as np
import pytest
import torch
from PIL import Image

from collotype.families import task_for
from collotype.families.retriever.processor import Processor
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError


@pytest.fixture(scope="module")
def processor() -> Processor:
    return task_for(load_recipe("desk-colpali")).processor


def test_a_query_stands_in_the_papers_frame(processor: Processor) -> None:
    ids, positions = processor.query_ids("Red apple and bicycle")
    tokens = [processor.tokenizer.id_to_token(number) for number in ids]
    assert tokens == ["<bos>", "question", ":", "red", "apple", "and", "bicycle", *["<unused0>"] * 5, "\n"]
    assert [tokens[place] for place in positions] == ["red", "apple", "and", "bicycle"]


def test_a_page_is_its_patches_and_the_prompt(processor: Processor) -> None:
    tokens = [processor.tokenizer.id_to_token(number) for number in processor.page_ids]
    assert tokens == ["<image>"] * processor.grid**2 + ["<bos>", "describe", "the", "image", ".", "\n"]


def test_queries_are_padded_right_and_masked(processor: Processor) -> None:
    inputs = processor.queries(["umbrella", "red apple and bicycle"])
    lengths = inputs["attention_mask"].sum(1).tolist()
    assert lengths == [len(processor.query_ids(query)[0]) for query in ("umbrella", "red apple and bicycle")]
    pad = processor.tokenizer.token_to_id("<pad>")
    assert (inputs["input_ids"][~inputs["attention_mask"]] == pad).all()
    assert not inputs["attention_mask"][0, lengths[0] :].any()


def test_pixels_are_what_transformers_makes_of_them(processor: Processor) -> None:
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    size = {"height": processor.image_size_px, "width": processor.image_size_px}
    theirs = SiglipImageProcessorPil(size=size)
    noise = np.random.default_rng(0).integers(0, 256, (70, 130, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    expected = torch.as_tensor(np.array(theirs(images=[image], return_tensors="np")["pixel_values"]))
    ours = processor.backbone.scaled(processor.pages([image])["pixel_values"])
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)


def test_a_transparent_picture_lies_on_white_paper(processor: Processor) -> None:
    clear = processor.pages([Image.new("RGBA", (96, 96), (255, 0, 0, 0))])["pixel_values"]
    assert (clear == 255).all()


def test_words_it_was_never_shown_are_named(processor: Processor) -> None:
    with pytest.raises(UserError, match=r"words this model was never shown \(Zebra, moonwalk\)"):
        processor.queries(["Zebra and moonwalk"])


@pytest.mark.parametrize("query", ["", "   "])
def test_an_empty_query_is_refused(processor: Processor, query: str) -> None:
    with pytest.raises(UserError, match="is empty"):
        processor.queries([query])
