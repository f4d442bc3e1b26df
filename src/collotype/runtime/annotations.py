"""What is typed over a PDF's page, and layers: fields, comments and stamps become a part of the page in memory, so that
they are drawn and read as the rest of it is."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pypdfium2 import PdfPage


def flatten(leaf: "PdfPage") -> bool:
    """Whether the page was changed, and is to be loaded anew: it had annotations that may show text."""
    from pypdfium2 import raw

    typed = {raw.FPDF_ANNOT_FREETEXT, raw.FPDF_ANNOT_LINE, raw.FPDF_ANNOT_STAMP, raw.FPDF_ANNOT_WIDGET}
    typed.add(raw.FPDF_ANNOT_WATERMARK)
    found = False
    for number in range(raw.FPDFPage_GetAnnotCount(leaf)):
        annotation = raw.FPDFPage_GetAnnot(leaf, number)
        found |= raw.FPDFAnnot_GetSubtype(annotation) in typed
        flags = raw.FPDFAnnot_GetFlags(annotation)
        if flags & raw.FPDF_ANNOT_FLAG_NOVIEW:
            # flattening heeds only the other flag that hides
            raw.FPDFAnnot_SetFlags(annotation, flags | raw.FPDF_ANNOT_FLAG_HIDDEN)
        raw.FPDFPage_CloseAnnot(annotation)
    return found and raw.FPDFPage_Flatten(leaf, raw.FLAT_NORMALDISPLAY) == raw.FLATTEN_SUCCESS
