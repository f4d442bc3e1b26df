"""A PDF small enough to be written by hand: pages of text lines, bookmarks, or a password nobody knows."""

from collections.abc import Sequence


def small_pdf(
    pages: Sequence[Sequence[str]],
    bookmarks: Sequence[tuple[str, int]] = (),
    encrypted: bool = False,
    page_keys: str = "/MediaBox [0 0 300 200]",
) -> bytes:
    """Pages of 300 x 200 points with those lines; bookmarks are (title, page counted from 1).

    Args:
        page_keys: what every page's dictionary has beside its content.
    """
    objects: list[str] = []

    def add(text: str) -> int:
        objects.append(text)
        return len(objects)

    first_page = 4
    kids = " ".join(f"{first_page + 2 * number} 0 R" for number in range(len(pages)))
    first_mark = first_page + 2 * len(pages)
    add("<< /Type /Catalog /Pages 2 0 R" + (f" /Outlines {first_mark} 0 R" if bookmarks else "") + " >>")
    add(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for lines in pages:
        drawn = "".join(f"BT /F1 12 Tf 20 {170 - 20 * place} Td ({line}) Tj ET\n" for place, line in enumerate(lines))
        add(
            f"<< /Type /Page /Parent 2 0 R {page_keys} /Contents {len(objects) + 2} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        add(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    if bookmarks:
        last = first_mark + len(bookmarks)
        add(f"<< /First {first_mark + 1} 0 R /Last {last} 0 R /Count {len(bookmarks)} >>")
        for place, (title, page) in enumerate(bookmarks, start=first_mark + 1):
            following = f" /Next {place + 1} 0 R" if place < last else ""
            target = first_page + 2 * (page - 1)
            add(f"<< /Title ({title}) /Parent {first_mark} 0 R /Dest [{target} 0 R /Fit]{following} >>")
    text, places = "%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(text))
        text += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    lock = f" /Encrypt << /Filter /Standard /V 1 /R 2 /O <{'11' * 32}> /U <{'22' * 32}> /P -4 >>" if encrypted else ""
    trailer = f"<< /Size {len(objects) + 1} /Root 1 0 R /ID [<{'33' * 16}> <{'33' * 16}>]{lock} >>"
    text += (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n{trailer}\nstartxref\n{len(text)}\n%%EOF\n"
    )
    return text.encode("latin-1")
