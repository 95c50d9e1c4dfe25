"""TOML that people write: each fault of syntax has a place and a plain reason."""

from __future__ import annotations

import pytest

from bench.documents import read_table
from bench.errors import BenchError


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ('a = "x"\nkind = model\n', "line 2, column 8", "Invalid value; text stands in double quotes"),
        ("name: x", "line 1, column 5", "Expected '='.*a line is `key = value`"),
        ("cxr_filename,slvh\n", "line 1, column 13", "Expected '='"),
        ('\n\na = "x\nb = 1', "line 3, column 7", "text ends on its own line"),
        ('a = "\\q"', "line 1, column 8", "in single quotes"),
        ("a = [1,\n2,\n", "at its end (line 2)", "Invalid value"),
        ("a = ", "at its end (line 1)", "Invalid value"),
        ("[a]\n[a]", "line 2, column 3", "twice"),
        ('{"name": "x"}', "line 1, column 1", "looks like JSON"),
    ],
)
def test_a_fault_has_its_place_and_a_reason(text: str, place: str, says: str) -> None:
    with pytest.raises(BenchError, match=says) as caught:
        read_table(text, "manifest-invalid", "m.toml")
    (problem,) = caught.value.problems
    assert (problem.code, problem.where) == ("manifest-invalid", f"m.toml, {place}")


@pytest.mark.parametrize(
    ("text", "says"), [("a = " + "[" * 5000, "nested too deeply"), ("a = " + "9" * 5000, "too long")]
)
def test_pythons_own_limits_are_no_traceback(text: str, says: str) -> None:
    with pytest.raises(BenchError, match=says) as caught:
        read_table(text, "manifest-invalid", "m.toml")
    assert caught.value.problems[0].where == "m.toml"


def test_sound_toml_is_read() -> None:
    assert read_table('a = 1\n[b]\nc = ["d"]', "manifest-invalid", "m.toml") == {"a": 1, "b": {"c": ["d"]}}
