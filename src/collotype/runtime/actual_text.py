"""Text that a PDF states for its glyphs (ActualText), as browsers and office programs write Indic and Thai.

PDFium gives such a text the place of the span's first glyph alone, so that what follows seems to stand apart; and gives
it again for each later glyph of the span that it meets after another one's.
"""

import ctypes
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np

from collotype.runtime.text_layer import RIGHT_TO_LEFT, Characters, raw_pdfium


def whole_spans(characters: Characters) -> Characters:
    """Each span once, with the box of all its glyphs."""
    boxes = dict(spans_of(characters.layer.page))
    if not boxes:
        return characters
    # of right-to-left text PDFium gives each letter its place
    owners = [
        0 if RIGHT_TO_LEFT.match(letter) else _span_of_character(characters, place)
        for place, letter in enumerate(characters.text)
    ]
    text, dropped, seen = list(characters.text), set[int](), set[int]()
    for owner, group in groupby(range(len(text)), owners.__getitem__):
        places = list(group)
        if owner in seen:
            dropped.update(places)
            _leave_one_space(characters, text, dropped, places)
        elif owner in boxes:
            seen.add(owner)
            characters.boxes[places] = _shared_out(boxes[owner], characters.heading(places[0]), len(places))
    for place in range(1, len(text)):
        if text[place].isspace() and text[place - 1].isspace() and characters.is_made_up(place):
            ended = "\n" in (text[place], text[place - 1])
            dropped.add(place - 1)
            text[place] = "\n" if ended else " "
    kept = np.array([place for place in range(len(text)) if place not in dropped], int)
    kept_text = "".join(text[place] for place in kept)
    whole = Characters(kept_text, characters.boxes[kept], characters.numbers[kept], characters.layer)
    whole.text = WITHIN.sub(lambda gap: " " if _goes_on(whole, gap.start() - 1, gap.end()) else gap[0], kept_text)
    return whole


WITHIN = re.compile(r"(?<=\S)\s(?=\S)")


def _goes_on(characters: Characters, first: int, second: int) -> bool:
    """Is what PDFium puts on two lines, as a glyph between them was higher, one line?"""
    (left, bottom, _, top), after = characters.boxes[first], characters.boxes[second]
    return bool(min(top, after[3]) > max(bottom, after[1]) and after[0] > left)


def spans_of(page: Any) -> Iterator[tuple[int, np.ndarray]]:
    """The spans of ActualText that are drawn by the page itself, with the boxes around their glyphs."""
    raw, found = raw_pdfium(), dict[int, np.ndarray]()
    sides = [ctypes.c_float() for _ in range(4)]
    for number in range(raw.FPDFPage_CountObjects(page)):
        drawn = raw.FPDFPage_GetObject(page, number)
        if raw.FPDFPageObj_GetType(drawn) != raw.FPDF_PAGEOBJ_TEXT or not (span := _span(drawn)):
            continue
        if raw.FPDFPageObj_GetBounds(drawn, *sides):
            box = np.array([side.value for side in sides])
            before = found.get(span, box)
            found[span] = np.concatenate([np.minimum(before[:2], box[:2]), np.maximum(before[2:], box[2:])])
    yield from found.items()


def _span_of_character(characters: Characters, place: int) -> int:
    drawn = raw_pdfium().FPDFText_GetTextObject(characters.layer, int(characters.numbers[place]))
    return _span(drawn) if drawn else 0


def _span(drawn: Any) -> int:
    """The mark that says what an object's text is, by its address, which the objects of a span share; 0 of none."""
    raw, length = raw_pdfium(), ctypes.c_ulong()
    for number in range(raw.FPDFPageObj_CountMarks(drawn)):
        mark = raw.FPDFPageObj_GetMark(drawn, number)
        if raw.FPDFPageObjMark_GetParamStringValue(mark, b"ActualText", None, 0, length) and length.value > 2:
            return ctypes.addressof(mark.contents)
    return 0


def _shared_out(box: np.ndarray, way: np.ndarray, number: int) -> np.ndarray:
    """The box, cut into equal parts along the way its line runs, from its beginning to its end."""
    axis = int(np.abs(way).argmax())
    edges = np.linspace(box[axis], box[axis + 2], number + 1)
    parts = np.tile(box, (number, 1))
    parts[:, axis], parts[:, axis + 2] = edges[:-1], edges[1:]
    return parts[::-1] if way[axis] < 0 else parts


def _leave_one_space(characters: Characters, text: list[str], dropped: set[int], places: list[int]) -> None:
    """Of what PDFium puts before and after a text that is dropped, as if it were a word or a line of its own."""
    first, last = places[0], places[-1]
    while first and text[first - 1].isspace() and characters.is_made_up(first - 1):
        first -= 1
    if first == places[0]:
        return
    text[first] = " "
    dropped.update(range(first + 1, places[0]))
    while last + 1 < len(text) and text[last + 1].isspace() and characters.is_made_up(last + 1):
        last += 1
        dropped.add(last)
