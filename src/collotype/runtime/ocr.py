"""Text off pictures: rapidocr with the models that come in its package."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

    from collotype.runtime.pdf import Box


class Ocr:
    """Made at once, its models are read with the first picture.

    Raises:
        UserError: it is not installed.
    """

    def __init__(self) -> None:
        try:
            import rapidocr  # isort: skip
            import onnxruntime
        except ImportError as error:
            raise UserError(
                f"These pages come without text, and reading it off their pictures needs {error.name}; install the "
                "extra with pip install 'collotype[ocr]'."
            ) from error
        from importlib.metadata import version

        self.version = f"rapidocr {version('rapidocr')}, onnxruntime {onnxruntime.__version__}"
        self._make, self._engine = rapidocr.RapidOCR, None

    def _found(self, image: "Image.Image", **options: bool) -> object:
        if self._engine is None:
            # its default writes a line for every picture
            self._engine = self._make(params={"Global.log_level": "error"})
        return self._engine(np.asarray(image.convert("RGB"))[:, :, ::-1], **options)

    def read(self, image: "Image.Image") -> str:
        """The lines on a picture, top to bottom as they were found."""
        return "\n".join(self._found(image).txts or ())

    def words(self, image: "Image.Image") -> "list[tuple[str, Box]]":
        """What stands between spaces, with its box as parts of the picture's width and height."""
        found = self._found(image, return_word_box=True)
        if not found.txts:
            # its word results then are one of nothing
            return []
        return [
            (word, _around(corners, image.size))
            for line, pieces in zip(found.txts, found.word_results, strict=True)
            for word, corners in _joined(line, pieces)
        ]


def _joined(line: str, pieces: tuple[tuple[str, float, list[list[float]]], ...]) -> Iterator[tuple[str, np.ndarray]]:
    """A line's words, and the corners of the pieces they were read in: what has no space within (Japanese) comes in
    characters."""
    left = [(text, corners) for text, _, corners in pieces]
    words = line.split()
    if "".join(words) != "".join(text for text, _ in left).replace(" ", ""):
        words = [text for text, _ in left]
    for word in words:
        text, corners = "", []
        while left and len(text) < len(word):
            piece, box = left.pop(0)
            text, corners = text + piece.replace(" ", ""), [*corners, *box]
        if corners:
            yield word, np.array(corners, dtype=float)


def _around(corners: np.ndarray, size: tuple[int, int]) -> "Box":
    parts = np.clip(corners / size, 0, 1)
    return tuple(float(side) for side in (*parts.min(axis=0), *parts.max(axis=0)))
