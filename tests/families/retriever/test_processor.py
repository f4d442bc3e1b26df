"""Texts and pictures to tensors."""

import pytest
from PIL import Image

from collotype.families import task_for
from collotype.families.retriever.preset import PRESETS
from collotype.families.retriever.processor import Processor
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError


@pytest.fixture(scope="module")
def processor() -> Processor:
    return task_for(load_recipe("desk-colpali")).processor


def of_qwen2(preset: str) -> Processor:
    changes = {"model.backbone": "qwen2-vl", "model.preset": preset, "train.steps": 1}
    return task_for(load_recipe("desk-colpali", changes)).processor


def test_a_query_stands_in_the_papers_frame(processor: Processor) -> None:
    ids, positions = processor.query_ids("Red apple and bicycle")
    tokens = [processor.tokenizer.id_to_token(number) for number in ids]
    assert tokens == ["<bos>", "question", ":", "red", "apple", "and", "bicycle", *["<unused0>"] * 5, "\n"]
    assert [tokens[place] for place in positions] == ["red", "apple", "and", "bicycle"]


def test_a_page_is_its_patches_and_the_prompt(processor: Processor) -> None:
    tokens = [processor.tokenizer.id_to_token(number) for number in processor.page_ids((96, 96))]
    assert tokens == ["<image>"] * 36 + ["<bos>", "describe", "the", "image", ".", "\n"]
    looking, grid = processor.visual_tokens((96, 96))
    assert (looking.tolist(), grid) == (list(range(36)), (6, 6))


END = "<|endoftext|>"
TURN = "<bos><bos><start_of_turn>user\n"


@pytest.mark.parametrize(
    ("preset", "query"),
    [
        ("colpali-paper", "<bos>Question: ?<unused0><unused0><unused0><unused0><unused0>\n"),
        ("colpali-engine-0.2", "<bos>Question: ?" + "<pad>" * 10 + "\n"),
        ("colpali-engine-0.3.4", "<bos>Query: ?" + "<pad>" * 10 + "\n"),
        ("colpali-engine-0.3.11", "<bos>Query: ?" + "<pad>" * 10),
        ("colpali-engine-0.3.13", "<bos>?" + "<pad>" * 10),
        ("colpali-transformers", "<bos>Question: ?" + "<pad>" * 10 + "\n"),
        ("colqwen2-engine-0.2", "Query: ?" + END * 10),
        ("colqwen2-engine-0.3.4", "Query: ?" + END * 10),
        ("biqwen2-engine-0.3.4", "Query: ?" + END),
        ("colqwen2-engine-0.3.13", "?" + END * 10),
        ("colqwen2-transformers", "Query: ?" + END * 10 + "\n"),
        ("colidefics3-engine-0.3.5", "Query: ?" + "<end_of_utterance>" * 10 + "\n"),
        ("colidefics3-engine-0.3.9", "Query: ?" + "<end_of_utterance>" * 10 + "\n"),
        ("colidefics3-engine-0.3.11", "Query: ?" + "<end_of_utterance>" * 10),
        ("colidefics3-engine-0.3.13", "?" + "<end_of_utterance>" * 10),
        ("colgemma3-engine-0.3.14", f"{TURN}Query: ?" + "<eos>" * 10 + "<end_of_turn>\n"),
        ("colgemma3-engine-0.3.14-inference", f"{TURN}Query: ?<end_of_turn>\n"),
    ],
)
def test_every_generation_has_its_own_query(preset: str, query: str) -> None:
    assert PRESETS[preset].query("?") == query


@pytest.mark.parametrize(
    ("preset", "page"),
    [
        ("colidefics3-engine-0.3.5", "<|im_start|>User: Describe the image.@<end_of_utterance>"),
        ("colidefics3-engine-0.3.9", "<|im_start|>user\n@Describe the image.<end_of_utterance>"),
        ("colidefics3-engine-0.3.11", "<|im_start|>User:@Describe the image.<end_of_utterance>\nAssistant:"),
        ("colidefics3-engine-0.3.13", "<|im_start|>User:@Describe the image.<end_of_utterance>\nAssistant:"),
        (
            "colgemma3-engine-0.3.14",
            f"{TURN}\n\n<start_of_image>@<end_of_image>\n\nDescribe this image<end_of_turn>\n",
        ),
    ],
)
def test_every_generation_has_its_own_page(preset: str, page: str) -> None:
    assert PRESETS[preset].page("@") == page


def test_a_page_of_qwen2_stands_in_a_chat() -> None:
    processor = of_qwen2("colqwen2-engine-0.3.13")
    tokens = [processor.tokenizer.id_to_token(number) for number in processor.page_ids((112, 84))]
    head, tail = ["<|im_start|>", "user", "\n", "<|vision_start|>"], ["<|vision_end|>", "describe", "the", "image", "."]
    assert tokens == [*head, *["<|image_pad|>"] * 12, *tail, "<|im_end|>", END]
    looking, grid = processor.visual_tokens((112, 84))
    assert (looking.tolist(), grid) == (list(range(4, 16)), (3, 4))


def test_qwen2_is_padded_on_the_left() -> None:
    inputs = of_qwen2("colqwen2-transformers").queries(["umbrella", "red apple and bicycle"])
    assert not inputs["attention_mask"][0, :3].any() and inputs["attention_mask"][:, 3:].all()


def test_a_query_cannot_hold_a_page(processor: Processor) -> None:
    with pytest.raises(UserError, match="holds <image>, which stands for a page"):
        processor.queries(["apple <image>"])


def test_queries_are_padded_right_and_masked(processor: Processor) -> None:
    inputs = processor.queries(["umbrella", "red apple and bicycle"])
    lengths = inputs["attention_mask"].sum(1).tolist()
    assert lengths == [len(processor.query_ids(query)[0]) for query in ("umbrella", "red apple and bicycle")]
    pad = processor.tokenizer.token_to_id("<pad>")
    assert (inputs["input_ids"][~inputs["attention_mask"]] == pad).all()
    assert not inputs["attention_mask"][0, lengths[0] :].any()


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
