"""Files as scanners, phones, archives and careless programs make them, small enough to be made in a test."""

import io
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

LINES = ("Lease contract for the bakery", "signed by both parties", "in the old mill street")


def text_image(lines: Sequence[str] = LINES, size: tuple[int, int] = (620, 400), font_px: int = 26) -> Image.Image:
    picture = Image.new("L", size, 255)
    draw = ImageDraw.Draw(picture)
    for place, line in enumerate(lines):
        draw.text((40, 40 + place * font_px * 2), line, 0, font_size=font_px)
    return picture


def pdf_of(objects: Sequence[bytes]) -> bytes:
    """A PDF of these objects, numbered from 1; the first is its catalogue."""
    text, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(text))
        text += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(text)
    count = len(objects) + 1
    text += b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\n" % (count, table, count)
    return text + b"startxref\n%d\n%%%%EOF\n" % start


def stream(keys: str, content: bytes) -> bytes:
    return f"<< {keys} /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream"


def scan_pdf(
    picture: Image.Image,
    stamp: str = "",
    at: tuple[int, int] = (20, 8),
    font: str = "9 Tf",
    within_form: bool = False,
    dpi: int = 100,
) -> bytes:
    """A page that is an image, with a line of text over it.

    Args:
        at: where the stamp stands, in points from the lower left corner.
        font: its size, and how it is drawn.
        within_form: is the image drawn by a drawing that the page shows, as some programs do it?
    """
    wide, high = (side * 72 // dpi for side in picture.size)
    pixels = picture.convert("L")
    image = stream(
        f"/Type /XObject /Subtype /Image /Width {pixels.width} /Height {pixels.height} /ColorSpace /DeviceGray "
        "/BitsPerComponent 8 /Filter /FlateDecode",
        zlib.compress(pixels.tobytes()),
    )
    shown = f"q {wide} 0 0 {high} 0 0 cm /Im Do Q"
    form = stream(
        f"/Type /XObject /Subtype /Form /BBox [0 0 {wide} {high}] /Resources << /XObject << /Im 5 0 R >> >>",
        shown.encode(),
    )
    text = f" BT /F {font} {at[0]} {at[1]} Td ({stamp}) Tj ET" if stamp else ""
    return pdf_of(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {wide} {high}] /Contents 4 0 R /Resources << /Font "
            "<< /F 6 0 R >> /XObject << /Im 5 0 R /Fm 7 0 R >> >> >>".encode(),
            stream("", (("/Fm Do" if within_form else shown) + text).encode()),
            image,
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            form,
        ]
    )


def tiff(frames: Sequence[Image.Image], **options: object) -> bytes:
    content = io.BytesIO()
    frames[0].save(content, "TIFF", save_all=True, append_images=frames[1:], **options)
    return content.getvalue()


def with_labels(pdf: bytes) -> bytes:
    """The PDF of `small_pdf`, its pages called i, ii, A-1, A-2 and so on."""
    labels = b"/PageLabels << /Nums [0 << /S /r >> 2 << /S /D /P (A-) >>] >> "
    return re.sub(rb"/Type /Catalog ", b"/Type /Catalog " + labels, pdf)


def with_attachments(files: Sequence[tuple[str, bytes]], to: Path) -> None:
    """A PDF of one page with these files attached."""
    import pypdfium2

    document = pypdfium2.PdfDocument.new()
    document.new_page(200, 100)
    for name, content in files:
        document.new_attachment(name).set_data(content)
    document.save(to)


def mapped_to_private(pdf: bytes) -> bytes:
    """The PDF of `small_pdf`, each of its characters said to be a private one."""
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    cmap = (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def "
        b"1 begincodespacerange <00> <FF> endcodespacerange 1 beginbfrange <21> <7E> <E021> endbfrange "
        b"endcmap CMapName currentdict /CMap defineresource pop end end"
    )
    number = max(int(found) for found in re.findall(rb"(\d+) 0 obj", pdf)) + 1
    changed = pdf.replace(font, font[:-3] + b" /ToUnicode %d 0 R >>" % number)
    body = b"%d 0 obj\n" % number + stream("", cmap) + b"\nendobj\n"
    # the table of places is wrong now, and every reader looks for the objects itself
    return changed.replace(b"xref\n0", body + b"xref\n0", 1)
