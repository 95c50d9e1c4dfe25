"""Examples in docstrings and on the page about Python run as they stand."""

from __future__ import annotations

import ast
import doctest
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

mpl.use("Agg")

ROOT = Path(__file__).parents[1]
WITH_EXAMPLES = sorted(
    path for folder in ("metrics", "uncertainty") for path in (ROOT / "bench" / folder).glob("*.py")
    if ">>>" in path.read_text()
)  # fmt: skip


def test_the_page_about_python_runs():
    failed, tried = doctest.testfile(str(ROOT / "site/content/python.md"), module_relative=False)
    assert tried >= 20
    assert failed == 0


def test_the_guide_to_python_runs(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(ROOT / "docs/python.md"), module_relative=False)
    assert tried >= 20
    assert failed == 0
    assert (tmp_path / "roc.svg").is_file()


def run_notebook(path):
    """Run the code cells in order; a last line that is an expression is displayed, as a notebook does."""
    notebook = json.loads(path.read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    names: dict[str, Any] = {}
    displayed = []
    for cell in notebook["cells"]:
        assert {"cell_type", "id", "metadata", "source"} <= set(cell)
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None), "stored without output"
            tree = ast.parse("".join(cell["source"]))
            last = tree.body[-1] if isinstance(tree.body[-1], ast.Expr) else None
            tree.body = tree.body[:-1] if last else tree.body
            exec(compile(tree, path.name, "exec"), names)
            if last:
                value = eval(compile(ast.Expression(last.value), path.name, "eval"), names)
                if hasattr(value, "_repr_html_"):
                    displayed.append(value._repr_html_())
    assert all("<table" in html for html in displayed)
    return names, displayed


def test_the_notebook_of_the_linear_probe_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names, displayed = run_notebook(ROOT / "docs/notebooks/linear_probe.ipynb")
    assert len(displayed) == 4  # cohort, table of train, scorecard, board
    assert (names["folder"] / "roc.svg").is_file()
    assert names["folder"].parent == tmp_path
    (card,) = names["card"].scorecards
    assert card.headline in {target.target for target in card.targets}
    assert names["entry"].has_val


def test_the_notebook_of_the_statistics_runs():
    names, displayed = run_notebook(ROOT / "docs/notebooks/statistics.ipynb")
    assert len(displayed) == 3  # evaluation, comparison, frame
    drawn = [line.get_xdata()[0] for line in names["axes"].get_lines()]
    assert drawn[0] == names["result"].auroc.value


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
