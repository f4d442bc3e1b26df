"""The web page as a person uses it."""

import base64
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.small_pdf import small_pdf

expect.set_options(timeout=20_000)
BOATS = "sub/boats & more#1.pdf"
DROP = """async ([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type: "application/pdf" }));
  for (const kind of ["dragenter", "dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


def test_typing_finds_pages_with_the_words_lit(visit: Callable[..., Page]) -> None:
    page = visit()
    expect(page.get_by_role("heading", name="Say what is on the page")).to_be_visible()
    expect(page.locator("#encoder")).to_have_text("the same words")
    page.get_by_role("searchbox", name="Search the pages").press_sequentially("sloop mast", delay=20)
    best = page.locator(".card").first
    expect(best).to_contain_text(BOATS)
    expect(best).to_contain_text("page 2")
    expect(page.get_by_role("status")).to_contain_text("pages ·")
    image = best.locator("img")
    expect(image).to_have_js_property("complete", True)
    sheet, place = image.bounding_box(), best.locator('.place[data-word="mast"]').bounding_box()
    # "A sloop has one mast" begins at a fifteenth of the page's width, its baseline 30 of 200 points from the top
    assert sheet["width"] * 0.3 < place["x"] - sheet["x"] < sheet["width"] * 0.5
    assert sheet["height"] * 0.05 < place["y"] - sheet["y"] < sheet["height"] * 0.16
    # also where the card cuts a high page off
    best.locator(".clip").evaluate("clip => { clip.style.maxHeight = '3rem'; }")
    assert best.locator('.place[data-word="mast"]').bounding_box() == place
    page.locator("#words").get_by_role("button", name="mast").hover()
    expect(best.locator('.place[data-word="mast"]')).to_have_class("place on")
    expect(best.locator('.place[data-word="sloop"]')).to_have_css("opacity", "0.16")
    expect(best.locator("mark").first).to_have_text("sloop")
    assert "q=sloop+mast" in page.url
    page.reload()
    expect(page.locator(".card").first).to_contain_text("page 2")


def test_whole_words_are_marked(visit: Callable[..., Page]) -> None:
    best = visit("?q=a+mast+as").locator(".card").filter(has_text="A sloop has one mast").first
    expect(best.locator("mark").first).to_be_visible()
    # neither the middle of "has" and "mast", nor single letters
    assert best.locator("mark").all_inner_texts() == ["mast"]


def test_the_filter_and_the_large_view(visit: Callable[..., Page]) -> None:
    page = visit("?q=spring")
    expect(page.locator(".card").first).to_be_visible()
    page.get_by_role("checkbox", name="fruit.pdf").check()
    expect(page.get_by_role("status")).to_contain_text("in 1 document")
    expect(page.locator(".card .name", has_text=BOATS)).to_have_count(0)
    page.locator(".card").first.click()
    view = page.get_by_role("dialog")
    expect(view).to_contain_text("Found by the same words")
    expect(view.locator(".number")).to_have_text("1.00")
    link = view.get_by_role("link", name="Open the PDF at page 2")
    assert link.get_attribute("href") == "api/documents/fruit.pdf/file#page=2"
    view.get_by_role("checkbox", name="Heatmap").check()
    expect(view.locator("img")).to_have_js_property("naturalWidth", 1600)
    view.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".card .name", has_text=BOATS).first).to_be_visible()


def test_by_keyboard_alone(visit: Callable[..., Page]) -> None:
    page = visit("?q=mast")
    expect(page.locator(".card").first).to_be_visible()
    page.locator("body").click(position={"x": 5, "y": 700})
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".card").nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#view-page")).to_contain_text("hit 2 of")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#view-page")).to_contain_text("hit 3 of")
    page.keyboard.press("Escape")
    expect(page.locator("#view")).not_to_be_visible()
    expect(page.locator(".card").nth(2)).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("#query")).to_have_value("")
    expect(page.locator(".card")).to_have_count(0)


def test_a_pdf_dragged_in_is_indexed_and_found_then_deleted(visit: Callable[..., Page]) -> None:
    page = visit()
    expect(page.get_by_role("checkbox", name="fruit.pdf")).to_be_visible()
    name = "<img src=x onerror=alert(1)>.pdf"
    content = base64.b64encode(small_pdf([["Lighthouses <b>blink</b> at night"]])).decode()
    page.evaluate(DROP, [name, content])
    row = page.locator("#documents li", has_text=name)
    expect(row).to_have_attribute("data-state", "indexed")
    page.locator("#query").fill("Lighthouses")
    expect(page.locator(".card").first).to_contain_text(name)
    expect(page.locator(".card .text").first).to_contain_text("<b>blink</b>")
    row.hover()
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    expect(row).to_be_visible()
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    expect(page.locator(".card", has_text=name)).to_have_count(0)


def test_a_broken_pdf_says_so(visit: Callable[..., Page]) -> None:
    page = visit()
    expect(page.get_by_role("checkbox", name="fruit.pdf")).to_be_visible()
    page.evaluate(DROP, ["broken.pdf", base64.b64encode(b"%PDF-1.4 nothing").decode()])
    expect(page.locator("#documents li", has_text="broken.pdf").locator(".bad")).to_contain_text("was not indexed")
    page.evaluate(DROP, ["letter.txt", ""])
    expect(page.get_by_role("alert").first).to_contain_text("not a PDF or image")


@pytest.mark.parametrize("path", ["", "?q=spring+mast"])
def test_a_phone_shows_everything_without_scrolling_sideways(visit: Callable[..., Page], path: str) -> None:
    page = visit(path, width=360, has_touch=True, is_mobile=True)
    expect(page.locator(".card" if path else "#empty-title").first).to_be_visible()
    page.get_by_role("button", name="Documents").click()
    expect(page.get_by_role("checkbox", name="fruit.pdf")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    if path:
        page.locator(".card").first.click()
        expect(page.get_by_role("link", name="Open the PDF")).to_be_visible()
        assert page.evaluate("document.querySelector('#view').scrollWidth") == 360


def test_dark_where_the_system_is(visit: Callable[..., Page]) -> None:
    light, dark = (
        visit(color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    )
    assert light == "rgb(246, 244, 239)" and dark == "rgb(22, 24, 28)"


def test_the_key_is_asked_for_once(visit: Callable[..., Page]) -> None:
    page = visit("?q=mast", settings={"api_key": "a long enough key"})
    page.get_by_role("textbox", name="Key").fill("wrong")
    page.get_by_role("button", name="Enter").click()
    expect(page.locator("#door-problem")).to_contain_text("not the server's key")
    page.get_by_role("textbox", name="Key").fill("a long enough key")
    page.get_by_role("button", name="Enter").click()
    expect(page.locator(".card").first).to_be_visible()
    expect(page.locator(".card img").first).to_have_js_property("naturalWidth", 640)
    page.reload()
    expect(page.locator(".card").first).to_be_visible()


def test_a_read_only_server_offers_no_changes(visit: Callable[..., Page]) -> None:
    page = visit(settings={"read_only": True})
    expect(page.get_by_role("checkbox", name="fruit.pdf")).to_be_visible()
    expect(page.get_by_role("button", name="Add documents")).to_have_count(0)
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)


def test_only_the_pages_of_a_language(visit: Callable[..., Page]) -> None:
    page = visit("?q=mast")
    choice = page.get_by_label("Only pages in a language")
    expect(page.locator(".card").first).to_be_visible()
    expect(choice).to_be_hidden()
    german = base64.b64encode(small_pdf([["Eine Jolle hat nur einen Mast", "und kein Deck"]])).decode()
    page.evaluate(DROP, ["boot.pdf", german])
    choice.select_option(label="German (1 page)")
    expect(page.get_by_role("status")).to_contain_text("1 page in German")
    expect(page.locator(".card .name")).to_have_text(["boot.pdf"])
    assert page.url.endswith("language=de")
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("1 page in German")
    expect(choice).to_have_value("de")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".card .name", has_text=BOATS).first).to_be_visible()
    expect(choice).to_have_value("")


def test_only_the_documents_of_a_folder(visit: Callable[..., Page]) -> None:
    page = visit("?q=spring")
    page.get_by_label("Only documents of a folder").select_option("sub")
    expect(page.get_by_role("status")).to_contain_text("in sub")
    expect(page.locator(".card .name", has_text="fruit.pdf")).to_have_count(0)
    expect(page.get_by_role("checkbox")).to_have_count(1)
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("in sub")
    page.get_by_label("Only documents of a folder").select_option("")
    expect(page.locator(".card .name", has_text="fruit.pdf").first).to_be_visible()
    assert not page.get_by_role("button", name="More like").is_visible(), "its model looks at words"
