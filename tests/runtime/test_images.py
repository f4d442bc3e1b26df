"""Images from cells: upright, in RGB, and refused with their place where they are none."""

import io
from pathlib import Path

import pytest
from PIL import Image

from collotype.runtime import images
from collotype.runtime.errors import UserError
from collotype.runtime.images import content_of, decode, digest, encoded, opaque, opened


def picture(kind: str, turned: int | None = None, size: tuple[int, int] = (40, 20)) -> bytes:
    """An image whose left half is red; `turned` is its EXIF orientation."""
    image, content, exif = Image.new("RGB", size, "blue"), io.BytesIO(), Image.Exif()
    image.paste("red", (0, 0, size[0] // 2, size[1]))
    if turned:
        exif[0x0112] = turned
    image.save(content, kind, exif=exif)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_a_decoded_image_stands_upright(kind: str) -> None:
    image = decode(picture(kind, turned=6), "x")
    assert image.size == (20, 40)
    top, bottom = image.convert("RGB").getpixel((10, 3)), image.convert("RGB").getpixel((10, 36))
    assert top[0] > 200 > 50 > top[2] and bottom[2] > 200 > 50 > bottom[0]
    assert decode(picture(kind), "x").size == (40, 20)


def test_an_opened_image_is_decoded_only_where_a_camera_lay_on_its_side(monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened(picture("jpeg", turned=6), "x").size == (20, 40)
    for kind in ("jpeg", "png"):
        image = opened(picture(kind), "row 3")
        monkeypatch.setattr(image, "load", lambda: pytest.fail("decoded"))
        assert image.size == (40, 20) and image.filename == "row 3"


def test_a_cell_is_bytes_or_names_a_file(tmp_path: Path) -> None:
    content = picture("png")
    (tmp_path / "p.png").write_bytes(content)
    for cell in (content, {"bytes": content, "path": "else.png"}, {"bytes": None, "path": "p.png"}, "p.png"):
        assert encoded(cell, tmp_path, "x") == content
    assert content_of("p.png", tmp_path, "x") == tmp_path / "p.png"
    for cell in (None, b"", "", 7, {"bytes": None, "path": None}, {}):
        with pytest.raises(UserError, match="row 7 contains no image"):
            content_of(cell, tmp_path, "row 7")
    with pytest.raises(UserError, match=r"row 7 names the image .*gone.png, which cannot be read \(No such file"):
        encoded("gone.png", tmp_path, "row 7")


def test_what_is_no_image_or_half_of_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="row 7 is not an image"):
        opened(b"no image", "row 7")
    half = picture("png", size=(400, 300))[:90]
    with pytest.raises(UserError, match="row 7: the image cannot be read"):
        decode(half, "row 7")
    with pytest.raises(UserError, match="row 7 cannot be read as an image"):
        opaque(opened(half, "row 7"))
    with pytest.raises(UserError, match=r"row 7: the image cannot be read .*No such file"):
        decode(tmp_path / "gone.png", "row 7")


def test_an_image_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    Image.new("1", (5000, 5000)).save(content, "png")
    image = opened(content.getvalue(), "row 7")
    monkeypatch.setattr(images, "MAX_PIXELS", 10**6)
    monkeypatch.setattr(image, "load", lambda: pytest.fail("decoded"))
    words = "row 7 has 5000 x 5000 pixels, more than the limit of 1,000,000"
    with pytest.raises(UserError, match=words):
        opaque(image)
    with pytest.raises(UserError, match=words):
        opened(content.getvalue(), "row 7")


def test_what_is_transparent_lies_on_white_paper() -> None:
    glass = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    glass.putpixel((1, 0), (255, 0, 0, 255))
    assert [opaque(glass).getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (255, 0, 0)]
    assert opaque(glass.convert("P")).mode == "RGB"


def test_copies_in_other_formats_have_one_digest() -> None:
    assert digest(decode(picture("png"), "x")) == digest(decode(picture("bmp"), "x"))
    assert digest(decode(picture("png", size=(20, 40)), "x")) != digest(decode(picture("png"), "x"))
