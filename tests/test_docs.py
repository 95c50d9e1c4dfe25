"""Examples in docstrings and on the page about Python run as they stand."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITH_EXAMPLES = sorted(
    path for folder in ("metrics", "uncertainty") for path in (ROOT / "bench" / folder).glob("*.py")
    if ">>>" in path.read_text()
)  # fmt: skip


def test_the_page_about_python_runs():
    failed, tried = doctest.testfile(str(ROOT / "site/content/python.md"), module_relative=False)
    assert tried >= 20
    assert failed == 0


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_docstrings_run(path):
    module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    result = doctest.testmod(module, extraglobs={"np": import_module("numpy")})
    assert result.attempted > 0
    assert result.failed == 0


def test_the_guides_show_the_plug_ins_that_the_tests_install():
    text = (ROOT / "docs/extending.md").read_text("utf-8")
    shown = re.findall(r"`(tests/plugins/[^`]+)`:\n\n```\w+\n(.*?)\n```", text, re.DOTALL)
    assert len(shown) == 5
    for path, block in shown:
        assert block == (ROOT / path).read_text("utf-8").rstrip("\n"), path


def test_the_guide_for_a_column_shows_the_column_that_the_tests_install():
    from tests.plugins.test_column import COLUMN

    assert f"```python{COLUMN}```" in (ROOT / "docs/extending.md").read_text("utf-8")
