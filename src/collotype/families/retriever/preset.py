"""Presets: the prompts and the attention that a checkpoint was trained with. They are stored with the model.

The strings of colpali-engine changed between its versions without a word, and a checkpoint is only itself with its own.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from collotype.runtime.errors import UserError

IMAGE = "{image}"
"""Where the visual tokens stand in a page prompt."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How a query and a page become token ids."""

    name: str
    query_prefix: str = ""
    augmentation_token: str
    augmentation_count: int = 10
    query_end: str = ""
    """What follows the augmentation tokens."""
    query_bos: str = ""
    """What stands before the prefix."""
    page_prompt: str
    """The whole text of a page, IMAGE in it."""
    padding_side: Literal["left", "right"]
    query_attention: Literal["causal", "bidirectional"]
    """How a query's tokens see each other. A page's do the same, where its backbone's attention is not fixed."""
    max_visual_tokens: int | None = None
    """The visual budget of a page, where a backbone has one."""
    keeps_budget: bool = False
    """Does that budget hold where a checkpoint's own files state another, because it was measured so?"""
    tokenizer_frame: bool = False
    """Are texts also put into what the tokenizer itself adds ([CLS], [SEP])?"""

    def within(self, budget: int | None) -> "Preset":
        """With the visual budget that a checkpoint's files state, if they do."""
        return replace(self, max_visual_tokens=budget) if budget and not self.keeps_budget else self

    def bounded(self, budget: int | None) -> "Preset":
        """With the visual budget that somebody asks for, if they do."""
        return replace(self, max_visual_tokens=budget) if budget else self

    def query(self, text: str) -> str:
        """The query in its frame, as it is tokenized."""
        augmentation = self.augmentation_token * self.augmentation_count
        return f"{self.query_bos}{self.query_prefix}{text}{augmentation}{self.query_end}"

    def page(self, visual_tokens: str) -> str:
        return self.page_prompt.replace(IMAGE, visual_tokens)


def paligemma(name: str, **differences: Any) -> Preset:
    common: dict[str, Any] = {
        "query_bos": "<bos>",
        "augmentation_token": "<pad>",
        "page_prompt": f"{IMAGE}<bos>Describe the image.\n",
        "padding_side": "right",
        "query_attention": "bidirectional",
    }
    return Preset(name=name, **{**common, **differences})


def qwen(name: str, **differences: Any) -> Preset:
    common: dict[str, Any] = {
        "augmentation_token": "<|endoftext|>",
        "page_prompt": f"{QWEN_PAGE}<|endoftext|>",
        "padding_side": "left",
        "query_attention": "causal",
        "max_visual_tokens": 768,
    }
    return Preset(name=name, **{**common, **differences})


def idefics3(name: str, **differences: Any) -> Preset:
    common: dict[str, Any] = {
        "augmentation_token": "<end_of_utterance>",
        "page_prompt": f"<|im_start|>User:{IMAGE}Describe the image.<end_of_utterance>\nAssistant:",
        "padding_side": "left",
        "query_attention": "causal",
    }
    return Preset(name=name, **{**common, **differences})


def modernvbert(name: str, **differences: Any) -> Preset:
    page = f"<|begin_of_text|>User:{IMAGE}Describe the image.<end_of_utterance>\nAssistant:"
    common: dict[str, Any] = {"page_prompt": page, "query_attention": "bidirectional", "tokenizer_frame": True}
    return idefics3(name, **{**common, **differences})


def gemma3(name: str, **differences: Any) -> Preset:
    # the chat template gives one <bos>, the tokenizer, as the engine calls it, another
    turn = "<bos><bos><start_of_turn>user\n"
    common: dict[str, Any] = {
        "query_bos": turn,
        "query_prefix": "Query: ",
        "augmentation_token": "<eos>",
        "query_end": "<end_of_turn>\n",
        "page_prompt": f"{turn}\n\n<start_of_image>{IMAGE}<end_of_image>\n\nDescribe this image<end_of_turn>\n",
        "padding_side": "left",
        "query_attention": "causal",
    }
    return Preset(name=name, **{**common, **differences})


QWEN_ANSWER = "<|im_end|>\n<|im_start|>assistant\n"
QWEN_PAGE = f"<|im_start|>user\n<|vision_start|>{IMAGE}<|vision_end|>Describe the image.<|im_end|>"


PRESETS = {
    preset.name: preset
    for preset in (
        # the code of the paper, colpali-engine 0.1.x on transformers 4.41
        paligemma(
            "colpali-paper",
            query_prefix="Question: ",
            augmentation_token="<unused0>",
            augmentation_count=5,
            query_end="\n",
            query_attention="causal",
        ),
        paligemma("colpali-engine-0.2", query_prefix="Question: ", query_end="\n"),
        paligemma("colpali-engine-0.3.4", query_prefix="Query: ", query_end="\n"),
        paligemma("colpali-engine-0.3.11", query_prefix="Query: "),
        paligemma("colpali-engine-0.3.13"),
        # the same under transformers 5, whose processor puts a second <bos> before the prompt
        paligemma("colpali-engine-0.3.13-transformers-5", page_prompt=f"{IMAGE}<bos><bos>Describe the image.\n"),
        paligemma("colpali-transformers", query_prefix="Question: ", query_end="\n"),
        qwen("colqwen2-engine-0.2", query_prefix="Query: ", page_prompt=f"{QWEN_PAGE}\n"),
        # these are also Qwen2.5-VL's (since 0.3.9) and Qwen3-VL's (since 0.3.14), and from 0.3.11 on BiQwen's
        qwen("colqwen2-engine-0.3.4", query_prefix="Query: "),
        qwen("biqwen2-engine-0.3.4", query_prefix="Query: ", augmentation_count=1),
        qwen("colqwen2-engine-0.3.13"),
        qwen("colqwen2-transformers", query_prefix="Query: ", query_end="\n"),
        # of 2026. That EVIE and Nemotron look both ways stands in no config.json; Perplexity's says it
        qwen("colqwen3.5-engine-0.3.18"),
        qwen("colqwen3.5-v3", max_visual_tokens=1792),
        qwen("evie", query_attention="bidirectional", max_visual_tokens=1024, keeps_budget=True),
        qwen(
            "pplx-late-v2",
            query_prefix="[Q] ",
            augmentation_count=0,
            page_prompt=f"[D] <|vision_start|>{IMAGE}<|vision_end|>",
            query_attention="bidirectional",
            max_visual_tokens=1758,
        ),
        qwen("tomoro-colqwen3", max_visual_tokens=1280),
        qwen(
            "ops-colqwen3",
            query_prefix="Query: ",
            page_prompt=f"{QWEN_PAGE}<|im_start|>assistant\n<|endoftext|>",
            max_visual_tokens=1280,
        ),
        qwen(
            "nemotron-colembed-v2",
            query_bos="<|im_start|>user\n",
            query_prefix="Query: query: ",
            augmentation_count=0,
            query_end=QWEN_ANSWER,
            page_prompt=f"<|im_start|>user\n<|vision_start|>{IMAGE}<|vision_end|>passage: {QWEN_ANSWER}",
            query_attention="bidirectional",
            max_visual_tokens=3996,
        ),
        # the generation of the first ColSmol, on the chat template of SmolVLM
        idefics3(
            "colidefics3-engine-0.3.5",
            query_prefix="Query: ",
            query_end="\n",
            page_prompt=f"<|im_start|>User: Describe the image.{IMAGE}<end_of_utterance>",
        ),
        idefics3(
            "colidefics3-engine-0.3.9",
            query_prefix="Query: ",
            query_end="\n",
            page_prompt=f"<|im_start|>user\n{IMAGE}Describe the image.<end_of_utterance>",
        ),
        idefics3("colidefics3-engine-0.3.11", query_prefix="Query: "),
        idefics3("colidefics3-engine-0.3.13"),
        modernvbert("colmodernvbert-engine-0.3.18"),
        gemma3("colgemma3-engine-0.3.14"),
        # its process_queries, unlike its training, adds no augmentation
        gemma3("colgemma3-engine-0.3.14-inference", augmentation_count=0),
    )
}


TRAINED_WITH = {
    "vidore/colpali": "colpali-paper",
    "vidore/colpali-v1.1": "colpali-engine-0.2",
    "vidore/colpali-v1.2": "colpali-engine-0.2",
    "vidore/colpali-v1.3": "colpali-engine-0.2",
    "vidore/colqwen2-v0.1": "colqwen2-engine-0.2",
    "vidore/colqwen2-v1.0": "colqwen2-engine-0.3.4",
    "vidore/colqwen2.5-v0.1": "colqwen2-engine-0.3.4",
    "vidore/colqwen2.5-v0.2": "colqwen2-engine-0.3.4",
    "athrael-soju/colqwen3.5-4.5B-v3": "colqwen3.5-v3",
    "vultr/VultronRetrieverFlash-Qwen3.5-0.8B": "colqwen3.5-v3",
    "vultr/VultronRetrieverCore-Qwen3.5-4.5B": "colqwen3.5-v3",
    "vultr/VultronRetrieverPrime-Qwen3.5-8B": "colqwen3.5-v3",
    "tencent/EVIE-8B": "evie",
    "tencent/EVIE-4.5B": "evie",
    "tencent/EVIE-Preview-4.5B": "evie",
    "perplexity-ai/pplx-embed-v2-late-0.6b": "pplx-late-v2",
    "perplexity-ai/pplx-embed-v2-late-9b": "pplx-late-v2",
    "TomoroAI/tomoro-colqwen3-embed-4b": "tomoro-colqwen3",
    "TomoroAI/tomoro-colqwen3-embed-8b": "tomoro-colqwen3",
    "OpenSearch-AI/Ops-Colqwen3-4B": "ops-colqwen3",
    "Verm1ion/ColTurk-VDR-Qwen3VL-4B-v1.0": "colqwen2-engine-0.3.13",
    "nvidia/nemotron-colembed-vl-4b-v2": "nemotron-colembed-v2",
    "nvidia/nemotron-colembed-vl-8b-v2": "nemotron-colembed-v2",
    "ModernVBERT/colmodernvbert": "colmodernvbert-engine-0.3.18",
    "ModernVBERT/colmodernvbert-merged": "colmodernvbert-engine-0.3.18",
    "ModernVBERT/bimodernvbert": "colmodernvbert-engine-0.3.18",
}
"""Published checkpoints and the preset that their model cards, or who evaluated them, say they were trained with."""


def known_preset(name: str, folder: object) -> Preset:
    """The preset of a published checkpoint.

    Raises:
        UserError: it is none of those we know.
    """
    if name not in TRAINED_WITH:
        raise UserError(
            f"{folder} does not define the prompts of queries and pages, and {name or 'it'} is not a known checkpoint; "
            f"name the preset it was trained with (--preset; {', '.join(PRESETS)})."
        )
    return PRESETS[TRAINED_WITH[name]]


def find_preset(name: str) -> Preset:
    if name not in PRESETS:
        raise UserError(f"Unknown preset {name!r}; the known presets are {', '.join(PRESETS)}.")
    return PRESETS[name]
