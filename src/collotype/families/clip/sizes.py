"""Number of weights and cost of a forward pass by configuration, without building the model or importing torch."""

from collections.abc import Iterator

from collotype.families.clip.config import ClipConfig, VisionConfig

TOKENS = 20
"""Of a caption, about."""


def parameters(config: ClipConfig) -> int:
    text, vision = config.text_cfg, config.vision_cfg
    tower = of_resnet if vision.is_resnet else of_vit
    own = (text.vocab_size + text.context_length + 2 + config.embed_dim) * text.width + of_captions(config)
    return tower(vision, config.embed_dim) + own + 1 + (config.init_logit_bias is not None)


def forward_flops(config: ClipConfig) -> float:
    """Of an image and a caption, in convolutions and linear layers, which are most of it; two a multiplication."""
    vision, words = config.vision_cfg, of_captions(config) * TOKENS
    if not vision.is_resnet:
        return 2 * (words + of_vit(vision, config.embed_dim) * vision.positions)
    # the stem works at half of the side, stage n at a 2^(n + 1)th
    seen = sum(weights * (vision.image_size / 2 ** (stage + 1)) ** 2 for stage, weights, _ in convolutions(vision))
    return float(2 * (words + seen))


def of_captions(config: ClipConfig) -> int:
    """Of the blocks alone."""
    text = config.text_cfg
    return text.layers * of_block(text.width, text.mlp_ratio)


def of_block(width: int, mlp_ratio: float) -> int:
    inner = int(width * mlp_ratio)
    return 4 * (width + 1) * width + (width + 1) * inner + (inner + 1) * width + 4 * width


def of_vit(config: VisionConfig, embed_dim: int) -> int:
    width, blocks = config.width, config.stages[0] * of_block(config.width, config.mlp_ratio)
    return (3 * config.patch**2 + 1 + config.positions + 4 + embed_dim) * width + blocks


def of_resnet(config: VisionConfig, embed_dim: int) -> int:
    wide = 32 * config.width
    attention = config.positions * wide + 3 * (wide + 1) * wide + (wide + 1) * embed_dim
    return attention + sum(weights + 2 * channels for _, weights, channels in convolutions(config))


def convolutions(config: VisionConfig) -> Iterator[tuple[int, int, int]]:
    """(stage, weights, output channels) of each, which a norm follows; the stem is stage 0."""
    width = config.width
    for inputs, outputs in ((3, width // 2), (width // 2, width // 2), (width // 2, width)):
        yield 0, 9 * inputs * outputs, outputs
    inputs = width
    for stage, count in enumerate(config.stages, start=1):
        planes = width * 2 ** (stage - 1)
        for number in range(count):
            if (stage > 1 and not number) or inputs != 4 * planes:
                yield stage, inputs * 4 * planes, 4 * planes
            yield stage, inputs * planes, planes
            yield stage, 9 * planes**2, planes
            yield stage, planes * 4 * planes, 4 * planes
            inputs = 4 * planes
