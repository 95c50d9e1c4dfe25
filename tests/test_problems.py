"""Problem codes: the catalogue and the source name the same ones, and every page says what to do."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest

from bench.errors import (
    EXIT_ENVIRONMENT,
    BenchError,
    Problem,
    catalogue,
    explanation,
    raise_errors,
)
from bench.scoring.scorecard import Flag

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for package in ("bench", "baselines") for path in (ROOT / package).rglob("*.py"))
KEBAB = re.compile(r"[a-z]+(-[a-z]+)+")


def strings(tree: ast.AST) -> set[str]:
    return {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def said_codes(tree: ast.AST) -> set[str]:
    """Constants that become a code: of a `Problem`, of a `Flag`, and the code that a reader is handed."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "Problem" and node.args:
                found |= strings(node.args[0])
            if name == "Flag":
                found |= {text for key in node.keywords if key.arg == "code" for text in strings(key.value)}
            if name in {"parse", "parse_toml", "read_toml", "read_json", "read_table", "read_text"}:
                found |= {text for arg in node.args[1:] for text in strings(arg) if KEBAB.fullmatch(text)}
    return found


def test_every_code_of_the_source_is_in_the_catalogue() -> None:
    used = {code: path for path in SOURCES for code in said_codes(ast.parse(path.read_text("utf-8")))}
    assert len(used) > 80
    assert {code: str(path) for code, path in used.items() if code not in catalogue()} == {}


def test_every_code_of_the_catalogue_is_used() -> None:
    used = {text for path in SOURCES for text in strings(ast.parse(path.read_text("utf-8")))}
    assert sorted(set(catalogue()) - used) == []


@pytest.mark.parametrize("code", sorted(catalogue()))
def test_every_page_says_what_it_means_and_what_to_do(code: str) -> None:
    page = explanation(code)
    assert KEBAB.fullmatch(code)
    assert 5 <= len(page.title) <= 80
    assert page.title[0].isupper() or page.title.startswith(("bench.toml", "submission.toml"))
    assert page.meaning.endswith((".", "`"))
    assert page.remedy.rstrip("`")[-1] in ".)'\""
    assert len(page.meaning) > 20


def test_the_source_of_the_catalogue_repeats_no_code() -> None:
    heads = re.findall(r"(?m)^\[([^\]]+)\]", (ROOT / "bench" / "problems.toml").read_text("utf-8"))
    assert len(heads) == len(set(heads)) == len(catalogue())


def test_an_unknown_code_gets_the_nearest_ones() -> None:
    with pytest.raises(BenchError) as caught:
        explanation("predictions-nann")
    assert caught.value.problems[0].code == "unknown-code"
    assert "predictions-nan" in caught.value.problems[0].remedy
    with pytest.raises(BenchError) as caught:
        explanation("zzz")
    assert "explain --list" in caught.value.problems[0].remedy


def test_a_problem_takes_the_remedy_of_its_page_unless_it_has_its_own() -> None:
    assert Problem("slug-taken", "x").as_dict()["remedy"] == catalogue()["slug-taken"].remedy
    assert Problem("slug-taken", "x", remedy="y").as_dict() == {
        "code": "slug-taken",
        "message": "x",
        "where": "",
        "remedy": "y",
        "severity": "error",
    }


def test_warnings_alone_stop_nothing_and_travel_with_errors() -> None:
    warning = Problem("predictions-constant", "w", severity="warning")
    raise_errors([warning])
    with pytest.raises(BenchError) as caught:
        raise_errors(iter([warning, Problem("slug-taken", "e")]))
    assert [p.message for p in caught.value.problems] == ["w", "e"]
    assert caught.value.exit_code == 1


def test_an_error_comes_back_whole_from_another_process() -> None:
    error = BenchError(Problem("slug-taken", "x", "here"), EXIT_ENVIRONMENT)
    back = pickle.loads(pickle.dumps(error))
    assert (back.problems, back.exit_code, str(back)) == (error.problems, 3, str(error))


def test_a_flag_is_shown_by_the_title_of_its_page() -> None:
    flag = Flag(code="below-age-and-sex", message="m", target="slvh")
    assert flag.label == "below age and sex alone"
    assert explanation("below-age-and-sex").title == "Below age and sex alone"


def test_an_error_lists_every_problem_in_lines() -> None:
    notice = Problem("predictions-dropped", "4 rows dropped.", severity="notice")
    error = BenchError([Problem("slug-taken", "In use.", "submissions", "Choose another."), notice])
    lines = ["slug-taken: In use.", "  where: submissions", "  to do: Choose another."]
    assert str(error).splitlines() == [*lines, "predictions-dropped: 4 rows dropped."]
