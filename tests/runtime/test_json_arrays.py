"""Long arrays in JSON files, read in blocks of any size."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collotype.runtime import json_arrays
from collotype.runtime.errors import UserError
from collotype.runtime.json_arrays import JsonArray

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    elements=st.lists(VALUES, max_size=5),
    others=st.dictionaries(st.text(max_size=3), VALUES, max_size=3),
    block=st.integers(16, 60),
    indent=st.sampled_from([None, 1]),
)
def test_elements_and_the_other_members(tmp_path: Path, elements, others, block, indent) -> None:
    path = tmp_path / "file.json"
    first, *last = [*others.items(), ("long array", elements)][::-1], *others.items()
    for members in (first, [*last, ("long array", elements)]):
        path.write_text(json.dumps(dict(members), indent=indent))
        array = JsonArray(path, "long array")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_arrays, "BLOCK", block)
            assert list(array) == elements
        assert array.others == others


@pytest.mark.parametrize(
    "content", ['{"a": [1, 2', '{"a": [1 2]}', '{"b": []}', "[]", "", '{"a": {}}', '{"a": [{"b": "c]}', '{"a": [nul]}']
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"file\.json cannot be read"):
        list(JsonArray(path, "a"))
    with pytest.raises(UserError, match=r"none\.json cannot be read"):
        list(JsonArray(tmp_path / "none.json", "a"))
