"""OCR: rapidocr with the models in its package.

Lines are looked for in tiles of a smaller image, read in the image itself, and put in the order of the direction
that most of them run in, so that a large drawing and a page scanned sideways are read as any other.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from collotype.runtime.boxes import core, covered, in_place_of
from collotype.runtime.errors import UserError
from collotype.runtime.ocr_lines import directed, joined, reading_order, tiles

if TYPE_CHECKING:
    from PIL import Image

    from collotype.runtime.pdf import Box

DPI, LONGEST_PX, SHORTEST_PX = 100, 1024, 2000
"""Lines are looked for at this resolution, and no smaller than this; where the resolution is not known, in the image
as it is, its shorter side no longer than this."""
FAINT = 24
"""A tile whose numbers differ by no more shows nothing."""
NARROW, SHORTEST, CLEAR = 0.85, 160, 0.9
"""Lines are read this much narrower, which costs as much less, down to this many times a 48th of their height; one that
is not this clear then is read as it is."""
SURE_ENOUGH, SAME = 0.5, 0.5
"""Of a line's words; the part of a word or line that words which are known must cover for it to be one of them."""


@dataclass(frozen=True)
class OcrLine:
    text: str
    words: "list[tuple[str, Box]]"


class Ocr:
    """Made at once, its models are read with the first image.

    Args:
        threads: as many as there are cores if it is 0.

    Raises:
        UserError: it is not installed.
    """

    def __init__(self, threads: int = 0) -> None:
        try:
            import rapidocr  # isort: skip
            import onnxruntime
        except ImportError as error:
            raise UserError(
                f"These pages have no text layer, and OCR needs {error.name}; install it with pip install "
                "'collotype[ocr]'."
            ) from error
        from importlib.metadata import version

        self.version = f"rapidocr {version('rapidocr')}, onnxruntime {onnxruntime.__version__}"
        self._make, self._threads = rapidocr.RapidOCR, threads or -1
        self._made: rapidocr.RapidOCR | None = None

    @property
    def _engine(self) -> Any:
        if self._made is None:
            # its defaults write a line for every image, and give every array's memory back to the system
            runtime = {"intra_op_num_threads": self._threads, "enable_cpu_mem_arena": True}
            params: dict[str, Any] = {f"EngineConfig.onnxruntime.{name}": value for name, value in runtime.items()}
            params |= {
                "Global.log_level": "error",
                "Global.return_word_box": True,
                "Rec.rec_img_shape": [3, 48, SHORTEST],
            }
            self._made = self._make(params=params)
        return self._made

    def read(self, image: "Image.Image") -> str:
        """The lines on an image, in reading order."""
        return "\n".join(line.text for line in self.lines(image))

    def words(
        self, image: "Image.Image", dpi: float = 0, known: "Sequence[Box]" = (), until: float = math.inf
    ) -> "list[tuple[str, Box]]":
        """What stands between spaces, with its box as parts of the image's width and height.

        Args:
            dpi: the image's resolution, if it is known.
            known: boxes of words that need not be read.
            until: when to stop, by `time.monotonic`, with what is read by then.
        """
        words = [word for line in self.lines(image, dpi, known, until) for word in line.words]
        boxes = np.array([box for _, box in words]).reshape(-1, 4)
        there = (covered(core(boxes), known) >= SAME) | in_place_of(boxes, known)
        return [word for word, known_too in zip(words, there, strict=True) if not known_too]

    def lines(
        self, image: "Image.Image", dpi: float = 0, known: "Sequence[Box]" = (), until: float = math.inf
    ) -> list[OcrLine]:
        """As `words`, by lines; a line that is only in part known is read whole."""
        pixels = np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
        quads = self._detected(pixels, detection_scale(image.size, dpi), until)
        sides = np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1) / np.tile(image.size, 2)
        quads = directed(
            quads[covered(core(sides), known) < SAME],
            lambda quads: self._upside_down(pixels, quads),
            lambda quads: self._better_turned(pixels, quads, until),
        )
        # one by one: lines of a batch would be made as long as the longest
        found = (self._read(pixels, quads[row]) for row in reading_order(quads) if time.monotonic() <= until)
        return [line for line in found if line]

    def _detected(self, pixels: np.ndarray, scale: float, until: float) -> np.ndarray:
        """The corners of lines, float32 [n, 4, 2], from the top left one clockwise."""
        import cv2

        shown = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
        found = []
        for left, top, tile in tiles(shown):
            if time.monotonic() > until:
                break
            if np.ptp(tile) <= FAINT:
                continue
            boxes = self._engine(tile, use_det=True, use_cls=False, use_rec=False).boxes
            if boxes is not None and len(boxes):
                found.append(np.asarray(boxes, np.float32) + np.array([left, top], np.float32))
        size = np.array(pixels.shape[1::-1], np.float32)
        return joined(found) * (size / shown.shape[1::-1]).astype(np.float32)

    def _upside_down(self, pixels: np.ndarray, quads: np.ndarray) -> np.ndarray:
        """How surely each line is upside down, from 1 to -1."""
        _, rotation = self._engine.cls_and_rotate([crop(pixels, quad) for quad in quads])
        return np.array([score if "180" in label else -score for label, score in rotation.cls_res])

    def _better_turned(self, pixels: np.ndarray, quads: np.ndarray, until: float) -> np.ndarray:
        """How much more surely each line is read when it is turned round, from 1 to -1; 0 when the time is up."""

        def score(quad: np.ndarray) -> float:
            found: float = self._engine.recognize_txt([narrowed(crop(pixels, quad))]).scores[0]
            return found

        return np.array(
            [score(np.roll(quad, 2, axis=0)) - score(quad) if time.monotonic() <= until else 0.0 for quad in quads]
        )

    def _read(self, pixels: np.ndarray, quad: np.ndarray) -> OcrLine | None:
        cut = crop(pixels, quad)
        read = self._engine.recognize_txt([narrowed(cut)])
        if read.scores[0] < CLEAR:
            read = max(read, self._engine.recognize_txt([cut]), key=lambda one: one.scores[0])
        text = read.txts[0]
        if not text.strip() or read.scores[0] < SURE_ENOUGH:
            return None
        return OcrLine(text, list(self._placed(cut, quad, text, read.word_results[0], pixels.shape[1::-1])))

    def _placed(
        self, cut: np.ndarray, quad: np.ndarray, text: str, pieces: Any, size: tuple[int, int]
    ) -> "Iterator[tuple[str, Box]]":
        from rapidocr.ch_ppocr_rec import TextRecOutput

        one = TextRecOutput(txts=(text,), word_results=(pieces,))
        placed = self._engine.cal_rec_boxes([cut], quad[None].copy(), one).word_results[0]
        for word, corners in _joined(text, [(part, box) for part, _, box in placed if box is not None]):
            yield word, _around(corners, size)


def detection_scale(size: tuple[int, int], dpi: float) -> float:
    """What an image is made smaller by, before lines are looked for."""
    if dpi:
        return min(1.0, max(DPI / dpi, LONGEST_PX / max(size)))
    return min(1.0, SHORTEST_PX / min(size))


def extent(quad: np.ndarray) -> tuple[float, float]:
    """A line's length and height."""
    return float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[3] - quad[0]))


def crop(pixels: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """The line alone, in the direction of its first edge."""
    import cv2

    wide, high = (max(1, round(side)) for side in extent(quad))
    # warped from its own surroundings: the library takes no image longer than 32,767
    low = np.maximum(np.floor(quad.min(axis=0)).astype(int) - 2, 0)
    around = pixels[low[1] : math.ceil(quad[:, 1].max()) + 3, low[0] : math.ceil(quad[:, 0].max()) + 3]
    flat = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float32)
    turn = cv2.getPerspectiveTransform((quad - low).astype(np.float32), flat)
    return cv2.warpPerspective(around, turn, (wide, high), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC)


def narrowed(line: np.ndarray) -> np.ndarray:
    """A line's image as it is read first."""
    import cv2

    high, wide = line.shape[:2]
    narrow = max(round(NARROW * wide), round(SHORTEST / 48 * high))
    return cv2.resize(line, (narrow, high), interpolation=cv2.INTER_AREA) if narrow < wide else line


def _joined(line: str, pieces: Sequence[tuple[str, list[list[float]]]]) -> Iterator[tuple[str, np.ndarray]]:
    """A line's words, and the corners of the pieces they were read in: what has no space within (Japanese) comes in
    characters."""
    left = list(pieces)
    words = line.split()
    if "".join(words) != "".join(text for text, _ in left).replace(" ", ""):
        words = [text for text, _ in left]
    for word in words:
        text, corners = "", list[list[float]]()
        while left and len(text) < len(word):
            piece, box = left.pop(0)
            text, corners = text + piece.replace(" ", ""), [*corners, *box]
        if corners:
            yield word, np.array(corners, dtype=float)


def _around(corners: np.ndarray, size: tuple[int, int]) -> "Box":
    parts = np.clip(corners / size, 0, 1)
    (left, top), (right, bottom) = parts.min(axis=0).tolist(), parts.max(axis=0).tolist()
    return left, top, right, bottom
