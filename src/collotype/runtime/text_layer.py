"""The text layer of a PDF page: its characters, and the words that they form.

Boxes here are (left, bottom, right, top) in points of the page; `runtime/pdf.py` puts words on the page's image.
"""

import ctypes
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pypdfium2 import PdfTextPage

SPACE, NEWLINE = 0x20, 0x0A
SAMPLE = 16
"""Characters of a page that are asked which way they run."""
HYPHEN = 0x02
"""What PDFium puts in the place of one that ends a line within a word."""
WORD_OR_END = re.compile(r"\S+|\n")
HIGH, LOW = range(0xD800, 0xDC00), range(0xDC00, 0xE000)

RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
SHIFTED = re.compile(r"(?:(?<=[A-Za-z])F{2,3}|F{2,3}(?=[A-Za-z]))".replace("F", r"[\u6600\u6900\u6a00\u6c00\u7400]"))
"""The letters f, i, j, l and t of a ligature in a word, a byte further on, as Ghostscript writes what glyphs mean
(findings/ghostscript_ligatures.sh)."""
CLUSTERS = re.compile(r"[\u0900-\u109f\u1780-\u17ff]")
"""Scripts in which several characters are one glyph, or one character several, more often than not."""

Places = Sequence[int]
"""Of a word's characters in the layer, in reading order."""


@dataclass
class Characters:
    """One a place, in PDFium's order."""

    text: str
    boxes: np.ndarray
    """Of their ink, [n, 4]; zeros where there is none."""
    numbers: np.ndarray
    """By which the layer knows them."""
    layer: "PdfTextPage"

    def lines(self) -> list[list[Places]]:
        """Words between spaces, by lines as PDFium ends them."""
        lines: list[list[Places]] = [[]]
        for found in WORD_OR_END.finditer(self.text):
            if found[0] == "\n":
                lines.append([])
            else:
                lines[-1].append(range(*found.span()))
        return [line for line in lines if line]

    def word(self, places: Places) -> str:
        if isinstance(places, range):
            return self.text[places.start : places.stop]
        return "".join(self.text[place] for place in places)

    def pens(self, places: Places | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the pen is set down for each, [places, 2], and the box from there to where it goes on, from descender
        to ascender, [places, 4]; that is the ink's where PDFium does not know the font's."""
        raw, box, x, y = raw_pdfium(), raw_pdfium().FS_RECTF(), ctypes.c_double(), ctypes.c_double()
        origins, boxes = np.zeros((len(places), 2)), np.zeros((len(places), 4))
        for row, place in enumerate(self.numbers[places].tolist()):
            if raw.FPDFText_GetCharOrigin(self.layer, place, x, y) and raw.FPDFText_GetLooseCharBox(
                self.layer, place, box
            ):
                origins[row], boxes[row] = (x.value, y.value), (box.left, box.bottom, box.right, box.top)
        return origins, boxes

    def is_made_up(self, place: int) -> bool:
        """Does PDFium put it between others that the file has? (A space, mostly.)"""
        return bool(raw_pdfium().FPDFText_IsGenerated(self.layer, int(self.numbers[place])) == 1)

    def heading(self, place: int) -> np.ndarray:
        """The direction in which its line runs, as long as its font is large."""
        raw, matrix, number = raw_pdfium(), raw_pdfium().FS_MATRIX(), int(self.numbers[place])
        raw.FPDFText_GetMatrix(self.layer, number, matrix)
        return np.array([matrix.a, matrix.b]) * float(raw.FPDFText_GetFontSize(self.layer, number))

    def slant(self, place: int) -> float:
        """How far it leans the way its line runs, as a part of its height: of letters that are slanted as they are
        drawn, where there is no italic font, which PDFium's boxes do not tell."""
        raw, matrix = raw_pdfium(), raw_pdfium().FS_MATRIX()
        raw.FPDFText_GetMatrix(self.layer, int(self.numbers[place]), matrix)
        area = matrix.a * matrix.d - matrix.b * matrix.c
        return (matrix.a * matrix.c + matrix.b * matrix.d) / area if area else 0.0


def read_characters(layer: "PdfTextPage") -> Characters:
    """The halves of a character beyond U+FFFF, which PDFium counts as two, are one again, and so are those of a
    word that a line's end divides."""
    number = max(0, layer.count_chars())
    (code_of, box_of, _), page = fast(), address(layer)
    codes = [code_of(page, place) for place in range(number)]
    boxes = np.zeros((number, 4))
    left = boxes.ctypes.data
    for place, code in enumerate(codes):
        if code > SPACE and not box_of(page, place, left, left + 16, left + 8, left + 24):
            boxes[place] = 0
        left += 32
    joints = set()
    for place, code in enumerate(codes):
        if code in LOW and place and codes[place - 1] in HIGH:
            codes[place - 1] = 0x10000 + ((codes[place - 1] - HIGH.start) << 10) + code - LOW.start
            joints.add(place)
        elif code == HYPHEN and raw_pdfium().FPDFText_IsHyphen(layer, place) == 1:
            _leave_shorter(codes, boxes, place)
            joints.add(place)
    numbers = np.arange(number)
    if joints:
        numbers = np.array([place for place in range(number) if place not in joints], int)
        codes, boxes = [codes[place] for place in numbers], boxes[numbers]
    return Characters(letters_of_ligatures("".join(map(_character, codes))), boxes, numbers, layer)


def letters_of_ligatures(text: str) -> str:
    return SHIFTED.sub(lambda ligature: "".join(chr(ord(letter) >> 8) for letter in ligature[0]), text)


def _leave_shorter(codes: list[int], boxes: np.ndarray, hyphen: int) -> None:
    """A word that goes on in the next line has the box of its longer part: one around both would be both lines."""
    first, last = hyphen, hyphen + 1
    while first and codes[first - 1] > SPACE:
        first -= 1
    while last < len(codes) and codes[last] > SPACE:
        last += 1
    boxes[slice(first, hyphen) if hyphen - first < last - hyphen - 1 else slice(hyphen, last)] = 0


@lru_cache(maxsize=2**16)
def _character(code: int) -> str:
    """A space for what is no character: controls, lone halves, U+FFFE."""
    sound = code > SPACE and not 0xD800 <= code < 0xE000 and code not in (0xFFFE, 0xFFFF) and code <= sys.maxunicode
    return chr(code) if sound or code == NEWLINE else " "


def direction(layer: "PdfTextPage") -> int | None:
    """Degrees from the page's right, counter-clockwise by quarters, in which most of its text runs, of a few characters
    of it; None of no text."""
    raw, matrix, found = raw_pdfium(), raw_pdfium().FS_MATRIX(), Counter[int]()
    number = layer.count_chars()
    for place in range(0, number, max(1, number // SAMPLE)):
        if raw.FPDFText_GetUnicode(layer, place) > SPACE and raw.FPDFText_GetMatrix(layer, place, matrix):
            found[round(math.atan2(matrix.b, matrix.a) / (math.pi / 2)) * 90 % 360] += 1
    return max(found, key=found.__getitem__, default=None)


def raw_pdfium() -> Any:
    from pypdfium2 import raw

    return raw


def address(layer: "PdfTextPage") -> int | None:
    """As the functions of `fast` take it."""
    return ctypes.cast(layer.raw, ctypes.c_void_p).value


@lru_cache(maxsize=1)
def fast() -> tuple[Callable[..., int], Callable[..., int], Callable[..., int]]:
    """PDFium's functions for a character's code, for its box, and for whether it is mapped to Unicode, which take
    addresses as numbers: called for every character of a page, and half of the time would go into wrapping pointers."""
    raw, pointer = raw_pdfium(), ctypes.c_void_p

    def taking(function: Any, kinds: list[type]) -> Callable[..., int]:
        return ctypes.CFUNCTYPE(function.restype, *kinds)(ctypes.cast(function, pointer).value or 0)

    code_of = taking(raw.FPDFText_GetUnicode, [pointer, ctypes.c_int])
    box_of = taking(raw.FPDFText_GetCharBox, [pointer, ctypes.c_int, *[pointer] * 4])
    return code_of, box_of, taking(raw.FPDFText_HasUnicodeMapError, [pointer, ctypes.c_int])
