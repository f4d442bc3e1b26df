"""Pages to pixels as the published processors do it, and where each visual token looks."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from collotype.families.retriever import pixels
from collotype.families.retriever.pixels import Dynamic, Square, resized
from collotype.runtime.errors import UserError

QWEN2 = Dynamic(patch_px=14, merge=2, temporal=2, max_tokens=24)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_a_square_page_is_what_transformers_makes_of_it() -> None:
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    theirs = SiglipImageProcessorPil(size={"height": 96, "width": 96})
    layout, image = Square(96, 16), noise(130, 70)
    expected = torch.as_tensor(np.array(theirs(images=[image], return_tensors="np")["pixel_values"]))
    torch.testing.assert_close(layout.scaled(layout.batch([image])["pixel_values"]), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(130, 70), (28, 28), (20, 300), (1000, 700), (56, 56)])
def test_a_page_in_its_own_proportions_is_what_transformers_makes_of_it(size: tuple[int, int]) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    theirs = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 24 * 28 * 28})
    images = [noise(*size), noise(90, 90)]
    expected = theirs(images=images, return_tensors="np")
    ours = QWEN2.batch(images)
    assert ours["image_grid_thw"].tolist() == np.asarray(expected["image_grid_thw"]).tolist()
    scaled = QWEN2.scaled(ours["pixel_values"])
    torch.testing.assert_close(scaled, torch.as_tensor(np.array(expected["pixel_values"])), atol=1e-5, rtol=0)


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(4, 1280))
def test_the_visual_budget_is_kept_and_the_size_is_transformers(width: int, height: int, budget: int) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    layout = Dynamic(14, 2, 2, budget)
    if max(width, height) > 200 * min(width, height):
        with pytest.raises(UserError, match="too long for its width"):
            layout.grid((width, height))
        return
    expected = smart_resize(height, width, 28, 4 * 28 * 28, budget * 28 * 28)
    assert layout.size((width, height)) == expected[::-1]
    rows, columns = layout.grid((width, height))
    assert (rows * 28, columns * 28) == expected
    # a page much longer than wide keeps one token across and may pass the budget, as it does there
    assert rows * columns <= budget or min(rows, columns) == 1


def test_a_visual_token_looks_where_its_place_says() -> None:
    page = Image.new("RGB", (112, 84), "white")
    page.paste((0, 0, 0), (56, 28, 84, 56))
    rows, columns = QWEN2.grid(page.size)
    dark = QWEN2.batch([page])["pixel_values"].float().view(rows, columns, 4, -1).mean(dim=(2, 3)) < 128
    assert dark.nonzero().tolist() == [[1, 2]]


def test_an_image_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    Image.new("1", (5000, 5000)).save(content, "png")
    image = Image.open(content)
    monkeypatch.setattr(pixels, "MAX_PIXELS", 10**6)
    monkeypatch.setattr(image, "load", lambda: pytest.fail("decoded"))
    with pytest.raises(UserError, match="5000 x 5000 pixels, more than the 1,000,000 a page may have"):
        resized(image, (96, 96))
