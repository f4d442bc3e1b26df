"""Reads images upright from table cells and files, with an error that names the bad one."""

import hashlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps, UnidentifiedImageError

from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile

JPEG_QUALITY = 88

MAX_PIXELS = 2**28
"""An image with more (a 40 MB file can hold them) is refused before it is decoded."""
ORIENTATION = 0x0112
"""EXIF's tag of how a camera was held."""
SUBFILE, SMALLER, MASK = 254, 1, 4
"""TIFF's tag of what a frame is, and two of its bits."""
CAMERAS = ("JPEG", "MPO")
"""Formats that say so in their header; another's would have to be read whole."""
UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises on damaged files."""
TOO_LARGE, UNDECODABLE = "too many pixels", "image cannot be decoded"


class ImageError(UserError):
    """An image that cannot be had.

    Args:
        cause: TOO_LARGE or UNDECODABLE.
    """

    def __init__(self, cause: str, message: str):
        super().__init__(message)
        self.cause = cause

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageError, (self.cause, str(self))


def content_of(cell: Any, folder: Path, origin: str) -> bytes | Path:
    """The encoded image that a cell {bytes, path} or of bytes holds, or the file that it names.

    Args:
        folder: what names are relative to.
        origin: where the cell stands, for the error.

    Raises:
        UserError: it does neither.
    """
    if isinstance(cell, Mapping):
        cell = cell.get("path") if cell.get("bytes") is None else cell["bytes"]
    if cell and isinstance(cell, bytes | str):
        return folder / cell if isinstance(cell, str) else cell
    raise UserError(f"{origin} contains no image; fill it in or remove the row.")


def encoded(cell: Any, folder: Path, origin: str) -> bytes:
    """As `content_of`, the file read.

    Raises:
        UserError: the cell contains no image, or names a file that cannot be read.
    """
    content = content_of(cell, folder, origin)
    if isinstance(content, bytes):
        return content
    try:
        return content.read_bytes()
    except OSError as error:
        raise UserError(
            f"{origin} names the image {content}, which cannot be read ({error.strerror}); copy it or remove the row."
        ) from error


def opened(content: bytes | Path, origin: str) -> Image.Image:
    """The image, upright as far as its header says how it was taken, and mostly not decoded yet; what a later error
    names, its `filename`, is `origin`.

    Raises:
        UserError: it is not an image, or has more than MAX_PIXELS.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(io.BytesIO(content) if isinstance(content, bytes) else content)
        require_size(image, origin)
        if image.format in CAMERAS and image.getexif().get(ORIENTATION, 1) != 1:
            image = ImageOps.exif_transpose(image)
    except UnidentifiedImageError as error:
        raise UserError(f"{origin} is not an image ({error}); replace it or leave it out.") from error
    except UNREADABLE as error:
        raise UserError(f"{origin}: the image cannot be read ({error}); replace it or leave it out.") from error
    image.filename = origin  # type: ignore[attr-defined]  # Pillow declares it of images as they are opened alone
    return image


def page_frames(path: Path) -> list[int]:
    """Which frames of an image file are pages: a TIFF's, without its previews and masks; of what else has several, an
    animation, the first.

    Raises:
        UserError: it is not an image, or has more than MAX_PIXELS.
    """
    from PIL.TiffImagePlugin import TiffImageFile

    image = opened(path, str(path))
    if not isinstance(image, TiffImageFile):
        return [0]
    try:
        frames = range(image.n_frames)
        return [frame for frame in frames if not _of_another(image, frame)] or [0]
    except UNREADABLE as error:
        raise UserError(f"{path}: its pages cannot be read ({error}); replace it or leave it out.") from error


def _of_another(image: "TiffImageFile", frame: int) -> bool:
    """Is it a smaller image, or a mask, of another frame?"""
    image.seek(frame)
    return bool(int(image.tag_v2.get(SUBFILE, 0)) & (SMALLER | MASK))


def decode(content: bytes | Path, origin: str, frame: int = 0) -> Image.Image:
    """The whole image, upright as its EXIF data say (as `datasets` does it).

    Args:
        frame: of an image that has several.

    Raises:
        UserError: it cannot be decoded, or has more than MAX_PIXELS.
    """
    image = opened(content, origin)
    try:
        if frame:
            image.seek(frame)
            require_size(image, origin)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    except UNREADABLE as error:
        raise UserError(f"{origin}: the image cannot be read ({error}); replace it or leave it out.") from error
    return image


def as_stored(content: bytes, origin: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The whole image in RGB as torchvision and webdataset give it: not turned by its EXIF data, without alpha.

    Raises:
        PictureError: it is damaged, no image, or has more than `max_pixels`.
    """
    try:
        with warnings.catch_warnings():
            # what Pillow thinks of large images and of palettes with transparency
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content))
            if image.width * image.height > max_pixels:
                raise ImageError(TOO_LARGE, f"{origin}: an image of {image.width} x {image.height} pixels.")
            image.load()
            return image if image.mode == "RGB" else image.convert("RGB")
    except UNREADABLE as error:
        cause = TOO_LARGE if isinstance(error, Image.DecompressionBombError) else UNDECODABLE
        raise ImageError(cause, f"{origin}: {cause} ({error}).") from error


def require_size(image: Image.Image, name: str) -> None:
    """
    Raises:
        UserError: the image has more than MAX_PIXELS; none is decoded to know that.
    """
    if image.width * image.height > MAX_PIXELS:
        raise UserError(
            f"{name} has {image.width} x {image.height} pixels, more than the limit of {MAX_PIXELS:,}; make it smaller "
            "or leave it out."
        )


def opaque(image: Image.Image) -> Image.Image:
    """The image in RGB, as it looks on white paper.

    Raises:
        UserError: it cannot be decoded, or has more than MAX_PIXELS.
    """
    name = getattr(image, "filename", "") or "an image"
    require_size(image, name)
    try:
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return image.convert("RGB")
    except UNREADABLE as error:
        raise UserError(f"{name} cannot be read as an image ({error}); replace it or leave it out.") from error


def digest(image: Image.Image) -> str:
    """Of size and RGB pixels: the same for copies of an image in other files or formats."""
    pixels = image.convert("RGB")
    return hashlib.blake2b(f"{pixels.size}".encode() + pixels.tobytes(), digest_size=16).hexdigest()


def jpeg(image: Image.Image) -> bytes:
    """As it is sent to be looked at."""
    content = io.BytesIO()
    image.convert("RGB").save(content, "JPEG", quality=JPEG_QUALITY)
    return content.getvalue()
