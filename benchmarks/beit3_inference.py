"""BEiT-3 base at 480 pixels, questions of about eight tokens and their frame: ours beside the published formulation.

Published: 64 text slots whatever the questions, patches and words in one sequence that every module divides and joins
again, scores of all pairs multiplied, masked and normalised one by one, the last layer computed for all places.
Both have the same weights and compute in float32 on two threads. They take turns, and the ratio is the median over
pairs, of processor time, which other work on the machine changes less.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from collotype.families.beit3.config import sized
from collotype.families.beit3.encoder import Beit3Block, Multiway
from collotype.families.beit3.model import Beit3
from collotype.families.beit3.tokenizer import PAD, pad

PAIRS, TOLERANCE = 3, 1e-4
INFERENCE, STEP = (10, 9, 12, 8), (10, 12)
"""Tokens of the questions of a batch, start and end included."""


def divided(multiway: Multiway, x: Tensor, split: int) -> Tensor:
    return torch.cat([multiway.A(x[:, :split]), multiway.B(x[:, split:])], dim=1)


def published_block(block: Beit3Block, x: Tensor, padding: Tensor, split: int) -> Tensor:
    """[B, P + T, W], as torchscale 0.3.0 computes it."""
    attention = block.self_attn
    batch, length, width = x.shape
    normed = divided(block.self_attn_layer_norm, x, split)
    query, key, value = (
        divided(project, normed, split)
        .view(batch, length, attention.heads, -1)
        .transpose(1, 2)
        .reshape(batch * attention.heads, length, -1)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    scores = torch.bmm(query * query.shape[-1] ** -0.5, key.transpose(1, 2))
    scores = scores.view(batch, attention.heads, length, length).masked_fill(padding[:, None, None], -torch.inf)
    weights = scores.view(-1, length, length).softmax(-1, dtype=torch.float32)
    found = torch.bmm(weights, value).transpose(0, 1).reshape(length, batch, width).transpose(0, 1)
    x = x + divided(attention.out_proj, divided(attention.inner_attn_ln, found, split), split)
    return x + divided(block.ffn, divided(block.final_layer_norm, x, split), split)


def published(model: Beit3, pixels: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Logits [B, answers]."""
    encoder = model.beit3.encoder
    patches, words = model.beit3.vision_embed(pixels), model.beit3.text_embed(ids)
    split = patches.shape[1]
    places = torch.cat([encoder.places("A", patches), encoder.places("B", words)])
    padding = torch.cat([mask.new_zeros(patches.shape[:2]), ~mask], dim=1)
    x = (torch.cat([patches, words], dim=1) + places) * (1 - padding[..., None].float())
    for block in encoder.layers:
        x = published_block(block, x, padding, split)
    return model.head(model.pooler(x))


def run(compute: Callable[[], Tensor], targets: Tensor | None) -> tuple[float, Tensor]:
    """Processor seconds of an inference, or with targets of a step's two passes, and the logits."""
    began = time.process_time()
    with torch.set_grad_enabled(targets is not None):
        logits = compute()
        if targets is not None:
            functional.binary_cross_entropy_with_logits(logits, targets).backward()
    return time.process_time() - began, logits.detach()


def compare(model: Beit3, lengths: Sequence[int], training: bool) -> list[dict]:
    pixels = torch.randn(len(lengths), 3, 480, 480)
    ids, mask = pad([torch.randint(4, 64_000, (length,)).tolist() for length in lengths])
    slots = model.config.max_text_tokens - ids.shape[1]
    padded, padded_mask = functional.pad(ids, (0, slots), value=PAD), functional.pad(mask, (0, slots))
    ways = {
        "ours": lambda: model(pixels, ids, mask),
        "reference": lambda: published(model, pixels, padded, padded_mask),
    }
    targets = torch.rand(len(lengths), model.config.num_answers) if training else None
    taken, logits = {name: [] for name in ways}, {}
    for _ in range(1 + PAIRS):
        for name, compute in ways.items():
            seconds, logits[name] = run(compute, targets)
            taken[name].append(seconds)
            model.zero_grad(set_to_none=True)
    difference = (logits["ours"] - logits["reference"]).abs().max().item()
    assert difference <= TOLERANCE, f"logits differ by {difference}"
    ratios = [ours / other for ours, other in zip(taken["ours"][1:], taken["reference"][1:], strict=True)]
    reference = statistics.median(taken["reference"][1:])
    work = "a training step" if training else "inference"
    row = {
        "what": f"BEiT-3 base at 480 px, {work} of {len(lengths)} questions, paired",
        "ours": statistics.median(ratios) * reference,
        "reference": reference,
        "against": f"64 text slots, unfused, whole last layer, same logits within {TOLERANCE:g}",
        "unit": "CPU s",
    }
    limit = {"ours": difference, "reference": TOLERANCE, "against": "allowed", "unit": ""}
    return [row, {"what": "the same: largest difference of a logit", **limit}]


def main() -> list[dict]:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    model = Beit3(sized("base"), None)
    with torch.no_grad():
        for layer in model.modules():  # as drawn, the logits are nearly zero, and so would be their differences
            if isinstance(layer, torch.nn.Linear):
                layer.weight *= 3
    return [*compare(model.eval(), INFERENCE, training=False), *compare(model.train(), STEP, training=True)]


if __name__ == "__main__":
    print(json.dumps(main()))
