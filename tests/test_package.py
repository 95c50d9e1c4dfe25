"""The array interface: names that load when they are first used, and nothing heavy before."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest

import bench

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", bench.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    found = getattr(bench, name)
    assert name in dir(bench)
    if name != "__version__":
        assert found.__doc__
        if not isinstance(found, ModuleType):
            assert getattr(importlib.import_module(found.__module__), name) is found


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        bench.nonsense  # type: ignore[attr-defined]  # noqa: B018


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


def test_pages_are_built_without_numerical_libraries():
    numerical = {"numpy", "scipy", "numba", "pandas", "pyarrow", "sklearn"}
    code = (
        "import sys, bench.actions.site, bench.publish.views.site\n"
        f"sys.exit(', '.join({numerical} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_source_distribution_holds_what_the_tests_and_the_makefile_read() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = [*project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"], "pyproject.toml"]
    code = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = {
        *re.findall(r'ROOT / "([\w.-]+)', code),
        *re.findall(r"\t(\.ci)/", (ROOT / "Makefile").read_text()),
    }
    assert {"requirements-core.lock", "submissions", ".ci"} <= named
    generated = {".venv", "data"}
    without = {name for name in named - generated if not any(fnmatch(name, pattern) for pattern in patterns)}
    assert without == {".github"}, "workflows are of the repository alone"


def test_the_version_is_declared_once_and_repeated_for_readers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert (project["project"].get("version"), project["project"]["dynamic"]) == (None, ["version"])
    declared = ROOT / project["tool"]["hatch"]["version"]["path"]
    assert declared.read_text("utf-8").count(f'\n__version__ = "{bench.__version__}"\n') == 1
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    # The top level of the file; the data set that it refers to has a version of its own.
    fields = dict(re.findall(r"(?m)^(version|date-released): (.+)$", citation))
    assert fields["version"] == bench.__version__
    released = f"\n## {bench.__version__} ({fields['date-released']})\n"
    assert released in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_citation_names_the_authors_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    cited = re.findall(r"(?m)^  - name: (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited == [author["name"] for author in project["authors"]]
    assert cited


@pytest.mark.parametrize("package", ["bench", "baselines"])
def test_type_checkers_of_other_projects_read_the_annotations(package: str) -> None:
    assert files(package).joinpath("py.typed").is_file()
