"""Puts the words of a page in reading order; PDFium's order is only that of the file.

Three kinds of text need it: right-to-left scripts, whose letters come from left to right out of most producers; marks
that are placed by themselves; and Chinese and Japanese whose characters stand apart: in columns, or letter-spaced.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from collotype.runtime.text_layer import CLUSTERS, RIGHT_TO_LEFT, Characters, Places

STACKED_MARKS = re.compile(r"[\u0900-\u0dff]")
"""The scripts of India, whose marks stand over, under and before their letters."""
IDEOGRAPH = (
    r"[\u2014\u2015\u2025\u2026\u3001-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff9f"
    r"\U00020000-\U0003ffff]"
)
"""And kana, and what stands among them; no Hangul, whose words have spaces between them."""
IDEOGRAPHS = re.compile(f"{IDEOGRAPH}+")
APART = re.compile(rf"(?<!\S){IDEOGRAPH}(?!\S)|(?:(?<!\S)[^\W\d_]\s+){{3}}[^\W\d_](?!\S)")
KASHIDA = "\u0640"
THAI_AM = "\u0e33\u0eb3"
"""Letters by their category, marks by their looks."""
LONE_MARK = re.compile(r"(?<!\S)[\u0300-\u036f\u0591-\u05c7\u0610-\u065f\u0900-\u109f\u1780-\u17ff\u3099\u309a]")
LETTERS_APART, WIDER = 4, 1.8
"""Single letters of an alphabet in a row, from which on they are letter-spaced words; and how much wider than usual
the gap between two words is."""

WORD_GAP, TIGHT_GAP, TOUCHES, BEARING = 0.13, 0.05, 0.02, 0.08
"""Between words of a right-to-left line, as parts of the font's size; in one that is set tight, where the file has a
space, and how exactly that stands there; and after a letter of unknown advance."""
SAME_LINE = 0.4
"""How far two parts of a line may be above each other, in the font's size: vowel points are lifted."""
TOUCHING, SPACED, STACKED = 0.35, 1.7, 0.6
"""Between the characters of a run, in characters: of one that is set solid, and of one that is letter-spaced, beside
and above each other."""


def reading_order(characters: Characters) -> list[list[Places]]:
    """The page's lines of words."""
    lines = characters.lines()
    if RIGHT_TO_LEFT.search(characters.text) or STACKED_MARKS.search(characters.text):
        lines = by_place(characters, lines)
    clusters = CLUSTERS.search(characters.text)
    if clusters:
        lines = [by_distance(characters, line) for line in whole_lines(characters, lines)]
    if LONE_MARK.search(characters.text):
        lines = [with_marks(characters, line) for line in lines]
    if clusters:
        lines = [[settled(characters, word) for word in line] for line in lines]
    return joined(characters, lines)


# --- lines whose characters come in another order


@dataclass
class TextLine:
    """A line's characters in their own frame: the way the line runs, and up."""

    places: np.ndarray
    across: np.ndarray
    """Of each from where to where the pen goes, [n, 2]."""
    sure: np.ndarray
    """Is it known where the pen goes?"""
    baseline: float
    size: float
    """Of its font, in points."""
    way: tuple[float, float]
    """It runs on the page, as a vector of length one."""
    spaces: np.ndarray
    """Where those are that the file has before and after its words."""


def by_place(characters: Characters, lines: list[list[Places]]) -> list[list[Places]]:
    """Lines of which PDFium's order is none are put together anew, by where their characters stand: what lies between
    words is a distance, as spaces are often not where they belong."""
    found: list[list[Places]] = []
    before: TextLine | None = None
    for way, words in parallel(characters, lines):
        text = "".join(map(characters.word, words))
        backwards = RIGHT_TO_LEFT.search(text) is not None
        line = None
        if backwards or (STACKED_MARKS.search(text) and goes_back(characters, words)):
            line = framed(characters, words, way, backwards)
        if line and before and (both := one_line(before, line)):
            found.pop()
            line = both
        found.append(list(in_words(characters, line)) if line else words)
        before = line
    return [line for line in found if line]


def parallel(characters: Characters, lines: list[list[Places]]) -> Iterator[tuple[tuple[float, float], list[Places]]]:
    """Lines, cut where words run another way, or are of another size; strokes that stretch words (kashida) are of
    any."""
    for line in lines:
        ways: list[tuple[float, float]] = []
        for places in line:
            stretches = bool(ways) and set(characters.word(places)) == {KASHIDA}
            ways.append(ways[-1] if stretches else tuple(characters.heading(places[0]).round(3).tolist()))
        for way, words in groupby(zip(ways, line, strict=True), lambda pair: pair[0]):
            yield way, [places for _, places in words]


def goes_back(characters: Characters, words: list[Places]) -> bool:
    """Does a glyph of an upright line lie before the one that it follows? (A mark that XeTeX placed by itself.)"""
    places = np.concatenate([np.array(word) for word in words])
    boxes = of_glyphs(characters.boxes[places], characters.pens(places)[0])
    boxes = boxes[boxes[:, 2] > boxes[:, 0]]
    return bool((boxes[1:, 2] <= boxes[:-1, 0]).any())


def of_glyphs(boxes: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """For each character the box of its whole glyph, of which PDFium gives every character of several its part."""
    first = np.r_[True, (origins[1:] != origins[:-1]).any(axis=1)].nonzero()[0]
    low, high = (side.reduceat(boxes, first, axis=0) for side in (np.minimum, np.maximum))
    whole = np.concatenate([low[:, :2], high[:, 2:]], axis=1)
    return np.repeat(whole, np.diff(np.r_[first, len(boxes)]), axis=0)


def framed(
    characters: Characters, words: Sequence[Places], way: tuple[float, float], backwards: bool
) -> TextLine | None:
    """None of characters that stand nowhere."""
    places = np.concatenate([np.array(word) for word in words])
    size = float(np.hypot(*way))
    if not size:
        return None
    along = np.array(way) / size
    turn = frame(along)
    slants = np.repeat([characters.slant(word[0]) for word in words], [len(word) for word in words])
    origins, pens, ink = inside(characters, places, turn, slants)
    known = (pens[:, 3] > pens[:, 1]) & (ink[:, 2] > ink[:, 0])
    if not known.any():
        return None
    wanting = np.where(np.abs(pens - ink).max(axis=1) > 1e-3, 0, BEARING * size)
    start = origins[:, 0] if backwards else ink[:, 0]
    across = np.stack([start, np.maximum(pens[:, 2], start) + wanting], axis=1)
    is_mark = np.array([unicodedata.category(characters.text[place])[0] == "M" for place in places])
    across[is_mark] = ink[is_mark][:, [0, 2]]
    sure = ~is_mark & (wanting == 0)
    # letters of a ligature have one origin, and their own parts of its ink; or all of it, and stand as they are read
    order = np.lexsort((-places[known], (ink[:, 0] + ink[:, 2])[known].round(2), start[known].round(2)))
    baseline = float(np.median(origins[known, 1]))
    spaces = own_spaces(characters, words, turn)
    return TextLine(places[known][order], across[known][order], sure[known][order], baseline, size, way, spaces)


def own_spaces(characters: Characters, words: Sequence[Places], turn: np.ndarray) -> np.ndarray:
    beside = {place for word in words for place in (min(word) - 1, max(word) + 1)}
    spaces = [
        place
        for place in beside
        if 0 <= place < len(characters.text) and characters.text[place] == " " and not characters.is_made_up(place)
    ]
    points: np.ndarray = characters.pens(spaces)[0] @ turn
    return points[:, 0]


def inside(
    characters: Characters, places: Places | np.ndarray, turn: np.ndarray, slants: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """In their line's frame, and upright: where the pen is set down, the boxes to where it goes on, those of the
    ink."""
    pens, boxes = characters.pens(places)
    origins = pens @ turn
    return origins, *(
        upright(characters_in(of, turn), origins, np.asarray(slants)) for of in (boxes, characters.boxes[places])
    )


def upright(boxes: np.ndarray, origins: np.ndarray, slants: np.ndarray) -> np.ndarray:
    """What stood in boxes around slanted letters before these were slanted."""
    if not slants.any():
        return boxes
    whole = of_glyphs(boxes, origins)
    leans = slants[..., None] * (whole[:, [1, 3]] - origins[:, 1:])
    start, end = whole[:, 0] - leans.min(axis=1), whole[:, 2] - leans.max(axis=1)
    narrower = (end - start) / np.maximum(whole[:, 2] - whole[:, 0], 1e-6)
    found = boxes.copy()
    found[:, [0, 2]] = start[:, None] + (boxes[:, [0, 2]] - whole[:, :1]) * narrower[:, None]
    return found


def characters_in(boxes: np.ndarray, turn: np.ndarray) -> np.ndarray:
    corners = boxes.reshape(-1, 2, 2) @ turn
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def one_line(first: TextLine, second: TextLine) -> TextLine | None:
    """Both as one, if they are: PDFium ends a line at every vowel point that is placed by itself."""
    apart = max(first.across[0, 0], second.across[0, 0]) - min(first.across[:, 1].max(), second.across[:, 1].max())
    size = max(first.size, second.size)
    if first.way != second.way or abs(first.baseline - second.baseline) > SAME_LINE * size or apart > size:
        return None
    places, across = np.concatenate([first.places, second.places]), np.concatenate([first.across, second.across])
    order = np.argsort(across[:, 0], kind="stable")
    spaces = np.concatenate([first.spaces, second.spaces])
    sure = np.concatenate([first.sure, second.sure])
    return TextLine(places[order], across[order], sure[order], first.baseline, size, first.way, spaces)


def in_words(characters: Characters, line: TextLine) -> Iterator[list[int]]:
    """The words of a line whose characters lie from left to right, in reading order."""
    letters, marks = list[tuple[int, int]](), list[tuple[int, int]]()
    for row, place in enumerate(line.places.tolist()):
        is_mark = unicodedata.category(characters.text[place])[0] == "M"
        (marks if is_mark else letters).append((row, place))
    if not letters:
        return
    rows = [row for row, _ in letters]
    ends = np.maximum.accumulate(line.across[rows, 1])
    gaps = are_apart(line, ends[:-1], line.across[rows[1:], 0], line.sure[rows[:-1]])
    text, at = "", list[int]()
    for number, (_, place) in enumerate(letters):
        if number and gaps[number - 1]:
            text, at = text + " ", [*at, -1]
        text, at = text + characters.text[place], [*at, place]
    owners = marked(characters, line, marks, rows)
    order = [at[index] for index in logical(text)]
    mirror_brackets(characters, [place for place in order if place >= 0])
    word: list[int] = []
    for place in [*order, -1]:
        if place >= 0:
            word += [place, *owners.get(place, ())]
        elif word:
            yield word
            word = []


def are_apart(line: TextLine, ends: np.ndarray, starts: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Is there room for a space between letters, or less, and one of the file's in it?"""
    gaps, near = (starts - ends) / line.size, TOUCHES * line.size
    has_space = (line.spaces > ends[:, None] - near) & (line.spaces < starts[:, None] + near)
    apart: np.ndarray = (gaps > WORD_GAP) | (sure & (gaps > TIGHT_GAP) & has_space.any(axis=1))
    return apart


def marked(
    characters: Characters, line: TextLine, marks: list[tuple[int, int]], rows: list[int]
) -> dict[int, list[int]]:
    """The marks over or under each letter, in canonical order."""
    found: dict[int, list[int]] = {}
    middles = line.across[rows].mean(axis=1)
    for row, place in sorted(marks, key=lambda mark: unicodedata.combining(characters.text[mark[1]])):
        owner = rows[int(np.abs(middles - line.across[row].mean()).argmin())]
        found.setdefault(int(line.places[owner]), []).append(place)
    return found


OPENING, CLOSING = "([{«‹", ")]}»›"
MIRROR = str.maketrans(OPENING + CLOSING, CLOSING + OPENING)


def mirror_brackets(characters: Characters, order: list[int]) -> None:
    """A file may name a bracket by its shape, which in a right-to-left line is that of the other one."""
    brackets = [place for place in order if characters.text[place] in OPENING + CLOSING]
    if brackets and characters.text[brackets[0]] in CLOSING:
        letters = list(characters.text)
        for place in brackets:
            letters[place] = letters[place].translate(MIRROR)
        characters.text = "".join(letters)


LEFT_TO_RIGHT = re.compile(r"L(?:[^R]*[LD])?|D(?:S?D)*")
A_RIGHT_TO_LEFT = re.compile(r"R(?:[^L]*[RD])?")
KINDS = {"L": "L", "R": "R", "AL": "R", "EN": "D", "AN": "D", "CS": "S", "ES": "S"}


def logical(text: str) -> list[int]:
    """The indices of a line's characters, which are given from left to right, as they are read: the reverse of what
    UAX #9 does to show them."""
    kinds = "".join(KINDS.get(unicodedata.bidirectional(character), "N") for character in text)
    if kinds.count("R") >= kinds.count("L"):
        return list(reverse(kinds, 0, len(kinds)))
    order, done = [], 0
    for run in A_RIGHT_TO_LEFT.finditer(kinds):
        order += [*range(done, run.start()), *reverse(kinds, *run.span())]
        done = run.end()
    return [*order, *range(done, len(kinds))]


def reverse(kinds: str, start: int, end: int) -> Iterator[int]:
    """From right to left, but for numbers and foreign words."""
    runs = {run.end(): run.start() for run in LEFT_TO_RIGHT.finditer(kinds, start, end)}
    place = end
    while place > start:
        if place in runs:
            yield from range(runs[place], place)
            place = runs[place]
        else:
            place -= 1
            yield place


# --- characters that stand apart


@dataclass
class TextRun:
    """Words that may be one, as far as they go."""

    places: list[int]
    apart: bool
    """Are its characters words by themselves?"""
    step: tuple[int, int] = (0, 0)
    """The way it runs, once that is known."""

    def goes_on(self, boxes: np.ndarray, places: Places) -> tuple[int, int] | None:
        """The way to the next word, if that stands where the run's next character would."""
        last, following = boxes[self.places[-1]], boxes[places[0]]
        size = float(max(np.max(box[2:] - box[:2]) for box in (boxes[self.places[0]], last, following)))
        away = ((following[:2] + following[2:]) - (last[:2] + last[2:])) / 2
        axis = int(np.abs(away).argmax())
        room = (SPACED if axis == 0 else STACKED) if self.apart and len(places) == 1 else TOUCHING
        if not size or abs(away[1 - axis]) > size / 2 or not size / 4 < abs(away[axis]) < size * (1 + room):
            return None
        step = (int(np.sign(away[0])), 0) if axis == 0 else (0, int(np.sign(away[1])))
        return step if self.step in ((0, 0), step) else None


def whole_lines(characters: Characters, lines: list[list[Places]]) -> list[list[Places]]:
    """PDFium ends a line at each mark that is placed by itself, a little higher or lower."""
    found: list[list[Places]] = []
    for words in lines:
        if found and goes_on(characters, found[-1][-1], words[0]):
            found[-1] = [*found[-1], *words]
        else:
            found.append(words)
    return found


def goes_on(characters: Characters, last: Places, following: Places) -> bool:
    way = characters.heading(last[0])
    if not way.any() or not (way == characters.heading(following[0])).all():
        return False
    size, turn = float(np.hypot(*way)), frame(way)
    end = characters_in(characters.boxes[last], turn)[:, 2].max()
    (_, before), (start, level) = (characters.pens([word[0]])[0][0] @ turn for word in (last, following))
    return bool(abs(level - before) < SAME_LINE * size and abs(start - end) < size)


def by_distance(characters: Characters, words: list[Places]) -> list[Places]:
    """Words that lie side by side, and of which no space of the file's is between them, are one; what lies apart
    is not, though PDFium saw no space there (after a mark that takes no room, say)."""
    found: list[Places] = []
    for places in (part for word in words for part in apart(characters, word)):
        if found and CLUSTERS.match(characters.text[places[0]]) and touches(characters, found[-1], places):
            found[-1] = [*found[-1], *places]
        else:
            found.append(places)
    return found


def apart(characters: Characters, places: Places) -> Iterator[Places]:
    """A word, cut where there is a gap between its letters."""
    way = characters.heading(places[0])
    size, boxes = float(np.hypot(*way)), characters.boxes[places]
    if len(places) < 2 or not size or (boxes[:, 2] <= boxes[:, 0]).any():
        yield places
        return
    origins, pens, ink = inside(characters, places, frame(way), characters.slant(places[0]))
    ends = np.maximum.accumulate(np.maximum(ink[:, 2], pens[:, 2]))
    gaps = np.minimum(ink[:, 0], origins[:, 0])[1:] - ends[:-1] > WORD_GAP * size
    cuts = [0, *(np.flatnonzero(gaps) + 1).tolist(), len(places)]
    yield from (places[start:end] for start, end in pairwise(cuts))


def frame(way: np.ndarray) -> np.ndarray:
    """Turns points of the page so that the line runs to the right, and up is up."""
    turn: np.ndarray = np.stack([way, (-way[1], way[0])], axis=1) / np.hypot(*way)
    return turn


def stands_between(characters: Characters, space: int, turn: np.ndarray, edges: tuple[float, float]) -> bool:
    """Is it a space of the file's, and does it stand there? (Office programs write those of a justified line by
    themselves, after its letters.)"""
    if characters.is_made_up(space):
        return False
    return bool(edges[0] < (characters.pens([space])[0] @ turn)[0, 0] < edges[1])


def touches(characters: Characters, first: Places, second: Places) -> bool:
    """Does the second begin where the first ends?"""
    way = characters.heading(first[-1])
    size = float(np.hypot(*way))
    boxes = characters.boxes[[*first, *second]]
    if not size or (boxes[:, 2] <= boxes[:, 0]).any() or not (way == characters.heading(second[0])).all():
        return False
    turn = frame(way)
    origins, _, ink = inside(characters, [*first, *second], turn, characters.slant(first[-1]))
    gap = min(origins[len(first) :, 0].min(), ink[len(first) :, 0].min()) - ink[: len(first), 2].max()
    level = min(ink[0, 3], ink[len(first), 3]) > max(ink[0, 1], ink[len(first), 1])
    if not level or not -size < gap < WORD_GAP * size:
        return False
    end = ink[: len(first), 2].max()
    near = end - WORD_GAP * size, end + WORD_GAP * size + size
    return not any(stands_between(characters, place, turn, near) for place in range(first[-1] + 1, second[0]))


def with_marks(characters: Characters, words: list[Places]) -> list[Places]:
    """No word begins with a mark: what PDFium parts from its letter is put back."""
    found: list[Places] = []
    for places in words:
        first = characters.text[places[0]]
        if found and (first in THAI_AM or unicodedata.category(first)[0] == "M"):
            found[-1] = [*found[-1], *places]
        else:
            found.append(places)
    return found


def settled(characters: Characters, places: Places) -> Places:
    """Marks that a file draws after the letters behind theirs stand at their own."""
    if not any(unicodedata.category(characters.text[place]) == "Mn" for place in places):
        return places
    boxes, origins = characters.boxes[places], characters.pens(places)[0]
    starts = np.r_[True, (origins[1:] != origins[:-1]).any(axis=1)].nonzero()[0]
    glyphs: list[tuple[np.ndarray, list[int]]] = []
    for start, end in pairwise([*starts.tolist(), len(places)]):
        box = np.r_[boxes[start:end, :2].min(axis=0), boxes[start:end, 2:].max(axis=0)]
        own = list(places[start:end])
        is_mark = unicodedata.category(characters.text[own[0]]) == "Mn"
        if glyphs and is_mark and box[2] <= glyphs[-1][0][0]:
            middles = [(of[0] + of[2] - box[0] - box[2]) / 2 for of, _ in glyphs]
            glyphs[int(np.abs(middles).argmin())][1].extend(own)
        elif glyphs and is_mark:
            glyphs[-1][1].extend(own)
        else:
            glyphs.append((box, own))
    return [place for _, own in glyphs for place in own]


def joined(characters: Characters, lines: list[list[Places]]) -> list[list[Places]]:
    """Lines whose ideographs are words as long as nothing else stands between them: PDFium ends a line after each
    character of a column."""
    if not APART.search(characters.text):
        return lines
    found: list[list[Places]] = []
    run: TextRun | None = None
    for words in lines:
        found.append([])
        for places in words:
            if not IDEOGRAPHS.fullmatch(characters.word(places)):
                run = None
            elif run and (step := run.goes_on(characters.boxes, places)):
                run.apart &= len(places) == 1
                run.step = step
                run.places += places
                continue
            else:
                places = [*places]
                run = TextRun(places, len(places) == 1)
            found[-1].append(places)
    return [spelled(characters, words) for words in found if words]


def spelled(characters: Characters, words: list[Places]) -> list[Places]:
    """A line in which letters that stand apart, without a space of the file's between them, are words."""
    found: list[Places] = []
    for is_letter, group in groupby(words, lambda places: len(places) == 1 and characters.word(places).isalpha()):
        letters = list(group)
        apart = is_letter and len(letters) >= LETTERS_APART
        found += by_gaps(characters, [word[0] for word in letters]) if apart else letters
    return found


def by_gaps(characters: Characters, letters: list[int]) -> list[Places]:
    """Words of letters between which there is more room than is usual in their line."""
    between = [place for first, last in pairwise(letters) for place in range(first + 1, last)]
    if not all(map(characters.is_made_up, between)):
        return [[place] for place in letters]
    boxes = characters.boxes[letters]
    gaps = np.maximum(boxes[1:, :2] - boxes[:-1, 2:], boxes[:-1, :2] - boxes[1:, 2:]).max(axis=1)
    cuts = np.flatnonzero(gaps > WIDER * np.median(gaps)) + 1
    return [part.tolist() for part in np.split(np.array(letters), cuts)]
