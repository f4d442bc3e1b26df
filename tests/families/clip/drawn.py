"""An image that every machine draws alike, in every mode a file may have."""

import io

import numpy as np
from PIL import Image


def drawn(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Colours that run, with edges in them; its transparency, if it has any, runs too."""
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    red, green = across * 255 // width, down * 255 // height
    blue = (across // 5 + down // 7) % 2 * 200
    alpha = (across + down) * 255 // (width + height)
    image = Image.fromarray(np.stack([red, green, blue, alpha], axis=-1).astype(np.uint8))
    if mode == "RGBA":
        return image
    image = image.convert("RGB")
    return (
        image.quantize(32, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        if mode == "P"
        else image.convert(mode)
    )


def encoded(image: Image.Image, form: str = "JPEG") -> bytes:
    content = io.BytesIO()
    image.save(content, form)
    return content.getvalue()
