"""Bulk encoding: whatever reads and encodes, the same table."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collotype.search.index import Index
from tests.small_pdf import small_pdf


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("changed", "gone", "same"):
        (folder / f"{name}.pdf").write_bytes(small_pdf([[f"A page of {name}"], ["Another"], ["A third"]]))
    return folder


def more_files(folder: Path) -> None:
    """More documents than a task reads, more pages than an actor takes at once, some that cannot be read."""
    for name in range(9):
        pages = [[f"Chapter {name}", f"part {number} of the report"] for number in range(1, 3 + 18 * (name == 4))]
        (folder / f"{name}.pdf").write_bytes(small_pdf([*pages, []]))
    (folder / "changed.pdf").write_bytes(small_pdf([["A page of changed"], ["Something else"]]))
    (folder / "gone.pdf").unlink()
    (folder / "broken.pdf").write_bytes(b"no PDF")
    (folder / "empty.png").write_bytes(b"")
    Image.new("RGB", (60, 40), "white").save(folder / "blank.png")


def test_ray_makes_the_table_of_the_single_process(cli, files: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")

    def index(to: str, *engine: str) -> dict:
        done = cli("index", files, "--to", tmp_path / to, "--json", *engine)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        report = json.loads(done.stdout)
        return {**report, "index": "", "skipped": sorted(report["skipped"], key=lambda one: one["document"])}

    index("single")
    shutil.copytree(tmp_path / "single", tmp_path / "ray")
    more_files(files)
    report = index("ray", "--engine", "ray", "--workers", "2")
    assert report == index("single")
    assert (report["added"], report["unchanged"], report["removed"]) == (47, 4, 4)
    assert {one["document"]: one["cause"] for one in report["skipped"]} == {
        "broken.pdf": "damaged, or no PDF",
        "empty.png": "cannot be read",
    }
    assert_same(tmp_path / "ray", tmp_path / "single")


def assert_same(one: Path, other: Path) -> None:
    """Documents, pages, digests, sizes, words, vectors, boxes, and what is known of the files."""
    left, right = Index.open(one), Index.open(other)
    assert left.documents() == right.documents() and left.manifest == right.manifest
    assert (one / "sources.json").read_text() == (other / "sources.json").read_text()
    for document in left.documents():
        assert left.pages_of(document.name) == right.pages_of(document.name)
        for number in left.pages_of(document.name):
            page, same = left.page(document.name, number), right.page(document.name, number)
            assert (page.size, page.words, page.metadata) == (same.size, same.words, same.metadata)
            np.testing.assert_array_equal(page.encoded.boxes, same.encoded.boxes)
            # in another batch a sum may be a last bit off, which fp16 rounds to its own
            np.testing.assert_allclose(page.encoded.vectors, same.encoded.vectors, atol=2**-11)


def test_without_ray_a_sentence_says_what_to_install(cli, files: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "ray.py").write_text("raise ImportError('No module named ray')")
    path = ":".join([str(tmp_path / "site"), *filter(None, sys.path)])
    done = cli("index", files, "--to", tmp_path / "new", "--engine", "ray", env={"PYTHONPATH": path})
    assert done.returncode == 2 and "pip install 'collotype[scale]'" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_cluster_that_is_not_there_is_named(cli, files: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    done = cli("index", files, "--to", tmp_path / "new", "--engine", "ray", env={"RAY_ADDRESS": "127.0.0.1:9"})
    assert done.returncode == 2 and "There is no Ray cluster at 127.0.0.1:9" in done.stderr, done.stderr
    assert not (tmp_path / "new").exists()
