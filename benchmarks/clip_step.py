"""A step of CLIP RN50 at batch 32 with captions of ten words: ours beside the straightforward one, of the same weights.

Straightforward: 77 positions whatever the captions, all 50 queries of the attention pool, images in torch's default
memory layout. Both go forward and backward through both towers and the symmetric loss, in float32 on two threads. They
take turns, and the ratio is the median over pairs, of processor time, which other work on the machine changes less.
"""

import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from collotype.families.clip.config import sized
from collotype.families.clip.model import Clip, unit
from collotype.families.clip.resnet import AttentionPool2d
from collotype.families.clip.tokenizer import bpe_tokenizer
from collotype.losses.registry import make_loss

BATCH, PAIRS, TOLERANCE = 32, 3, 1e-5
WORDS = "dog cat tree house river woman man child street red small old sits stands on near under with the a".split()


def all_queries(pool: AttentionPool2d, x: Tensor) -> Tensor:
    """The pool as open_clip computes it: [B, C, side, side] -> [B, D]."""
    places = x.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([places.mean(0, keepdim=True), places]) + pool.positional_embedding[:, None]
    mixed, _ = functional.multi_head_attention_forward(
        query=tokens,
        key=tokens,
        value=tokens,
        embed_dim_to_check=tokens.shape[-1],
        num_heads=pool.heads,
        in_proj_weight=None,
        in_proj_bias=torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=pool.c_proj.weight,
        out_proj_bias=pool.c_proj.bias,
        use_separate_proj_weight=True,
        q_proj_weight=pool.q_proj.weight,
        k_proj_weight=pool.k_proj.weight,
        v_proj_weight=pool.v_proj.weight,
        need_weights=False,
    )
    return mixed[0]


def straightforward(model: Clip, pixels: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    x = model.ln_final(model.transformer(model.token_embedding(ids) + model.positional_embedding))
    texts = unit(x[torch.arange(len(ids)), ids.argmax(1)] @ model.text_projection)
    pool, model.visual.channels_last = model.visual.attnpool, False
    compute, pool.forward = pool.forward, lambda places: all_queries(pool, places)
    images = model.image_features(pixels)
    pool.forward, model.visual.channels_last = compute, True
    return images, texts


def step(model: Clip, towers: Callable[[], tuple[Tensor, Tensor]]) -> tuple[float, Tensor]:
    """Processor seconds of a step, and what both towers gave."""
    began = time.process_time()
    images, texts = towers()
    scores = model.logit_scale.exp() * images @ texts.T
    make_loss("symmetric-infonce", temperature=1.0).in_batch(scores).backward()
    seconds = time.process_time() - began
    model.zero_grad(set_to_none=True)
    return seconds, torch.stack([images, texts]).detach()


def main() -> list[dict]:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    model = Clip(sized("RN50"), bpe_tokenizer()).train()
    for block in model.visual.blocks():  # these start at zero, where a block is left out
        torch.nn.init.uniform_(block.bn3.weight, 0.1, 0.3)
    pixels = torch.randn(BATCH, 3, 224, 224)
    places = torch.randint(len(WORDS), (BATCH, 10))
    ids = model.tokenizer.batch([" ".join(WORDS[place] for place in row) for row in places])
    ways = {
        "ours": lambda: model(pixels, ids),
        "reference": lambda: straightforward(model, pixels, ids),
    }
    taken, outputs = {name: [] for name in ways}, {}
    for _ in range(1 + PAIRS):
        for name, towers in ways.items():
            seconds, outputs[name] = step(model, towers)
            taken[name].append(seconds)
    difference = (outputs["ours"] - outputs["reference"]).abs().max().item()
    assert difference <= TOLERANCE, f"outputs differ by {difference}"
    ratios = [ours / other for ours, other in zip(taken["ours"][1:], taken["reference"][1:], strict=True)]
    reference = statistics.median(taken["reference"][1:])
    row = {
        "what": f"CLIP RN50, a step of {BATCH} images and captions of ten words, paired",
        "ours": statistics.median(ratios) * reference,
        "reference": reference,
        "against": f"77 positions, all queries, same outputs within {TOLERANCE:g}",
        "unit": "CPU s",
    }
    limit = {"ours": difference, "reference": TOLERANCE, "against": "allowed", "unit": ""}
    return [row, {"what": "the same: largest difference of an output", **limit}]


if __name__ == "__main__":
    print(json.dumps(main()))
