"""The array interface: names that load when they are first used, and nothing heavy before."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

import bench

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", bench.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    found = getattr(bench, name)
    assert name in dir(bench)
    if name != "__version__":
        assert found.__doc__
        assert getattr(importlib.import_module(found.__module__), name) is found


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        bench.nonsense  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = {"numpy", "numba", "pandas", "scipy"}
    code = f"import sys, bench; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_scoring_arrays_needs_no_table_library_and_no_torch() -> None:
    code = (
        "import sys, bench\n"
        "result = bench.evaluate([0, 1, 0, 1], [.1, .9, .4, .3], [1, 2, 3, 4], replicates=100)\n"
        "assert result.auroc.value == 0.75\n"
        "sys.exit(', '.join({'pandas', 'pyarrow', 'torch', 'typer', 'pydantic'} & set(sys.modules)) or 0)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_the_source_distribution_holds_what_the_tests_and_the_makefile_read() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = [*project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"], "pyproject.toml"]
    code = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = {
        *re.findall(r'ROOT / "([\w.-]+)', code),
        *re.findall(r"\t(\.ci)/", (ROOT / "Makefile").read_text()),
    }
    assert {"requirements-core.lock", "submissions", ".ci"} <= named
    without = {name for name in named if not any(fnmatch(name, pattern) for pattern in patterns)}
    assert without == {".github"}, "workflows are of the repository alone"


def test_the_version_is_the_distributions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert bench.__version__ == project["version"]
    assert f"\n## {bench.__version__} " in (ROOT / "CHANGELOG.md").read_text("utf-8")
