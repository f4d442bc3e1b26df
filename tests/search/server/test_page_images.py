"""The web page over a hybrid index: images in a query's place, why a page was found, results to take along."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from collotype.search.hybrid.library import HybridLibrary
from tests.search.colour_encoder import COLOURS
from tests.search.hybrid.conftest import documents, opened

__all__ = ["documents", "opened"]
GIVE = """([kind, target, content]) => {
  const bytes = Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "picture.png", { type: "image/png" }));
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
    : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  document.querySelector(target).dispatchEvent(event);
}"""


@pytest.fixture
def library(opened: Callable[[], HybridLibrary]) -> HybridLibrary:
    return opened()


@pytest.fixture
def folder(library: HybridLibrary) -> Path:
    return library.index.folder


def picture(colour: str) -> str:
    content = io.BytesIO()
    Image.new("RGB", (40, 40), COLOURS[colour]).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def test_an_image_is_pasted_or_dropped_and_pages_like_it_found(visit: Callable[..., Page]) -> None:
    page = visit()
    expect(page.locator("#encoder")).to_contain_text("colours")
    page.evaluate(GIVE, ["paste", "#query", picture("green")])
    expect(page.locator(".card").first).to_contain_text("green.png")
    expect(page.get_by_role("status")).to_contain_text("like an image")
    page.evaluate(GIVE, ["drop", "#ask", picture("red")])
    expect(page.locator(".card").first).to_contain_text("red.png")
    page.get_by_role("button", name="Search in words again").click()
    expect(page.get_by_role("heading", name="Say what is on the page")).to_be_visible()
    page.get_by_role("searchbox", name="Search the pages").fill("sloop white")
    best = page.locator(".card").first
    expect(best).to_contain_text("the same words at 1")
    best.click()
    view = page.get_by_role("dialog")
    view.get_by_text("Why this page").click()
    expect(view.locator("#view-found li").first).to_contain_text("place 1, score")
    expect(view.locator("#view-words .by").first).to_be_visible()


def test_more_like_a_part_and_two_pages_side_by_side(visit: Callable[..., Page]) -> None:
    page = visit("?q=blue+sloop")
    page.locator(".card", has_text="blue.png").click()
    view = page.get_by_role("dialog")
    view.get_by_label("Keep this page beside the next").check()
    view.get_by_label("Choose a part with the pointer").check()
    sheet = view.locator("#view-sheet").bounding_box()
    page.mouse.move(sheet["x"] + sheet["width"] * 0.2, sheet["y"] + sheet["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(sheet["x"] + sheet["width"] * 0.7, sheet["y"] + sheet["height"] * 0.7, steps=3)
    page.mouse.up()
    view.get_by_role("button", name="More like this part").click()
    expect(page.get_by_role("status")).to_contain_text("like part of blue.png, page 1")
    expect(page.locator(".card").first).to_contain_text("blue.png")
    assert "crop=0.2" in page.url
    page.locator(".card").nth(1).click()
    expect(page.locator("#beside-name")).to_have_text("blue.png, page 1")
    for whole in ("#view-sheet", "#beside-sheet"):
        sheet, image = page.locator(whole).bounding_box(), page.locator(f"{whole} img").bounding_box()
        assert sheet["height"] == pytest.approx(image["height"], abs=1), "places are parts of the image"
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("like part of blue.png")


def test_two_pages_stand_below_each_other_on_a_phone(visit: Callable[..., Page]) -> None:
    page = visit("?q=blue+sloop", width=390, has_touch=True, is_mobile=True)
    page.locator(".card").first.click()
    page.get_by_label("Keep this page beside the next").check()
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#beside-sheet img")).to_have_js_property("complete", True)
    first, other = (page.locator(whole).bounding_box() for whole in ("#view-sheet", "#beside-sheet"))
    assert first["width"] == other["width"] > 360 and other["y"] >= first["y"] + first["height"]


def test_results_are_taken_along(visit: Callable[..., Page]) -> None:
    page = visit("?q=sloop+white")
    expect(page.locator(".card").first).to_be_visible()
    with page.expect_download() as taken:
        page.get_by_role("button", name="CSV").click()
    lines = Path(taken.value.path()).read_text(encoding="utf-8-sig").split("\n")
    assert taken.value.suggested_filename == "sloop-white.csv"
    assert lines[0].startswith("rank,document,page") and lines[1].startswith("1,boats.pdf,2,,")
    with page.expect_download() as taken:
        page.get_by_role("button", name="JSON").click()
    found = json.loads(Path(taken.value.path()).read_text())
    assert found["query"] == "sloop white" and found["hits"][0]["found_by"][0]["rank"] == 1
    assert found["hits"][0]["link"].endswith("/api/documents/boats.pdf/file#page=2")
    expect(page.get_by_text("sloop white", exact=True)).to_be_hidden()
    page.emulate_media(media="print")
    expect(page.locator("header")).to_be_hidden()
    expect(page.get_by_text("sloop white", exact=True)).to_be_visible()
    expect(page.locator(".card").first).to_be_visible()
