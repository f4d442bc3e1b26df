"""Texts and images to tensors."""

import json
from pathlib import Path

import pytest
from PIL import Image
from tokenizers import Tokenizer

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
    with pytest.raises(UserError, match="contains <image>, the placeholder of a page"):
        processor.queries(["apple <image>"])


def test_queries_are_padded_right_and_masked(processor: Processor) -> None:
    inputs = processor.queries(["umbrella", "red apple and bicycle"])
    lengths = inputs["attention_mask"].sum(1).tolist()
    assert lengths == [len(processor.query_ids(query)[0]) for query in ("umbrella", "red apple and bicycle")]
    pad = processor.tokenizer.token_to_id("<pad>")
    assert (inputs["input_ids"][~inputs["attention_mask"]] == pad).all()
    assert not inputs["attention_mask"][0, lengths[0] :].any()


def test_a_transparent_image_lies_on_white_paper(processor: Processor) -> None:
    clear = processor.pages([Image.new("RGBA", (96, 96), (255, 0, 0, 0))])["pixel_values"]
    assert (clear == 255).all()


def test_words_it_was_never_shown_are_named(processor: Processor) -> None:
    with pytest.raises(UserError, match=r"words that are not in this model's vocabulary \(Zebra, moonwalk\)"):
        processor.queries(["Zebra and moonwalk"])


@pytest.fixture(scope="module")
def open_processor(tmp_path_factory: pytest.TempPathFactory) -> Processor:
    """As it is made for training on somebody's own queries."""
    folder = tmp_path_factory.mktemp("data")
    queries = ["Sales of bread", "sales of rye bread", "Größe der Brote"]
    lines = [json.dumps({"query": query, "image": "a.png"}) for query in queries]
    (folder / "pairs.jsonl").write_text("\n".join(lines))
    changes = {"data.train": {"source": "pairs", "path": str(folder)}, "model.max_query_tokens": 16}
    return task_for(load_recipe("desk-colpali", changes)).processor


def test_common_words_are_tokens_and_others_are_spelled(open_processor: Processor) -> None:
    def tokens(query: str) -> list[str]:
        return [word for _, word in open_processor.query_words(query)]

    assert tokens("sales of bread") == ["sales", "of", "bread"]
    assert tokens("rye brot") == [*"rye", *"brot"]
    assert tokens("ö x") == ["ö", "<0x78>"]
    assert tokens("猫") == ["<0xE7>", "<0x8C>", "<0xAB>"]
    frame = [open_processor.tokenizer.id_to_token(number) for number in open_processor.query_ids("of")[0]]
    assert frame == ["<bos>", "question", ":", "of", *["<unused0>"] * 5, "\n"]


def test_a_spelled_query_survives_saving(open_processor: Processor, tmp_path: Path) -> None:
    open_processor.save(tmp_path)
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert again.encode("Sales of 猫s").ids == open_processor.tokenizer.encode("Sales of 猫s").ids


def test_a_query_that_is_too_long_is_refused_or_cut(open_processor: Processor) -> None:
    long, kept = "sales " * 10_000, " ".join(["sales"] * 16)
    with pytest.raises(
        UserError, match=r"The query 'sales sales .*… has 10,000 tokens, more than this model's limit of 16"
    ):
        open_processor.queries([long])
    assert open_processor.query_ids(long, cut=True) == open_processor.query_ids(kept)
    assert open_processor.is_too_long(f"{kept} sales") and not open_processor.is_too_long(kept)


@pytest.mark.parametrize("query", ["", "   "])
def test_an_empty_query_is_refused(processor: Processor, query: str) -> None:
    with pytest.raises(UserError, match="is empty"):
        processor.queries([query])
