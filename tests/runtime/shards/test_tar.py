"""Headers read as Python's tarfile reads them, in every format, and what happens to tars that are damaged."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collotype.runtime.shards.tar import BrokenTarError, members
from tests.runtime.shards.made_shards import write_tar

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\n/", exclude_categories=("Cs",)), min_size=1, max_size=60
)
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)
FORMATS = st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


@settings(max_examples=60)
@given(files=st.lists(st.tuples(PATHS, st.binary(max_size=1100), st.sampled_from("fffdl")), max_size=8), form=FORMATS)
def test_members_are_those_of_tarfile(files: list, form: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.tar"
    with tarfile.open(path, "w", format=form) as tar:
        for name, content, kind in files:
            member = tarfile.TarInfo(name)
            member.size = len(content) if kind == "f" else 0
            member.type = {"f": tarfile.REGTYPE, "d": tarfile.DIRTYPE, "l": tarfile.SYMTYPE}[kind]
            member.linkname = name[::-1] if kind == "l" else ""
            tar.addfile(member, io.BytesIO(content) if kind == "f" else None)
    with tarfile.open(path) as tar:
        wanted = [(member.name, member.offset_data, member.size) for member in tar if member.isfile()]
    with path.open("rb") as file:
        assert list(members(file)) == wanted


def test_ustar_prefixes_and_global_headers_are_followed(tmp_path: Path) -> None:
    long = "/".join(["folder" * 8] * 4) + "/picture.jpg"
    path = write_tar(tmp_path / "a.tar", [(long, b"x"), ("b.txt", b"yy")], tarfile.USTAR_FORMAT)
    with path.open("rb") as file:
        assert [(name, size) for name, _, size in members(file)] == [(long, 1), ("b.txt", 2)]
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "a commit"}) as tar:
        tar.addfile(tarfile.TarInfo("ünder " + long))
    with path.open("rb") as file:
        assert [name for name, *_ in members(file)] == ["ünder " + long]


def test_sizes_beyond_octal_are_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("large.jpg")
    header.size = 9 * 2**30
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / "large.tar"
        with path.open("wb") as file:
            content = header.tobuf(form)
            file.write(content)
            file.truncate(len(content) + header.size + 1024)
        with path.open("rb") as file:
            assert list(members(file)) == [("large.jpg", len(content), header.size)]


@pytest.mark.parametrize("keep", [511, 512 + 3, 1024, 1024 + 200, 1024 + 512])
def test_a_cut_gives_the_files_before_it(tmp_path: Path, keep: int) -> None:
    path = write_tar(tmp_path / "cut.tar", [("a.jpg", b"one"), ("a.txt", b"two")])
    path.write_bytes(path.read_bytes()[:keep])
    found = []
    with path.open("rb") as file, pytest.raises(BrokenTarError, match="ends at byte"):
        for member in members(file):
            found.append(member.name)
    assert found == ["a.jpg"] * (keep >= 515)


def test_a_damaged_header_stops_there(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "damaged.tar", [("a.jpg", b"one"), ("a.txt", b"two")])
    content = bytearray(path.read_bytes())
    content[1024] ^= 1
    path.write_bytes(content)
    with path.open("rb") as file, pytest.raises(BrokenTarError, match="byte 1,024 is not a tar header"):
        list(members(file))
