"""Examples in docstrings and on the page about Python run as they stand."""

from __future__ import annotations

import doctest
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
