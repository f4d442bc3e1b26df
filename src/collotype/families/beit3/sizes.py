"""Number of weights and cost of a forward pass by configuration, without building the model or importing torch."""

from collotype.families.beit3.config import Beit3Config

UNUSED_ROWS = 2
"""Places are counted from two on, a habit of fairseq."""
TOKENS = 10
"""Of a question, about."""


def parameters(config: Beit3Config) -> tuple[int, int]:
    """All, and those that are trained: without the mask of pretraining."""
    width, answers = config.hidden_size, config.num_answers
    patches = 3 * config.patch_size**2 + 3
    places = config.side**2 + 1 + UNUSED_ROWS + config.text_positions
    pooler = (width + 3) * width
    head = (width + 1 + 2) * 2 * width + (2 * width + 1) * answers
    total = (config.vocab_size + patches + places) * width + config.layers * of_block(config) + pooler + head
    return total, total - width


def of_block(config: Beit3Config) -> int:
    """One set for patches and one for words."""
    width, inner = config.hidden_size, int(config.hidden_size * config.mlp_ratio)
    return 2 * (4 * (width + 1) * width + 6 * width + (width + 1) * inner + (inner + 1) * width + 2 * inner)


def forward_flops(config: Beit3Config) -> float:
    """Of an image and a question, in the blocks' linear layers, which are most of it; two a multiplication.

    Every place goes through one of the two halves.
    """
    return 2 * config.layers * of_block(config) / 2 * (config.side**2 + 1 + TOKENS)
