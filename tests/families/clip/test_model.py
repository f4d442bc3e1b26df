"""The towers: what is left out or done once changes nothing that comes out."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from collotype.families.clip.config import Activation, sized
from collotype.families.clip.model import Clip
from collotype.families.clip.resnet import AttentionPool2d
from collotype.families.clip.tokenizer import word_tokenizer
from collotype.runtime.errors import UserError
from collotype.training.sharding import checkpoint_activations

WORDS = [f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
BOTH = pytest.mark.parametrize("size", ["tiny-rn", "tiny-vit"])
CLOSE = {"atol": 1e-6, "rtol": 0}


def make(size: str, activation: Activation = "gelu", seed: int = 0) -> Clip:
    """With every weight away from where it starts, for a ResNet's blocks start as if they were not there."""
    torch.manual_seed(seed)
    tokenizer = word_tokenizer(WORDS, context_length=16)
    model = Clip(sized(size, activation, tokenizer.vocab_size), tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def pixels(batch: int = 4) -> Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def captions() -> list[str]:
    return ["worda wordb", "wordc", "wordd worde wordf wordg", "wordh wordz"]


def test_one_query_gives_what_all_of_them_give_the_first() -> None:
    torch.manual_seed(0)
    pool = AttentionPool2d(side=3, channels=64, heads=4, embed_dim=24)
    for layer in (pool.q_proj, pool.k_proj, pool.v_proj, pool.c_proj):
        nn.init.normal_(layer.bias)
    places = torch.randn(5, 64, 3, 3)
    tokens = places.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(0, keepdim=True), tokens]) + pool.positional_embedding[:, None]
    wanted, _ = functional.multi_head_attention_forward(
        query=tokens,
        key=tokens,
        value=tokens,
        embed_dim_to_check=64,
        num_heads=4,
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
    torch.testing.assert_close(pool(places), wanted[0], atol=1e-5, rtol=1e-5)
    parameters = list(pool.parameters())
    ours, theirs = (torch.autograd.grad(out.square().sum(), parameters) for out in (pool(places), wanted[0]))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_what_follows_a_caption_changes_nothing(captions: list[str]) -> None:
    model = make("tiny-vit")
    ids = model.tokenizer.batch(captions)
    seen: list[int] = []
    model.transformer.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[1]))
    with torch.no_grad():
        together = model.text_features(ids)
        alone = torch.cat([model.text_features(row[None]) for row in ids])
        garbage = ids.clone()
        for row, end in zip(garbage, ids.argmax(1), strict=True):
            row[end + 1 :] = 5
        longest = ids.clone()
        longest[0, 2:] = torch.tensor([5] * 13 + [model.tokenizer.end_id])
        full = model.text_features(longest)
        torch.testing.assert_close(model.text_features(garbage), together, **CLOSE)
    torch.testing.assert_close(alone, together, **CLOSE)
    torch.testing.assert_close(full[1:], together[1:], **CLOSE)
    assert seen == [6, 4, 3, 6, 4, 16, 6]


@BOTH
def test_embeddings_have_length_one_and_are_float32_whatever_is_computed_in(size: str, captions: list[str]) -> None:
    model = make(size)
    ids = model.tokenizer.batch(captions)
    with torch.no_grad():
        exact = model(pixels(), ids)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(pixels(), ids)
    for one, other in zip(exact, half, strict=True):
        assert one.dtype == other.dtype == torch.float32
        torch.testing.assert_close(other.norm(dim=1), torch.ones(4), **CLOSE)
        assert (one * other).sum(1).min() > 0.99
    assert model.double()(pixels(), ids)[0].dtype == torch.float64


@BOTH
def test_bytes_are_normalised_by_the_model(size: str) -> None:
    model = make(size)
    raw = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    prepare = model.config.preprocess_cfg
    mean, std = (torch.tensor(values)[:, None, None] for values in (prepare.mean, prepare.std))
    with torch.no_grad():
        torch.testing.assert_close(model.image_features(raw), model.image_features((raw / 255 - mean) / std), **CLOSE)


def test_the_memory_layout_changes_nothing() -> None:
    model = make("tiny-rn").train()
    found = {}
    for channels_last in (False, True):
        model.visual.channels_last = channels_last
        features = model.image_features(pixels())
        found[channels_last] = [features, *gradients(model.visual, features)]
    for one, other in zip(*found.values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def gradients(module: nn.Module, features: Tensor) -> tuple[Tensor, ...]:
    wanted = torch.linspace(-1, 1, features.numel()).reshape(features.shape)
    return torch.autograd.grad((features * wanted).sum(), list(module.parameters()))


@BOTH
def test_recomputed_blocks_give_the_same_gradients(size: str, captions: list[str]) -> None:
    """Also those of a ResNet, in training: statistics of the batch are the same the second time."""
    found = {}
    for again in (False, True):
        model, calls = make(size).double().train(), []
        for block in model.blocks():
            compute = block.forward
            block.forward = lambda *inputs, _compute=compute, _calls=calls: _calls.append(1) or _compute(*inputs)
        if again:
            checkpoint_activations(model.blocks(), nullcontext)
        images, texts = model(pixels().double(), model.tokenizer.batch(captions))
        loss = functional.cross_entropy(images @ texts.T * model.logit_scale.exp(), torch.arange(4))
        loss.backward()
        found[again] = {name: parameter.grad for name, parameter in model.named_parameters()}
        assert len(calls) == len(model.blocks()) * (2 if again else 1)
    assert len(model.blocks()) == (7 if size == "tiny-rn" else 4)
    for name, gradient in found[False].items():
        torch.testing.assert_close(found[True][name], gradient, atol=1e-12, rtol=0)


def test_weights_start_as_published() -> None:
    torch.manual_seed(0)
    model = Clip(sized("RN50", vocab_size=2000), None)
    text, pool = model.transformer.resblocks[3], model.visual.attnpool
    wanted = [
        (model.token_embedding.weight, 0.02),
        (model.positional_embedding, 0.01),
        (model.text_projection, 512**-0.5),
        (text.attn.in_proj_weight, 512**-0.5),
        (text.attn.out_proj.weight, (512 * 24) ** -0.5),
        (text.mlp.c_fc.weight, 1024**-0.5),
        (text.mlp.c_proj.weight, (512 * 24) ** -0.5),
        (pool.positional_embedding, 2048**-0.5),
        *((layer.weight, 2048**-0.5) for layer in (pool.q_proj, pool.k_proj, pool.v_proj, pool.c_proj)),
    ]
    for weight, std in wanted:
        assert weight.std().item() == pytest.approx(std, rel=0.02)
    assert all(not block.bn3.weight.any() for block in model.visual.blocks())
    assert not text.attn.in_proj_bias.any() and not text.attn.out_proj.bias.any()
    assert model.logit_scale.item() == pytest.approx(2.6593, abs=1e-4)
    assert model.logit_scale.shape == () and model.logit_bias is None
    siglip = Clip(sized("tiny-vit", vocab_size=10, siglip=True), None)
    assert (siglip.logit_scale.item(), siglip.logit_bias.item()) == pytest.approx((2.302585, -10))


def test_the_activation_decides(captions: list[str]) -> None:
    one, other = make("tiny-rn", "gelu"), make("tiny-rn", "quick_gelu")
    assert torch.equal(one.encode_images([picture()]), other.encode_images([picture()]))
    assert not torch.allclose(one.encode_texts(captions), other.encode_texts(captions), atol=1e-4)


def picture(seed: int = 0, size: tuple[int, int] = (50, 40)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8))


@BOTH
def test_batches_change_no_embedding(size: str, captions: list[str]) -> None:
    model = make(size).train()
    images = [picture(seed, (32 + 5 * seed, 60)) for seed in range(5)]
    together, alone = model.encode_images(images), torch.cat([model.encode_images([image]) for image in images])
    torch.testing.assert_close(model.encode_images(images, batch_size=2), together, **CLOSE)
    torch.testing.assert_close(alone, together, **CLOSE)
    assert (together.shape, together.dtype) == ((5, 32), torch.float32)
    torch.testing.assert_close(model.encode_texts(captions, batch_size=3), model.encode_texts(captions), **CLOSE)
    assert model.encode_texts([]).shape == (0, 32)


def test_a_text_is_not_cut_in_silence() -> None:
    model = make("tiny-vit")
    long = " ".join(WORDS)
    with pytest.raises(UserError, match="longer than the 16 tokens"):
        model.encode_texts([long])
    torch.testing.assert_close(
        model.encode_texts([long], cut=True), model.encode_texts([" ".join(WORDS[:14])]), **CLOSE
    )


def test_a_digest_tells_models_apart() -> None:
    one, same, other, function = (
        make("tiny-vit"),
        make("tiny-vit"),
        make("tiny-vit", seed=1),
        make("tiny-vit", "quick_gelu"),
    )
    assert one.digest() == same.digest()
    assert len({model.digest() for model in (one, other, function)}) == 3
