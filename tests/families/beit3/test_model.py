"""The model: what is left out changes nothing that comes out, and what is shown is what was computed."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from collotype.families.beit3.encoder import Beit3Block
from collotype.families.beit3.model import Beit3
from collotype.families.beit3.tokenizer import pad
from collotype.families.beit3.transforms import squashed
from collotype.runtime.errors import UserError
from collotype.training.precision import PRECISIONS, Precision
from collotype.training.sharding import checkpoint_activations
from tests.families.beit3.small import ANSWERS, QUESTIONS, images, make, pixels

CLOSE = {"atol": 1e-5, "rtol": 0}


def asked(model: Beit3) -> tuple[Tensor, Tensor]:
    return model.tokenizer.batch(QUESTIONS)


def gradients(model: Beit3, logits: Tensor) -> dict[str, Tensor]:
    targets = torch.linspace(0, 1, logits.numel(), dtype=logits.dtype).reshape(logits.shape)
    model.zero_grad()
    functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum").backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def plainly(model: Beit3, pixels: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Logits as torchscale's code computes them: all places of one sequence in every layer, softmax by hand."""
    backbone, encoder = model.beit3, model.beit3.encoder
    patches = backbone.vision_embed(pixels)
    split = patches.shape[1]
    tables = [encoder.embed_positions[name].weight[2:] for name in "AB"]
    x = torch.cat([patches + tables[0][:split], backbone.text_embed(ids) + tables[1][: ids.shape[1]]], dim=1)
    real = torch.cat([torch.ones(patches.shape[:2], dtype=torch.bool), mask], dim=1)
    x = x * real[..., None]

    def both(multiway, x: Tensor) -> Tensor:
        return torch.cat([multiway.A(x[:, :split]), multiway.B(x[:, split:])], dim=1)

    for block in encoder.layers:
        attention = block.self_attn
        normed = both(block.self_attn_layer_norm, x)
        query, key, value = (
            both(project, normed).unflatten(2, (attention.heads, -1)).transpose(1, 2)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        scores = (query * query.shape[-1] ** -0.5) @ key.mT
        weights = scores.masked_fill(~real[:, None, None], -torch.inf).softmax(-1)
        found = both(attention.inner_attn_ln, (weights @ value).transpose(1, 2).flatten(2))
        x = x + both(attention.out_proj, found)
        x = x + both(block.ffn, both(block.final_layer_norm, x))
    return model.head(torch.tanh(model.pooler.dense(model.pooler.norm(x[:, 0]))))


def test_one_place_of_the_last_layer_gives_what_all_of_them_give() -> None:
    model = make().double()
    ids, mask = asked(model)
    # as published: padded to the limit
    ids, mask = functional.pad(ids, (0, 4), value=1), functional.pad(mask, (0, 4))
    logits, wanted = model(pixels().double(), ids, mask), plainly(model, pixels().double(), ids, mask)
    torch.testing.assert_close(logits, wanted, atol=1e-12, rtol=0)
    ours, theirs = gradients(model, logits), gradients(model, wanted)
    assert ours.keys() == theirs.keys()
    assert set(dict(model.named_parameters())) - set(ours) == {"beit3.vision_embed.mask_token"}
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-10, rtol=1e-8)
    unread = [f"beit3.encoder.layers.2.self_attn.{part}.B.weight" for part in ("q_proj", "out_proj")]
    assert not any(ours[name].any() for name in unread)


def test_batch_mates_padding_and_what_lies_in_it_change_nothing() -> None:
    model = make()
    ids, mask = asked(model)
    lengths: list[int] = []
    model.beit3.encoder.register_forward_pre_hook(lambda module, inputs: lengths.append(inputs[1].shape[1]))
    with torch.no_grad():
        together = model(pixels(), ids, mask)
        alone = [model(pixels()[n, None], ids[n, None, row], mask[n, None, row]) for n, row in enumerate(mask)]
        torch.testing.assert_close(torch.cat(alone), together, **CLOSE)
        garbage = torch.where(mask, ids, 7)
        torch.testing.assert_close(model(pixels(), garbage, mask), together, **CLOSE)
        wide = functional.pad(ids, (0, 4), value=9), functional.pad(mask, (0, 4))
        torch.testing.assert_close(model(pixels(), *wide), together, **CLOSE)
    assert lengths == [12, 6, 12, 5, 12, 12]


def test_the_image_and_every_word_matter() -> None:
    model = make()
    (ids, mask), images = asked(model), pixels()
    with torch.no_grad():
        logits = model(images, ids, mask)
        assert not torch.allclose(model(images.flip(0), ids, mask), logits, atol=1e-3)
        for place in range(1, 4):
            other = ids.clone()
            other[:, place] = 4
            assert not torch.allclose(model(images, other, mask), logits, atol=1e-4)
        swapped = ids.clone()
        swapped[:, 1:3] = ids[:, [2, 1]]
        assert not torch.allclose(model(images, swapped, mask), logits, atol=1e-4), "order"


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=lambda precision: precision.name)
def test_logits_are_float32_at_least_whatever_is_computed_in(precision: Precision) -> None:
    model = make()
    ids, mask = asked(model)
    exact = model(pixels(), ids, mask)
    model = precision.place(model, torch.device("cpu")).train()
    with precision.context(torch.device("cpu")):
        logits = model(pixels().to(precision.trained), ids, mask)
    assert logits.dtype == precision.trained
    torch.testing.assert_close(logits.to(exact.dtype), exact, atol=0.1 if precision.autocast else 1e-4, rtol=0)
    assert all(gradient.isfinite().all() for gradient in gradients(model, logits).values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_may_be_held_in_half(dtype: torch.dtype) -> None:
    model = make()
    ids, mask = asked(model)
    with torch.no_grad():
        exact = model(pixels(), ids, mask)
        logits = model.to(dtype)(pixels(), ids, mask)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, exact, atol=0.2, rtol=0)


def test_bytes_are_normalised_by_the_model_and_other_sizes_refused() -> None:
    model = make()
    ids, mask = asked(model)
    raw = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(model(raw, ids, mask), model((raw / 255 - 0.5) / 0.5, ids, mask), **CLOSE)
    with pytest.raises(UserError, match="have 40 × 32 pixels, but the model takes 32 × 32"):
        model(torch.zeros(3, 3, 32, 40), ids, mask)


def test_recomputed_blocks_give_the_same_gradients() -> None:
    found = {}
    for again in (False, True):
        model, calls = make().double().train(), []
        for block in model.blocks():
            compute = block.forward
            block.forward = lambda *inputs, _compute=compute, _calls=calls: _calls.append(1) or _compute(*inputs)
        if again:
            checkpoint_activations(model.blocks(), nullcontext)
        found[again] = gradients(model, model(pixels().double(), *asked(model)))
        assert len(calls) == len(model.blocks()) * (2 if again else 1) == (6 if again else 3)
    for name, gradient in found[False].items():
        torch.testing.assert_close(found[True][name], gradient, atol=1e-12, rtol=0)


def test_recomputed_blocks_drop_the_same_examples() -> None:
    found = []
    for again in (False, True):
        model = make(drop_path=0.5).double().train()
        if again:
            checkpoint_activations(model.blocks(), nullcontext)
        torch.manual_seed(3)
        found.append(gradients(model, model(pixels().double(), *asked(model))))
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-12, rtol=0)


def test_a_dropped_example_goes_around_with_patches_and_words_alike() -> None:
    torch.manual_seed(0)
    block = Beit3Block(width=8, heads=2, inner=16, drop_path=0.5).train()
    patches, words = torch.randn(400, 3, 8), torch.randn(400, 2, 8)
    stream = block.added((patches, words), (torch.ones_like(patches), torch.ones_like(words)))
    changes = [(after - before).flatten(1) for before, after in zip((patches, words), stream, strict=True)]
    together = torch.cat(changes, dim=1)
    assert torch.allclose(together, together[:, :1].expand_as(together), atol=1e-5)
    kept = together[:, 0] > 1
    assert torch.allclose(together[kept], torch.tensor(2.0), atol=1e-5), "what is kept is scaled up"
    assert not together[~kept].abs().max() > 1e-5
    assert 0.4 < kept.float().mean() < 0.6
    same = block.eval().added((patches, words), (patches, words))
    assert torch.equal(same[0], patches + patches)


def test_the_last_block_is_dropped_most() -> None:
    assert [block.drop_path for block in make(drop_path=0.3).blocks()] == pytest.approx([0, 0.15, 0.3])


def test_weights_start_as_published() -> None:
    torch.manual_seed(0)
    model = Beit3(make().config, None)
    linears = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    drawn = torch.cat([layer.weight.flatten() for layer in linears])
    assert drawn.abs().max() <= 0.02
    assert drawn.std().item() == pytest.approx(0.02 * 0.5396, rel=0.02)  # of a normal number cut at one deviation
    assert not any(layer.bias.any() for layer in linears)
    assert model.beit3.text_embed.weight.std().item() == pytest.approx(32**-0.5, rel=0.1)
    assert model.beit3.encoder.embed_positions["B"].weight.std().item() == pytest.approx(1, rel=0.1)
    assert not model.beit3.vision_embed.cls_token.any()


def test_attention_is_what_the_last_block_looks_around_with() -> None:
    model = make()
    ids, mask = asked(model)
    with torch.no_grad():
        patches, words, keys = model.beit3.embedded(model.scaled(pixels()), ids, mask)
        shares = model.beit3.encoder.shares(patches, words, keys)
        maps = model.attention(pixels(), ids, mask)
        # of values that are each a place of their own, attention finds its shares
        last = model.blocks()[-1]
        states = last.self_attn_layer_norm(*model.beit3.encoder.before_last(patches, words, keys))
        value = last.self_attn.by_head(last.self_attn.v_proj(*states))
        query = last.self_attn.by_head(last.self_attn.q_proj(states[0][:, :1], states[1][:, :0]))
        key = last.self_attn.by_head(last.self_attn.k_proj(*states))
        eye = torch.eye(value.shape[2]).expand(*value.shape[:2], -1, -1)
        wanted = functional.scaled_dot_product_attention(query, key, eye, attn_mask=keys)[:, :, 0].mean(1)
    torch.testing.assert_close(shares, wanted, **CLOSE)
    torch.testing.assert_close(shares.sum(1), torch.ones(3), **CLOSE)
    assert not shares[:, 17:][~mask].any(), "padding is not looked at"
    assert (maps.shape, maps.dtype) == ((3, 4, 4), torch.float32)
    torch.testing.assert_close(maps.flatten(1), shares[:, 1:17])
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model.attention_maps(images(), QUESTIONS)
    assert rounded.dtype == torch.float32, "also of a run in half precision, whose report shows them"


def test_answers_are_named_with_their_probability() -> None:
    model = make().train()
    shown = images()
    found = model.answers(shown, QUESTIONS, top=3)
    with torch.no_grad():
        ids, mask = asked(model)
        probabilities = model(torch.stack([squashed(image, 32) for image in shown]), ids, mask).sigmoid()
    for row, answers in zip(probabilities, found, strict=True):
        assert [name for name, _ in answers] == [ANSWERS[number] for number in row.argsort(descending=True)[:3]]
        assert [share for _, share in answers] == pytest.approx(row.sort(descending=True).values[:3].tolist(), abs=1e-5)
    alone = [model.answers([image], [question], top=3)[0] for image, question in zip(shown, QUESTIONS, strict=True)]
    assert [[name for name, _ in answers] for answers in alone] == [[name for name, _ in answers] for answers in found]
    assert [len(answers) for answers in model.answers(shown, QUESTIONS, top=50, batch_size=2)] == [7, 7, 7]
    assert model.answers([], []) == []


def test_attention_maps_are_those_of_the_images_whatever_the_batch() -> None:
    model = make()
    maps = model.attention_maps(images(), QUESTIONS)
    torch.testing.assert_close(model.attention_maps(images(), QUESTIONS, batch_size=2), maps, **CLOSE)
    assert maps.shape == (3, 4, 4)
    assert model.attention_maps([], []).shape == (0, 4, 4)


def test_what_cannot_be_answered_is_said() -> None:
    model = make()
    with pytest.raises(UserError, match="There are 2 images for 3 questions"):
        model.answers(images(2), QUESTIONS)
    long = "is it red ? " * 5
    with pytest.raises(UserError, match="longer than the 16 tokens"):
        model.answers(images(1), [long])
    assert model.answers(images(1), [long], cut=True) == model.answers(images(1), ["is it red ? " * 3 + "is it"])
    with pytest.raises(UserError, match="has no names for its answers"):
        make(answer_list=None).answers(images(1), QUESTIONS[:1])


def test_images_are_squashed_as_published() -> None:
    image = images(1)[0]
    grey = image.convert("L")
    assert np.array_equal(squashed(image, 32).permute(1, 2, 0), np.asarray(image.resize((32, 32), 3)))
    assert squashed(grey, 32).shape == (3, 32, 32)


def test_a_digest_tells_models_apart() -> None:
    models = [make(), make(seed=1), make(answer_list=ANSWERS[::-1]), make(drop_path=0.1)]
    assert len({model.digest() for model in models}) == 4
    assert make().digest() == models[0].digest()


def test_a_small_model_learns_to_look_and_to_read() -> None:
    """Two questions about squares of one colour: neither image nor question alone tells the answer."""
    torch.manual_seed(0)
    model = make(num_answers=4, answer_list=("red", "blue", "yes", "no")).train()
    rng = np.random.default_rng(0)
    images = torch.zeros(64, 3, 32, 32)
    blue, asks_colour = torch.tensor(rng.integers(0, 2, 64)), torch.tensor(rng.integers(0, 2, 64))
    for number in range(64):
        down, across = rng.integers(0, 16, 2)
        images[number, 2 * int(blue[number]), down : down + 16, across : across + 16] = 1
    ids, mask = pad([model.tokenizer("what colour is it ?" if colour else "is it red ?").ids for colour in asks_colour])
    targets = functional.one_hot(torch.where(asks_colour == 1, blue, 2 + blue), 4).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(60):
        loss = functional.binary_cross_entropy_with_logits(model(images, ids, mask), targets, reduction="sum") / 64
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model.eval()(images, ids, mask).argmax(1) == targets.argmax(1)).float().mean() == 1
