"""What is added is found, what is deleted is not, by every plan; a folder that is not an index is left alone."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import collotype
from collotype.runtime.errors import UserError
from collotype.search import index as index_module
from collotype.search.index import Index
from collotype.search.pages import EncodedPage, Word
from collotype.search.scoring import ivf
from collotype.search.scoring.plan import Plan
from tests.search.made import DESCRIBED, DIM, page, query_of, unit

EVERYTHING = [Plan("exact"), Plan("bits", 1000), Plan("lists", 1000)]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index.create(tmp_path / "index", **DESCRIBED)


def links(hits) -> list[str]:
    return [hit.link for hit in hits]


# --- a plain dictionary as the model of an index

CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 2), st.lists(st.integers(1, 6), min_size=1, unique=True)),
        st.tuples(st.just("replace"), st.integers(0, 2), st.integers(0, 4)),
        st.tuples(st.just("delete"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("optimize"), st.just(0), st.just(0)),
    ),
    min_size=2,
    max_size=7,
)


@pytest.mark.filterwarnings("ignore:optimize")
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, precision=st.sampled_from(["fp16", "int8"]))
def test_after_any_changes_every_plan_finds_what_is_there(tmp_path_factory, monkeypatch, changes, precision) -> None:
    index = Index.create(tmp_path_factory.mktemp("index"), **DESCRIBED, precision=precision)
    reader = Index.open(index.folder)
    there: dict[str, EncodedPage] = {}
    monkeypatch.setattr(ivf, "MADE_FROM", 1)
    for time, (change, which, what) in enumerate(changes, start=1):
        name = f"{which}.pdf"
        made = []
        if change == "add":
            made = [page(name, number, seed=time, count=number + time) for number in what]
            index.add(made)
        elif change == "replace":
            made = [page(name, number, seed=time) for number in range(1, what + 1)]
            index.update(name, made, range(1, what + 1))
        elif change == "delete":
            index.delete(name)
        else:
            index.optimize(timedelta(0))
        if change in ("replace", "delete"):
            there = {key: value for key, value in there.items() if not key.startswith(name)}
        there |= {one.id: encoded for one, encoded in made}
    query = query_of(page(seed=99)[1], range(4), "abcd")
    expected = {key: (query.vectors @ encoded.vectors.T).max(axis=1).sum() for key, encoded in there.items()}
    for plan in EVERYTHING:
        hits = reader.search(query, 100, plan=plan)
        assert {hit.link: hit.score for hit in hits} == pytest.approx(
            expected, abs=3e-3 if precision == "fp16" else 5e-2
        )
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert {document.name: document.pages for document in reader.documents()} == {
        name: sum(key.startswith(name) for key in there) for name in {key.split("#")[0] for key in there}
    }


def test_scores_are_exact_maxsim_whatever_found_the_page(index: Index) -> None:
    made = [page(number=number, count=3 + number) for number in range(1, 200)]
    index.add(made)
    query = query_of(made[42][1], (0, 1, 2), "abc")
    truth = [np.float16(encoded.vectors).astype(np.float32) for _, encoded in made]
    for plan in ("exact", "bits"):
        first = index.search(query, plan=plan)[0]
        assert first.page == 43
        assert first.score == pytest.approx((query.vectors @ truth[42].T).max(axis=1).sum(), abs=1e-5)


def test_a_page_added_after_the_side_files_is_found_at_once_and_a_deleted_one_never(index: Index) -> None:
    index.add([page(number=number) for number in range(1, 150)])
    index.optimize()
    new = page("new.pdf", seed=7)
    index.add([new])
    hits, told = index.explained(query_of(new[1]), plan="bits")
    assert (hits[0].document, told.newer, told.plan, told.pages) == ("new.pdf", 1, "bits", 150)
    assert told.signs_version < told.table_version
    index.delete("new.pdf")
    assert "new.pdf" not in {hit.document for hit in index.search(query_of(new[1]), plan="bits")}


def test_many_newer_pages_are_scanned_by_the_bits_of_the_table(index: Index) -> None:
    index.add([page(number=number) for number in range(1, 5)])
    index.optimize()
    made = [page("new.pdf", number, count=number % 7) for number in range(1, 60)]
    index.add(made)
    hits, told = index.explained(query_of(made[33][1]), 1, plan=Plan("bits", 10))
    assert (hits[0].page, told.newer, told.rescored) == (34, 51, 10)


def test_token_lists_lead_to_the_page_and_are_carried_on(index: Index, monkeypatch) -> None:
    monkeypatch.setattr(ivf, "MADE_FROM", 1)
    monkeypatch.setattr(ivf, "NAMED_AT_LEAST", 20)
    made = [page(number=number, count=8) for number in range(1, 301)]
    index.add(made)
    index.optimize()
    trained = index.view().lists.arrays["centres"].copy()
    later = [page("later.pdf", number, count=8) for number in range(1, 31)]
    index.add(later)
    for again in (False, True):
        for one, encoded in (made[7], made[250], later[3]):
            hits, told = index.explained(query_of(encoded, range(8), "abcdefgh"), 1, plan=Plan("lists", 10))
            assert (hits[0].link, told.plan) == (one.id, "lists")
            assert told.scanned == (20 if again else 50)
        index.optimize()
    assert (index.view().lists.arrays["centres"] == trained).all()
    assert len(index.view().lists.arrays["keys"]) == 330
    index.update("a.pdf", [], range(1, 23))
    index.optimize()
    assert len(index.view().lists.arrays["starts"]) == len(trained) + 1
    assert index.search(query_of(made[7][1], range(8), "abcdefgh"), 1, plan=Plan("lists", 10))[0].page == 8


def test_the_plan_goes_by_size_and_says_why(index: Index, monkeypatch) -> None:
    index.add([page(number=number) for number in range(1, 150)])
    query = query_of(page()[1])
    assert index.explained(query)[1].plan == "exact"
    assert index.explained(query, plan="lists")[1].plan == "bits"
    monkeypatch.setattr("collotype.search.scoring.plan.EXACT_VECTORS", 100)
    told = index.explained(query)[1]
    assert told.plan == "bits" and "sign bits" in told.why and set(told.milliseconds) == {"candidates", "exact"}
    with pytest.raises(UserError, match="Unknown search plan 'fast'; the plans are exact, bits, lists"):
        index.search(query, plan="fast")


# --- what is in it

NAMES = ['it\'s "here".pdf', "a' OR '1'='1", "x'; DROP TABLE pages --", "größe/ü\\%_*.pdf", "", "line\nbreak.pdf"]


def test_names_mean_nothing_to_the_store(index: Index) -> None:
    for name in NAMES:
        index.add([page(name, 1, where=name), page(name, 2)])
    for name in NAMES:
        assert set(index.pages_of(name)) == {1, 2}
        assert {hit.document for hit in index.search(query_of(page()[1]), documents=[name])} == {name}
        assert [hit.page for hit in index.search(query_of(page()[1]), where={"where": name})] == [1]
        assert index.delete(name) == 2
    assert len(index) == 0


def test_filters(index: Index) -> None:
    index.add(
        [page(f"{kind}/{year}.pdf", number, year=year) for kind in "ab" for year in (1, 2, 3) for number in (1, 2)]
    )
    query = query_of(page()[1])

    def found(**asked) -> set[str]:
        return {hit.document for hit in index.search(query, 20, **asked)}

    assert found(where={"document": "a/*"}) == {"a/1.pdf", "a/2.pdf", "a/3.pdf"}
    assert found(where={"document": ["a/1*", "b/2*"], "year": [1, 3]}) == {"a/1.pdf"}
    assert found(where={"year": "2"}) == {"a/2.pdf", "b/2.pdf"}
    assert found(documents=["a/1.pdf", "no such"], where={"year": 1}) == {"a/1.pdf"}
    assert found(where={"month": 1}) == found(documents=[]) == set()
    with pytest.raises(UserError, match="is not a text, a number"):
        found(where={"year": {"$gt": 1}})


def test_one_hit_a_document_even_where_one_document_has_all_the_best_pages(index: Index) -> None:
    good = page("good.pdf", 1)
    copies = [(replace(good[0], number=number), good[1]) for number in range(1, 61)]
    index.add([*copies, *(page(f"{name}.pdf") for name in "xyz")])
    for plan in (Plan("exact"), Plan("bits", 10)):
        hits = index.search(query_of(good[1]), 4, group=True, plan=plan)
        assert hits[0].document == "good.pdf"
        assert {hit.document for hit in hits} == {"good.pdf", "x.pdf", "y.pdf", "z.pdf"}


def test_an_update_writes_what_changed_and_takes_away_what_is_gone(index: Index) -> None:
    index.add([page("a.pdf", number, seed=1) for number in (1, 2, 3)] + [page("b.pdf", 1, seed=1)])
    index.update("a.pdf", [page("a.pdf", 2, seed=2), page("a.pdf", 4, seed=2)], [1, 2, 4])
    assert index.pages_of("a.pdf") == {1: "1", 2: "2", 4: "2"}
    assert index.pages_of("b.pdf") == {1: "1"}
    index.update("a.pdf", [], [1])
    assert index.pages_of("a.pdf") == {1: "1"}
    with pytest.raises(UserError, match=r"b\.pdf#page=1 is not one of the pages given for 'a.pdf'"):
        index.update("a.pdf", [page("b.pdf", 1)], [1])


def test_a_hit_says_where_each_word_is_and_what_stands_there(index: Index) -> None:
    one, encoded = page(
        count=4, words=[Word(f"w{row}", (0.4, row / 40, 0.6, (row + 1) / 40)) for row in range(40)], year=3
    )
    nowhere = encoded.boxes.copy()
    nowhere[1] = np.nan
    index.add([(one, EncodedPage(encoded.vectors, nowhere))])
    vectors = np.concatenate([encoded.vectors[[3, 0, 2]], -encoded.vectors[:1]])
    query = replace(query_of(encoded), vectors=vectors, words=("low", "high", "unasked"), word_of=(0, 1, -1, 1))
    hit = index.search(query)[0]
    assert [place.word for place in hit.places] == ["low", "high"]
    assert hit.places[0].box == pytest.approx((0, 0.75, 1, 1), abs=1e-4)
    assert hit.places[1].box == pytest.approx((0, 0, 1, 0.25), abs=1e-4)
    assert hit.places[0].score == pytest.approx(1, abs=1e-3)
    assert hit.metadata == {"year": 3}
    around = hit.text.split()
    assert "…" in around and {"w4", "w35"} & set(around)
    stored = index.page("a.pdf", 1)
    assert (stored.size, stored.words[39].text, stored.encoded.vectors.shape) == ((600, 800), "w39", (4, DIM))
    assert np.isnan(stored.encoded.boxes[1]).all()
    with pytest.raises(UserError, match=r"Page 2 of 'a\.pdf' is not in the index"):
        index.page("a.pdf", 2)


def test_a_page_without_vectors_is_kept_and_never_found(index: Index) -> None:
    index.add([page("empty.pdf", count=0), page("full.pdf")])
    assert index.pages_of("empty.pdf") == {1: "0"}
    index.optimize()
    for plan in EVERYTHING:
        assert {hit.document for hit in index.search(query_of(page()[1]), plan=plan)} == {"full.pdf"}


def test_pages_of_a_single_vector(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", **(DESCRIBED | {"interaction": "single"}))
    made = [page(number=number, count=1) for number in range(1, 400)]
    index.add(made)
    for plan in ("exact", "bits"):
        hits = index.search(query_of(made[11][1], [0], ["w"]), 3, plan=plan)
        assert hits[0].page == 12 and hits[0].score == pytest.approx(1, abs=1e-3)


def test_pooled_pages_keep_the_boxes_of_what_they_stand_for(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", **DESCRIBED, pool_factor=3, precision="int8")
    one, encoded = page(count=4)
    random = np.random.default_rng(0)
    near = unit(np.repeat(encoded.vectors, 3, axis=0) + 0.02 * random.standard_normal((12, DIM)))
    index.add([(one, EncodedPage(near, np.repeat(encoded.boxes, 3, axis=0)))])
    stored = index.page("a.pdf", 1).encoded
    assert len(stored.vectors) == 4
    nearest = (encoded.vectors @ stored.vectors.T).argmax(axis=1)
    np.testing.assert_allclose(stored.boxes[nearest], encoded.boxes, atol=1e-4)


def test_side_files_are_made_by_who_writes(index: Index, monkeypatch) -> None:
    monkeypatch.setattr(index_module, "NEWER_AT_LEAST", 20)
    for first in range(1, 101, 10):
        index.add([page(number=number) for number in range(first, first + 10)])
    assert len(index.view().newer) < 20
    assert len(list((index.folder / "side").iterdir())) == 1


def test_a_reader_takes_up_side_files_and_whoever_optimises_drops_what_is_gone(index: Index) -> None:
    index.add([page(number=number) for number in range(1, 60)])
    reader = Index.open(index.folder)
    assert reader.explained(query_of(page()[1]))[1].signs_version is None
    index.optimize()
    assert reader.explained(query_of(page()[1]))[1].signs_version is not None
    index.update("a.pdf", [], [1, 2, 3])
    assert len(reader.view().signs.arrays["keys"]) == 59
    index.optimize()
    assert len(reader.view().signs.arrays["keys"]) == 3


@pytest.mark.filterwarnings("ignore:optimize")
def test_optimising_twice_leaves_the_pages_once_on_disk(index: Index) -> None:
    def size() -> int:
        return sum(file.stat().st_size for file in index.folder.rglob("*.lance"))

    for number in range(1, 9):
        index.add([page(number=number, count=400)])
    before = size()
    index.optimize()
    assert size() < 1.1 * before, "eight files are left as they are"
    index.add([page(number=9, count=400)])
    before = size()
    index.optimize()
    assert size() > 1.5 * before
    index.optimize(timedelta(0))
    assert size() < 1.1 * before
    assert len(index) == 9


def test_side_files_of_another_format_or_damaged_are_not_used(index: Index) -> None:
    made = [page(number=number) for number in range(1, 150)]
    index.add(made)
    index.optimize()
    about = next((index.folder / "side").glob("signs-*")) / "side.json"
    for text in (json.dumps(json.loads(about.read_text()) | {"format": 99}), "{", "[]"):
        about.write_text(text)
        again = Index.open(index.folder)
        hits, told = again.explained(query_of(made[5][1]), 1, plan=Plan("bits", 10))
        assert (hits[0].page, told.signs_version) == (6, None)
    again.optimize()
    assert Index.open(index.folder).view().signs is not None


# --- what is refused, in a sentence, and left as it was


def test_pages_that_do_not_fit_are_refused_whole(index: Index) -> None:
    one, encoded = page()
    wide = EncodedPage(np.ones((2, DIM + 1), np.float32), np.ones((2, 4), np.float32))
    endless = EncodedPage(encoded.vectors * np.inf, encoded.boxes)
    for pages, message in (
        ([page("b.pdf"), (one, wide)], r"a.pdf#page=1 has vectors \[2, 17\] .* takes \[n, 16\]"),
        ([(one, endless)], "not finite"),
        ([(one, encoded), (one, encoded)], "a.pdf#page=1 occurs twice"),
    ):
        with pytest.raises(UserError, match=message):
            index.add(pages)
    with pytest.raises(UserError, match="rename the file"):
        index.add([page("a\udcff.pdf")])
    assert len(index) == 0
    index.add([])
    with pytest.raises(UserError, match="not finite"):
        index.search(query_of(endless))
    with pytest.raises(UserError, match=r"The query has vectors of shape \[2, 17\]"):
        index.search(query_of(wide))
    with pytest.raises(UserError, match="k is 0; ask for"):
        index.search(query_of(encoded), 0)


def test_an_empty_index_finds_nothing(index: Index) -> None:
    for plan in (None, *EVERYTHING):
        assert index.search(query_of(page()[1]), plan=plan) == []
    index.optimize()
    assert (len(index), index.documents(), index.pages_of("x"), index.delete("x")) == (0, [], {}, 0)


def test_an_index_of_another_encoder_says_which(index: Index) -> None:
    other = SimpleNamespace(name="another", identity="f" * 32)
    with pytest.raises(UserError, match=r"was made by a test \(0123456789ab\), not by another \(ffffffffffff\)"):
        Index.open(index.folder, other)
    assert len(Index.open(index.folder, SimpleNamespace(name="a test", identity="0123456789abcdef"))) == 0


def test_folders_that_are_no_index_are_left_alone(index: Index, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no index in"):
        Index.open(tmp_path)
    with pytest.raises(UserError, match=r"There is already an index in"):
        Index.create(index.folder, **DESCRIBED)
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"is not an index and is not empty \(it contains notes.txt\)"):
        Index.create(strange, **DESCRIBED)
    assert [file.name for file in strange.iterdir()] == ["notes.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        Index.create(tmp_path / "file", **DESCRIBED)


def test_another_format_a_damaged_file_a_lost_table(index: Index) -> None:
    path = index.folder / "index.json"
    whole = json.loads(path.read_text())
    for text, message in (
        (json.dumps(whole | {"format": 2}), "has format 2, but this version of Collotype reads format 1"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        (json.dumps({"format": 1}), "has no 'encoder_name'"),
        (json.dumps(whole | {"dim": 99}), "lacks the column vectors that this version"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            Index.open(index.folder)
    path.write_text(json.dumps(whole))
    (index.folder / "pages.lance").rename(index.folder / "aside")
    with pytest.raises(UserError, match=r"The table of pages in .* is missing or damaged"):
        Index.open(index.folder)


def test_creating_goes_on_where_a_kill_left_a_table_alone(index: Index) -> None:
    (index.folder / "index.json").unlink()
    again = Index.create(index.folder, **DESCRIBED)
    again.add([page()])
    assert len(Index.open(index.folder)) == 1


def test_the_index_is_public() -> None:
    assert collotype.Index is Index
