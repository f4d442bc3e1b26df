"""Words of any script, as search compares them."""

import pytest

from collotype.runtime.terms import are_cut_anew, normalised, origins, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The naïve Straße, 4.5 x_1", ["the", "naïve", "strasse", "4", "5", "x_1"]),
        ("दिन दान दीन हिन्दी", ["दिन", "दान", "दीन", "हिन्दी"]),
        ("כְּתָב כתב", ["כתב", "כתב"]),
        ("كِتَاب كتاب كتـــاب", ["كتاب"] * 3),
        ("می‌خواهم", ["میخواهم"]),
        ("man­uell", ["manuell"]),
        ("𝐄𝐧𝐞𝐫𝐠𝐲 e\u0301tude \u00a8a", ["energy", "étude", "a"]),
        ("図書館の人々𠮷野家", ["図書", "書館", "館の", "の人", "人々", "々𠮷", "𠮷野", "野家"]),
        ("ภาษาไทย", ["ภา", "าษ", "ษา", "าไ", "ไท", "ทย"]),
        ("ພາສາ", ["ພາ", "າສ", "ສາ"]),
        ("ភាសាខ្មែរ", ["ភាសា", "សាខ្", "ខ្មែ", "មែរ"]),
        ("မြန်မာစာ", ["မြန်", "န်မာ", "မာစာ"]),
        ("한국어 문서", ["한국", "국어", "문서"]),
        ("水 ?! ́", ["水"]),
    ],
)
def test_words_are_letters_digits_and_marks_or_pairs_where_no_spaces_are(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_folded_characters_know_where_they_come_from() -> None:
    text = "ﬁn ㌔ e\u0301"
    folded = normalised(text)
    came = [text[start:end] for start, end in origins(text, folded)]
    assert list(zip(folded, came, strict=True))[:3] == [("f", "ﬁ"), ("i", "ﬁ"), ("n", "n")]
    assert came[-1] == "e\u0301" and came[4:6] == ["㌔", "㌔"]


def test_only_pages_whose_terms_are_others_are_encoded_again() -> None:
    """An index of the version before marks were a part of words stays what it is for the rest."""
    assert not any(map(are_cut_anew, ["plain", "Über", "Ελλάδα", "Привет", "図書館", "한국어", "don’t", "½"]))
    assert all(map(are_cut_anew, ["हिन्दी", "ไทย", "שָׁלוֹם", "人々", "man­uell"]))
