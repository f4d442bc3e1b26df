"""PDF fields, comments and stamps, made part of the page in memory so that they are drawn and read."""

import ctypes
import re
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

SIZE, LEADING, WIDE = 12.0, 1.2, 0.5
"""Of a comment's letters, where it says no size; lines below each other and an average letter, as parts of the size."""
FONT_SIZE = re.compile(r"([\d.]+)\s+Tf")


def flatten(leaf: "PdfPage") -> bool:
    """Whether the page was changed, and is to be loaded anew: it had annotations that may show text."""
    from pypdfium2 import raw

    typed = {raw.FPDF_ANNOT_FREETEXT, raw.FPDF_ANNOT_LINE, raw.FPDF_ANNOT_STAMP, raw.FPDF_ANNOT_WIDGET}
    typed.add(raw.FPDF_ANNOT_WATERMARK)
    found = False
    for number in range(raw.FPDFPage_GetAnnotCount(leaf)):
        annotation = raw.FPDFPage_GetAnnot(leaf, number)
        kind, flags = raw.FPDFAnnot_GetSubtype(annotation), raw.FPDFAnnot_GetFlags(annotation)
        found |= kind in typed
        if flags & raw.FPDF_ANNOT_FLAG_NOVIEW:
            # flattening heeds only the other flag that hides
            raw.FPDFAnnot_SetFlags(annotation, flags | raw.FPDF_ANNOT_FLAG_HIDDEN)
        if kind == raw.FPDF_ANNOT_FREETEXT and has_no_looks(raw, annotation):
            write_out(raw, annotation)
        raw.FPDFPage_CloseAnnot(annotation)
    return found and raw.FPDFPage_Flatten(leaf, raw.FLAT_NORMALDISPLAY) == raw.FLATTEN_SUCCESS


def has_no_looks(raw: ModuleType, annotation: ctypes.c_void_p) -> bool:
    """None of the file's; PDFium may make some, without a font where the comment names none."""
    normal = raw.FPDF_ANNOT_APPEARANCEMODE_NORMAL
    looks = read_utf16(lambda *buffer: raw.FPDFAnnot_GetAP(annotation, normal, *buffer))
    return not looks or ("Tj" in looks and "Tf" not in looks)


def write_out(raw: ModuleType, annotation: ctypes.c_void_p) -> None:
    """Gives a comment that leaves its looks to the viewer plain ones; in Latin letters, for which no font is needed."""
    text, box = value(raw, annotation, b"Contents"), raw.FS_RECTF()
    if not raw.FPDFAnnot_GetRect(annotation, box) or text.encode("cp1252", "replace").decode("cp1252") != text:
        return
    font = FONT_SIZE.search(value(raw, annotation, b"DA"))
    size = (float(font[1]) if font else 0.0) or SIZE
    columns = max(1, int((box.right - box.left) / (WIDE * size)))
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, columns) or [""]]
    shown = " T* ".join(f"({escaped(line)}) Tj" for line in lines)
    left, top = box.left + size / 4, box.top - size
    stream = f"BT /Helv {size} Tf {LEADING * size} TL {left} {top} Td {shown} ET\0"
    raw.FPDFAnnot_SetAP(annotation, raw.FPDF_ANNOT_APPEARANCEMODE_NORMAL, utf16(stream))


def value(raw: ModuleType, annotation: ctypes.c_void_p, key: bytes) -> str:
    return read_utf16(lambda *buffer: raw.FPDFAnnot_GetStringValue(annotation, key, *buffer))


def read_utf16(ask: Callable[..., int]) -> str:
    """What one of PDFium's functions writes into a buffer that is as large as it says."""
    size = ask(None, 0)
    buffer = ctypes.create_string_buffer(size)
    ask(ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size)
    return buffer.raw.decode("utf-16-le", "replace").rstrip("\0")


def utf16(text: str) -> "ctypes.Array[ctypes.c_ushort]":
    encoded = text.encode("utf-16-le")
    return (ctypes.c_ushort * (len(encoded) // 2)).from_buffer_copy(encoded)


def escaped(line: str) -> str:
    return "".join(f"\\{code:03o}" if code in b"()\\" or code > 126 else chr(code) for code in line.encode("cp1252"))
