"""The baseline: words of any script, BM25 as it is defined, text from where there is some."""

import math
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from collotype.families.retriever.benchmarks.benchmark import Pages
from collotype.families.retriever.benchmarks.qa import read_qa
from collotype.families.retriever.bm25 import Bm25
from collotype.families.retriever.cache import Cache
from collotype.families.retriever.evaluate import evaluate
from collotype.runtime.errors import UserError
from collotype.runtime.terms import terms
from collotype.runtime.world import World
from tests.families.retriever.benchmarks.parquet_sets import png, write_table

TEXTS = ["red apple, red leaf", "green leaf", "", "ein Apfel"]


def pages_of(texts: list[str]) -> Pages:
    blank = Image.new("RGB", (8, 8))
    ids = [str(n) for n in range(len(texts))]
    return Pages(ids, lambda page: blank, lambda page: (8, 8), "fingerprint", texts.__getitem__)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The Deb package-format: ar", ["the", "deb", "package", "format", "ar"]),
        ("Straße ÉTÉ Ⅳ", ["strasse", "été", "iv"]),
        ("必要なツール", ["必要", "要な", "なツ", "ツー", "ール"]),
        ("deb パッケージ 1", ["deb", "パッ", "ッケ", "ケー", "ージ", "1"]),
        ("絵", ["絵"]),
        ("한국어 문서", ["한국", "국어", "문서"]),
    ],
)
def test_words_of_any_script(text: str, found: list) -> None:
    assert terms(text) == found


def test_scores_are_the_formulas() -> None:
    """Lucene's BM25: log(1 + (N - n + 0.5)/(n + 0.5)) * tf/(tf + k1 (1 - b + b * length / mean length))."""
    scores = Bm25().scores(["red leaf", "unheard of"], pages_of(TEXTS), World())
    lengths, mean = [4, 2, 0, 2], 2.0
    idf = {"red": math.log(1 + 3.5 / 1.5), "leaf": math.log(1 + 2.5 / 2.5)}

    def part(word: str, count: int, length: int) -> float:
        return idf[word] * count / (count + 1.5 * (0.25 + 0.75 * length / mean)) if count else 0.0

    expected = [
        part("red", text.count("red"), length) + part("leaf", text.count("leaf"), length)
        for text, length in zip(TEXTS, lengths, strict=True)
    ]
    assert scores[0].tolist() == pytest.approx(expected, rel=1e-5)
    assert scores[1].tolist() == [0, 0, 0, 0]


def test_pages_without_words_are_an_error() -> None:
    with pytest.raises(UserError, match="None of the 2 pages has words"):
        Bm25().scores(["red"], pages_of(["", "  "]), World())


def test_a_text_column_is_searched(tmp_path: Path) -> None:
    images = [png(colour) for colour in ("red", "green", "blue")]
    columns = {"query": ["crimson", None, "azure"], "image": images, "markdown": ["# Crimson", "lime", "azure sky"]}
    write_table(tmp_path / "set.parquet", columns)
    (measured,) = evaluate(Bm25(), [read_qa("qa/set", tmp_path / "set.parquet")])
    assert measured.metrics["ndcg_at_1"] == 1.0 and measured.facts["looks_at"] == "the column markdown"


def test_without_ocr_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    write_table(tmp_path / "set.parquet", {"query": ["red"], "image": [png("red")]})
    with pytest.raises(UserError, match=r"needs rapidocr; install it with pip install 'collotype\[ocr\]'"):
        evaluate(Bm25(), [read_qa("qa/set", tmp_path / "set.parquet")])


def test_ocr_reads_a_image_once(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    pytest.importorskip("onnxruntime")
    image = Image.new("RGB", (420, 90), "white")
    ImageDraw.Draw(image).text((20, 20), "Collotype prints", "black", ImageFont.load_default(40))
    read = []
    pages = Pages(["0"], lambda page: (read.append(page), image)[1], lambda page: image.size, "one page")
    for _ in range(2):
        assert Bm25(Cache(tmp_path)).scores(["collotype"], pages, World())[0, 0] > 0
    assert read == [0]
