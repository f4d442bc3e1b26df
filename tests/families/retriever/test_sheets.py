"""The desk data: what training may show, what is held out, and what counts as right."""

import io
import tarfile
from itertools import combinations
from pathlib import Path

import pytest

from collotype.families.retriever.benchmarks.sheets import sheet_benchmarks
from collotype.families.retriever.data.sheets import (
    ASSETS,
    CELL_PX,
    SheetImages,
    SheetPairs,
    held_out_sheets,
    is_held_out,
    near_misses,
    second_hand_sheets,
    training_sheet,
)
from collotype.runtime.errors import UserError


@pytest.fixture(scope="module")
def images() -> SheetImages:
    return SheetImages()


def test_every_concept_has_a_image_by_both_artists(images: SheetImages) -> None:
    assert len(images.both_hands) == 80 and len(images.first_hand_only) == 20
    for key in images.keys.values():
        assert all(key in shard for shard in images.shards)
    first, second = (images.tile("bicycle", hand, "a test") for hand in (0, 1))
    assert first.size == second.size == (CELL_PX, CELL_PX)
    assert first.tobytes() != second.tobytes()


def test_training_never_names_a_held_out_pair_nor_shows_a_held_back_hand(images: SheetImages) -> None:
    for row in range(2000):
        sheet = training_sheet(images, row, seed=0)
        assert not is_held_out(*sheet.named)
        assert len({concept for concept, _ in sheet.cells}) == 9
        assert all(sheet.shows(concept) for concept in sheet.named)
        assert all(hand == 0 for concept, hand in sheet.cells if concept in images.first_hand_only)


def test_held_out_sheets_are_new_combinations_of_images_training_shows(images: SheetImages) -> None:
    for sheet in held_out_sheets(images):
        assert is_held_out(*sheet.named) and all(map(sheet.shows, sheet.named))
        assert all(hand == 0 for concept, hand in sheet.cells if concept in images.first_hand_only)


def test_the_harder_part_is_in_the_second_hand(images: SheetImages) -> None:
    for sheet in second_hand_sheets(images):
        assert all(hand == 1 for _, hand in sheet.cells)
        assert set(sheet.named) <= set(images.first_hand_only)


def test_every_page_that_shows_both_images_is_right(images: SheetImages) -> None:
    for benchmark, sheets in zip(
        sheet_benchmarks(), (held_out_sheets(images), second_hand_sheets(images)), strict=True
    ):
        assert benchmark.num_pages == len(benchmark.queries) == 256
        for number, query in enumerate(benchmark.queries):
            right = set(benchmark.qrels[query])
            assert f"p{number:03d}" in right
            named = benchmark.queries[query].split(" and ")
            assert right == {f"p{page:03d}" for page, sheet in enumerate(sheets) if all(map(sheet.shows, named))}


def test_examples_are_a_function_of_seed_and_row(images: SheetImages) -> None:
    one, other = SheetPairs(images, 100, seed=0), SheetPairs(images, 100, seed=1)
    assert one.example(7, 0).page.tobytes() == SheetPairs(SheetImages(), 100, seed=0).example(7, 3).page.tobytes()
    assert one.example(7, 0).query != other.example(7, 0).query
    assert one.fingerprint() != other.fingerprint()


def spoil(folder: Path, spoiled: bytes | None) -> None:
    """A copy of the images in which the first artist's bicycle is `spoiled` (the tar is cut short, if none)."""
    for name in ("twitter.tar", "google.tar"):
        (folder / name).write_bytes((ASSETS / "pictures" / name).read_bytes())
    if spoiled is None:
        (folder / "twitter.tar").write_bytes((folder / "twitter.tar").read_bytes()[:3_000_000])
        return
    key = SheetImages().keys["bicycle"]
    with (
        tarfile.open(ASSETS / "pictures" / "twitter.tar") as before,
        tarfile.open(folder / "twitter.tar", "w") as after,
    ):
        for member in before:
            content = before.extractfile(member).read()
            if member.name.endswith(f"{key}.png"):
                content, member.size = spoiled, len(spoiled)
            after.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("kind", ["no image", "half an image"])
def test_a_image_that_cannot_be_read_is_named_with_its_row(kind: str, tmp_path: Path) -> None:
    whole = SheetImages().shards[0].read(SheetImages().keys["bicycle"], "png")
    spoil(tmp_path, b"not an image" if kind == "no image" else whole[: len(whole) // 2])
    spoiled = SheetImages(str(tmp_path))
    row = next(r for r in range(500) if ("bicycle", 0) in training_sheet(spoiled, r, 0).cells)
    with pytest.raises(UserError) as error:
        SheetPairs(spoiled, 500, 0).example(row, 0)
    assert str(error.value).startswith(f"training row {row}: the image 1f6b2.png (bicycle) in {tmp_path}/twitter.tar")


def test_a_shard_that_ends_too_early_is_named(tmp_path: Path) -> None:
    spoil(tmp_path, None)
    with pytest.raises(UserError, match=r"twitter\.tar"):
        SheetPairs(SheetImages(str(tmp_path)), 10, 0).fingerprint()
        [SheetPairs(SheetImages(str(tmp_path)), 10, 0).example(row, 0) for row in range(100)]


def test_explicit_negatives_show_one_of_the_two_named_images(images: SheetImages) -> None:
    pairs = SheetPairs(images, num_queries=20, seed=3, num_negatives=4)
    for row in range(20):
        sheet = training_sheet(images, row, 3)
        misses = near_misses(images, sheet, row, 3, 4)
        shown = [tuple(miss.shows(name) for name in sheet.named) for miss in misses]
        assert shown == [(True, False), (False, True)] * 2
        assert len({miss.cells for miss in misses}) == 4
    assert len(pairs.example(0, 0).negatives) == 4
    assert pairs.identities(0) == pairs.identities(0) != pairs.identities(1)


def test_held_out_pairs_stay_the_same(images: SheetImages) -> None:
    """Published figures (docs/benchmarks.md) are of these queries: another tenth of the pairs would be another task."""
    queries = [sheet.query for sheet in held_out_sheets(images)[:3]]
    assert queries == ["curling stone and red apple", "japanese dolls and diving mask", "pineapple and chopsticks"]
    assert training_sheet(images, 0, seed=0).query == "rugby football and stethoscope"
    pairs = list(combinations(images.keys, 2))
    assert sum(is_held_out(*pair) for pair in pairs) == 477 and len(pairs) == 4950
