"""Pages to pixels as the published processors do it, and where each visual token looks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from collotype.families.retriever.backbones import BACKBONES
from collotype.families.retriever.transforms import Dynamic, Split, Square
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


# from 8 tokens on: the smallest page is enlarged to 4 tokens and more, rounded up on both sides
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(8, 1280))
def test_the_visual_budget_is_kept_and_the_size_is_transformers(width: int, height: int, budget: int) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    layout = Dynamic(14, 2, 2, budget)
    if max(width, height) > 200 * min(width, height):
        with pytest.raises(UserError, match="more than 200 times as long as wide"):
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


def tiles_of_transformers(image: Image.Image, tile_px: int, tiles: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Idefics3's pixels [tiles, 3, tile, tile] of a page, and its (rows, columns), none for a page left whole."""
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    sizes = {"size": {"longest_edge": tiles * tile_px}, "max_image_size": {"longest_edge": tile_px}}
    found = Idefics3ImageProcessorPil(**sizes)(images=[[image]], return_row_col_info=True, return_tensors="np")
    return found["pixel_values"][0], (found["rows"][0][0], found["cols"][0][0])


@settings(max_examples=60)
@given(st.integers(1, 250), st.integers(1, 250), st.integers(1, 5))
def test_a_page_is_cut_into_the_tiles_that_transformers_cuts(width: int, height: int, tiles: int) -> None:
    image, layout = noise(width, height), Split(tile_px=16, tile_tokens=2, tiles=tiles)
    expected, (rows, columns) = tiles_of_transformers(image, 16, tiles)
    assert layout.cut(image.size) == (rows or 1, columns or 1)
    scaled = layout.scaled(layout.batch([image])["pixel_values"])
    torch.testing.assert_close(scaled, torch.as_tensor(expected), atol=1e-6, rtol=0)
    assert layout.text(image.size, "@").count("@") == 4 * len(expected)


def test_tiles_are_named_line_by_line_and_the_whole_page_comes_last() -> None:
    layout = Split(tile_px=16, tile_tokens=1, tiles=2)
    edge, tile = "<fake_token_around_image>", "<fake_token_around_image><row_{}_col_{}>@"
    lines = [tile.format(row, 1) + tile.format(row, 2) + "\n" for row in (1, 2)]
    assert layout.text((32, 32), "@") == "".join(lines) + f"\n{edge}<global-img>@{edge}"
    assert Split(16, 1, 1).text((32, 32), "@") == f"{edge}<global-img>@{edge}"


def test_visual_tokens_of_tiles_are_put_in_their_places() -> None:
    order = Split(tile_px=16, tile_tokens=2, tiles=2).order((32, 32))
    assert order.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


@pytest.mark.parametrize(("budget", "tiles"), [(None, 4), (1088, 4), (1087, 3), (320, 2), (319, 1), (64, 1), (9999, 6)])
def test_a_budget_decides_the_number_of_tiles(budget: int | None, tiles: int) -> None:
    config = {"vision_config": {"image_size": 512, "patch_size": 16}, "scale_factor": 4}
    layout = BACKBONES["idefics3"].layout(config, budget)
    assert layout == Split(tile_px=512, tile_tokens=8, tiles=tiles)
    assert not budget or layout.text((900, 900), "@").count("@") <= budget
