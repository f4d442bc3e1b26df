"""Pictures to what BEiT-3 takes: bytes [3, S, S], which the model scales itself."""

from PIL import Image
from PIL.Image import Resampling
from torch import Tensor

from collotype.runtime.pixels import rgb, to_bytes


def squashed(image: Image.Image, side: int) -> Tensor:
    """The published evaluation transform: the whole picture, whatever its proportions, as a square of `side` pixels."""
    return to_bytes(rgb(image).resize((side, side), Resampling.BICUBIC))
