"""What a page shows is what is read: fields, comments, stamps; and not what is hidden, by a flag or by a layer."""

from pathlib import Path

import numpy as np
import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name

from collotype.runtime import pdf
from tests.small_pdf import small_pdf

FILES = Path(__file__).parent / "pdfs"
FONT = Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica)


class Drawing:
    """A page of 300 x 200 points with the line "Plain", and what is put over it."""

    def __init__(self, file: Path):
        file.write_bytes(small_pdf([["Plain"]]))
        self.file, self.document = file, pikepdf.open(file, allow_overwriting_input=True)
        self.page = self.document.pages[0]
        self.page.Annots = Array([])

    def form(self, text: str) -> pikepdf.Stream:
        made = self.document.make_stream(f"BT /F1 12 Tf 2 4 Td ({text}) Tj ET".encode())
        for key, value in {
            "/Type": Name.XObject,
            "/Subtype": Name.Form,
            "/BBox": Array([0, 0, 100, 20]),
            "/Resources": Dictionary(Font=Dictionary(F1=FONT)),
        }.items():
            made[key] = value
        return made

    def annotate(self, kind: str, text: str, flags: int = 4, **keys: object) -> None:
        looks = Dictionary(N=self.form(text))
        box, name = Array([20, 20, 120, 40]), Name("/" + kind)
        self.page.Annots.append(
            self.document.make_indirect(Dictionary(Subtype=name, Rect=box, F=flags, AP=looks, Contents=text, **keys))
        )

    def layers(self, **states: bool) -> dict[str, pikepdf.Object]:
        made = {
            name: self.document.make_indirect(Dictionary(Type=Name.OCG, Name=name)) for name, is_on in states.items()
        }
        off = Array([made[name] for name, is_on in states.items() if not is_on])
        self.document.Root.OCProperties = Dictionary(OCGs=Array([*made.values()]), D=Dictionary(OFF=off))
        return made

    def words(self, packed: bool = False) -> list[str]:
        mode = pikepdf.ObjectStreamMode.generate if packed else pikepdf.ObjectStreamMode.disable
        self.document.save(self.file, object_stream_mode=mode)
        return [word for word, *_ in pdf.words(self.file, 1)]


@pytest.fixture
def drawing(tmp_path: Path) -> Drawing:
    return Drawing(tmp_path / "a.pdf")


def ink(file: Path, box: pdf.Box) -> int:
    image = pdf.render(file, 1, 800).convert("L")
    left, top, right, bottom = (round(part * side) for part, side in zip(box, image.size * 2, strict=True))
    return int((np.asarray(image)[top:bottom, left:right] < 128).sum())


def test_what_was_filled_in_is_read_where_it_is_drawn() -> None:
    file = FILES / "form-filled.pdf"
    boxes = {word: box for word, box, *_ in pdf.words(file, 1)}
    assert {"Wilhelmina", "Sturgeonfisher", "Guadalquivir", "River:"} <= set(boxes)
    assert all(ink(file, box) > 20 for box in boxes.values())
    # again, of the document that is open by now
    assert len(pdf.words(file, 1)) == len(boxes)


def test_a_comment_without_looks_is_drawn_and_read() -> None:
    """pypdf leaves a comment's looks to the viewer; beside it a list, a ticked box and a field of two lines."""
    file = FILES / "form-and-comment.pdf"
    boxes = {word: box for word, box, *_ in pdf.words(file, 1)}
    assert {"Wilhelmina", "Zebra", "Commented", "thought", "two"} <= set(boxes)
    assert ink(file, boxes["Commented"]) > 20


@pytest.mark.parametrize("kind", ["FreeText", "Stamp"])
@pytest.mark.parametrize(("flags", "is_shown"), [(4, True), (0, True), (2, False), (32, False)])
def test_comments_and_stamps_are_read_unless_they_are_hidden(
    kind: str, flags: int, is_shown: bool, drawing: Drawing
) -> None:
    drawing.annotate(kind, "Typed", flags)
    assert drawing.words() == ["Plain", "Typed"][: 1 + is_shown]
    assert (ink(drawing.file, (0.05, 0.8, 0.4, 0.9)) > 0) is is_shown


@pytest.mark.parametrize("packed", [False, True])
def test_layers_that_are_switched_off_are_not_read(packed: bool, drawing: Drawing) -> None:
    layers = drawing.layers(draft=False, final=True)
    both = Dictionary(Type=Name.OCMD, OCGs=Array([*layers.values()]), P=Name.AllOn)
    drawing.page.Resources.Properties = Dictionary(D=layers["draft"], F=layers["final"], B=both)
    hidden, shown = drawing.form("formoff"), drawing.form("formon")
    hidden.OC, shown.OC = layers["draft"], layers["final"]
    drawing.page.Resources.XObject = Dictionary(H=hidden, S=shown)
    text = "/OC /{0} BDC BT /F1 12 Tf 20 {1} Td ({2}) Tj 0 -14 Td ({2}2) ' ET EMC\n"
    content = "".join(text.format(*one) for one in [("D", 120, "off"), ("F", 90, "on"), ("B", 60, "both")])
    drawing.page.contents_add((content + "/H Do q 1 0 0 1 150 0 cm /S Do Q").encode())
    drawing.annotate("Stamp", "stampoff", OC=layers["draft"])
    assert drawing.words(packed) == ["Plain", "on", "on2", "formon"]


def test_a_layer_is_on_or_off_as_the_file_says_in_several_ways(drawing: Drawing) -> None:
    layers = drawing.layers(one=True, two=True)
    drawing.document.Root.OCProperties.D = Dictionary(BaseState=Name.OFF, ON=Array([layers["two"]]))
    drawing.page.Resources.Properties = Dictionary(A=layers["one"], B=layers["two"])
    drawing.page.contents_add(b"/OC /A BDC BT /F1 9 Tf (one) Tj ET EMC /OC /B BDC BT /F1 9 Tf 9 50 Td (two) Tj ET EMC")
    assert drawing.words() == ["Plain", "two"]


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        (["/And", "on", "off"], False),
        (["/Or", "on", "off"], True),
        (["/Not", "off"], True),
        (["/Not", ["/Or", "on", "off"]], False),
        (["/And", ["/Not", "off"], "on"], True),
    ],
)
def test_a_rule_about_layers_is_kept(rule: list, shown: bool, drawing: Drawing) -> None:
    layers = drawing.layers(on=True, off=False)

    def built(part: list | str) -> pikepdf.Object:
        if isinstance(part, str):
            return Name(part) if part.startswith("/") else layers[part]
        return Array([built(one) for one in part])

    drawing.page.Resources.Properties = Dictionary(R=Dictionary(Type=Name.OCMD, VE=built(rule)))
    drawing.page.contents_add(b"/OC /R BDC BT /F1 9 Tf 20 100 Td (ruled) Tj ET EMC")
    assert drawing.words() == ["Plain", "ruled"][: 1 + shown]


@pytest.mark.parametrize(("event", "shown"), [("View", False), ("Print", True)])
def test_a_layer_that_is_switched_by_its_use_on_screen(event: str, shown: bool, drawing: Drawing) -> None:
    layer = drawing.layers(only_printed=True)["only_printed"]
    layer.Usage = Dictionary(View=Dictionary(ViewState=Name.OFF))
    use = Dictionary(Event=Name("/" + event), OCGs=Array([layer]), Category=Array([Name.View]))
    drawing.document.Root.OCProperties.D.AS = Array([use])
    drawing.page.Resources.Properties = Dictionary(L=layer)
    drawing.page.contents_add(b"/OC /L BDC BT /F1 9 Tf 20 100 Td (printed) Tj ET EMC")
    assert drawing.words() == ["Plain", "printed"][: 1 + shown]


def test_only_bookmarks_into_the_document_itself_are_labels() -> None:
    assert [title for _, title, _ in pdf.outline(FILES / "volume1.pdf")] == ["Own chapter", "Own by action"]
