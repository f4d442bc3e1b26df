"""The words of a page as a reader would say them, where PDFium's order is only that of the file."""

from collotype.runtime.text_layer import Characters, Places


def reading_order(characters: Characters) -> list[list[Places]]:
    """The page's lines of words."""
    return characters.lines()
