"""Presets: the texts and the attention a checkpoint was trained with. They travel with the model.

The strings of colpali-engine changed between its versions without a word, and a checkpoint is only itself with its own.
"""

from dataclasses import dataclass
from typing import Literal

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
    query_newline: bool = False
    query_bos: str = ""
    page_prompt: str
    """The whole text of a page, IMAGE in it."""
    padding_side: Literal["left", "right"]
    query_attention: Literal["causal", "bidirectional"]
    max_visual_tokens: int | None = None
    """The visual budget of a page, where a backbone has one."""

    def query(self, text: str) -> str:
        """The query in its frame, as it is tokenized."""
        end = self.augmentation_token * self.augmentation_count + "\n" * self.query_newline
        return f"{self.query_bos}{self.query_prefix}{text}{end}"

    def page(self, visual_tokens: str) -> str:
        return self.page_prompt.replace(IMAGE, visual_tokens)


def paligemma(name: str, **differences: object) -> Preset:
    common = {
        "query_bos": "<bos>",
        "augmentation_token": "<pad>",
        "page_prompt": f"{IMAGE}<bos>Describe the image.\n",
        "padding_side": "right",
        "query_attention": "bidirectional",
    }
    return Preset(name=name, **{**common, **differences})


def qwen2(name: str, **differences: object) -> Preset:
    page = f"<|im_start|>user\n<|vision_start|>{IMAGE}<|vision_end|>Describe the image.<|im_end|>"
    common = {
        "augmentation_token": "<|endoftext|>",
        "page_prompt": f"{page}<|endoftext|>",
        "padding_side": "left",
        "query_attention": "causal",
        "max_visual_tokens": 768,
    }
    if differences.pop("page_newline", False):
        common["page_prompt"] = f"{page}\n"
    return Preset(name=name, **{**common, **differences})


PRESETS = {
    preset.name: preset
    for preset in (
        # the code of the paper, colpali-engine 0.1.x on transformers 4.41
        paligemma(
            "colpali-paper",
            query_prefix="Question: ",
            augmentation_token="<unused0>",
            augmentation_count=5,
            query_newline=True,
            query_attention="causal",
        ),
        paligemma("colpali-engine-0.2", query_prefix="Question: ", query_newline=True),
        paligemma("colpali-engine-0.3.4", query_prefix="Query: ", query_newline=True),
        paligemma("colpali-engine-0.3.11"),
        # the same under transformers 5, whose processor puts a second <bos> before the prompt
        paligemma("colpali-engine-0.3.11-transformers-5", page_prompt=f"{IMAGE}<bos><bos>Describe the image.\n"),
        paligemma("colpali-transformers", query_prefix="Question: ", query_newline=True),
        qwen2("colqwen2-engine-0.2", query_prefix="Query: ", page_newline=True),
        qwen2("colqwen2-engine-0.3.4", query_prefix="Query: "),
        qwen2("biqwen2-engine-0.3.4", query_prefix="Query: ", augmentation_count=1),
        qwen2("colqwen2-engine-0.3.11"),
        qwen2("colqwen2-transformers", query_prefix="Query: ", query_newline=True),
    )
}


TRAINED_WITH = {
    "vidore/colpali": "colpali-paper",
    "vidore/colpali-v1.1": "colpali-engine-0.2",
    "vidore/colpali-v1.2": "colpali-engine-0.2",
    "vidore/colpali-v1.3": "colpali-engine-0.2",
    "vidore/colqwen2-v0.1": "colqwen2-engine-0.2",
    "vidore/colqwen2-v1.0": "colqwen2-engine-0.3.4",
}
"""Published checkpoints and the preset their model cards say they were trained with."""


def known_preset(name: str, folder: object) -> Preset:
    """The preset of a published checkpoint.

    Raises:
        UserError: it is none of those we know.
    """
    if name not in TRAINED_WITH:
        raise UserError(
            f"Nothing in {folder} says how it frames queries and pages, and {name or 'it'} is no checkpoint we know; "
            f"name the preset it was trained with (--preset; {', '.join(PRESETS)})."
        )
    return PRESETS[TRAINED_WITH[name]]


def find_preset(name: str) -> Preset:
    if name not in PRESETS:
        raise UserError(f"No preset {name!r}; the known presets are {', '.join(PRESETS)}.")
    return PRESETS[name]
