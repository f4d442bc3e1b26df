"""Layers of a PDF (optional content) that are switched off: PDFium does not draw their text, but reads it."""

import io
import mmap
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pikepdf

SHOWS_TEXT = {"Tj", "TJ", "Do"}
NEXT_LINE = {"'": "T*", '"': "T*"}
"""What of an operator stays that shows text on the next line."""
HIDDEN = 2
"""The flag of an annotation."""


def without_hidden_layers(path: Path, password: str = "") -> bytes | None:
    """The file without the text of layers that are switched off; None where nothing is, or nothing can be done."""
    if not _may_have_layers(path):
        return None
    import pikepdf

    try:
        with pikepdf.open(path, password=password) as document:
            layers = Layers(document)
            if not layers.off:
                return None
            for page in document.pages:
                layers.clear_page(page)
            buffer = io.BytesIO()
            document.save(buffer, encryption=False)
            return buffer.getvalue()
    except (pikepdf.PdfError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None


def _may_have_layers(path: Path) -> bool:
    """They are named in the file's own words, or in a stream of objects that is packed."""
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"/OCProperties") >= 0 or data.find(b"/ObjStm") >= 0


class Layers:
    def __init__(self, document: "pikepdf.Pdf"):
        self.document, self.cleared = document, set[tuple[int, int]]()

    @cached_property
    def off(self) -> set[tuple[int, int]]:
        """The layers that are switched off when the document is opened (ISO 32000, 8.11.4)."""
        about: Any = self.document.Root.get("/OCProperties", {})
        chosen: Any = about.get("/D", {})
        layers = {layer.objgen: layer for layer in about.get("/OCGs", [])}
        of = {name: {layer.objgen for layer in chosen.get(name, [])} for name in ("/ON", "/OFF")}
        off = set(layers) - of["/ON"] if chosen.get("/BaseState") == "/OFF" else set(of["/OFF"])
        for automatic in chosen.get("/AS", []):
            if automatic.get("/Event") == "/View":
                for layer in automatic.get("/OCGs", []):
                    state = layer.get("/Usage", {}).get("/View", {}).get("/ViewState")
                    (off.add if state == "/OFF" else off.discard)(layer.objgen)
        return off

    def is_off(self, layer: Any) -> bool:
        """Of a layer, or of a rule about several."""
        if layer is None or layer.get("/Type") != "/OCMD":
            return layer is not None and layer.objgen in self.off
        if "/VE" in layer:
            return not self.holds(layer.VE)
        members = layer.get("/OCGs", [])
        states = [not self.is_off(one) for one in (members if is_a(members, "Array") else [members])]
        rules = {"/AllOn": all(states), "/AnyOff": not all(states), "/AllOff": not any(states)}
        return bool(states) and not rules.get(str(layer.get("/P")), any(states))

    def holds(self, rule: Any) -> bool:
        if is_a(rule, "Dictionary"):
            return not self.is_off(rule)
        operator, *parts = rule
        values = [self.holds(part) for part in parts]
        return {"/And": all(values), "/Or": any(values), "/Not": not any(values)}[str(operator)]

    def clear_page(self, page: "pikepdf.Page") -> None:
        import pikepdf

        contents: Any = page.obj.get("/Contents", [])
        streams = [contents] if isinstance(contents, pikepdf.Stream) else list(contents)
        resources = page.resources
        if any(b"/OC" in stream.read_bytes() for stream in streams):
            page.obj.Contents = self.document.make_stream(self.shown(page, resources))
        self.clear_forms(resources)
        for annotation in page.obj.get("/Annots", []):
            if self.is_off(annotation.get("/OC")):
                annotation.F = int(annotation.get("/F", 0)) | HIDDEN

    def clear_forms(self, resources: Any) -> None:
        for form in resources.get("/XObject", {}).values():
            if form.get("/Subtype") != "/Form" or form.objgen in self.cleared:
                continue
            self.cleared.add(form.objgen)
            if self.is_off(form.get("/OC")):
                form.write(b"")
                continue
            own = form.get("/Resources", resources)
            if b"/OC" in form.read_bytes():
                form.write(self.shown(form, own))
            self.clear_forms(own)

    def shown(self, contents: Any, resources: Any) -> bytes:
        import pikepdf

        return pikepdf.unparse_content_stream(list(self.instructions(contents, resources)))

    def instructions(self, contents: Any, resources: Any) -> Iterator[Any]:
        """Those of a page or form, but for what shows text of hidden layers: the rest may change what comes after."""
        import pikepdf

        hides: list[bool] = []
        for instruction in pikepdf.parse_content_stream(contents):
            operator = str(instruction.operator)
            if operator in ("BMC", "BDC"):
                hides.append(operator == "BDC" and self.is_hidden(instruction.operands, resources))
            elif operator == "EMC" and hides:
                hides.pop()
            elif any(hides) and operator in NEXT_LINE:
                yield pikepdf.ContentStreamInstruction([], pikepdf.Operator(NEXT_LINE[operator]))
                continue
            elif any(hides) and operator in SHOWS_TEXT:
                continue
            yield instruction

    def is_hidden(self, operands: Any, resources: Any) -> bool:
        tag, named = operands
        if tag != "/OC":
            return False
        return self.is_off(resources.get("/Properties", {}).get(str(named)) if is_a(named, "Name") else named)


def is_a(value: Any, kind: str) -> bool:
    import pikepdf

    return isinstance(value, getattr(pikepdf, kind))
