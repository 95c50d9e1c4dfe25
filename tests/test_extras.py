"""Extras: what each makes possible, and the message where it is not installed.

Absent packages are simulated in a process of its own, in which a finder refuses to import them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import bench
from bench.extras import CORE, EXTRA_OF, MissingExtraError, missing_extra, require

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]

ABSENT = """
import importlib.abc, importlib.util, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

def find_spec(name, package=None):
    return None if name.partition(".")[0] in {absent} else real(name, package)

real, importlib.util.find_spec = importlib.util.find_spec, find_spec
sys.meta_path.insert(0, Absent())
"""
"""Refuses to import packages; ``importlib.util.find_spec`` does not find them either."""


def name(requirement: str) -> str:
    return re.split(r"[<>=\[ ]", requirement)[0].lower().replace("_", "-")


def with_requirements(extra: str | None) -> set[str]:
    """Distributions that an extra installs, those of the extras that it names included, and the core's."""
    found = {name(line) for line in PROJECT["dependencies"]}
    for line in EXTRAS[extra] if extra else ():
        if line.startswith("chexchobench["):
            for other in line[len("chexchobench[") :].rstrip("]").split(","):
                found |= with_requirements(other)
        else:
            found.add(name(line))
    return found


@cache
def installed_with(extra: str | None) -> frozenset[str]:
    """Distributions that an extra installs, and what these require themselves."""
    waiting, found = with_requirements(extra), set[str]()
    while waiting:
        found.add(distribution := waiting.pop())
        try:
            lines = map(Requirement, requires(distribution) or ())
        except PackageNotFoundError:  # TensorRT is not installed here
            continue
        needed = {name(r.name) for r in lines if r.marker is None or r.marker.evaluate({"extra": ""})}
        waiting |= needed - found
    return frozenset(found)


packages = cache(packages_distributions)


def absent_packages(*extras: str | None) -> set[str]:
    """Packages, by the name of their import, that only other extras install."""
    others = set().union(*map(installed_with, EXTRAS)).difference(*map(installed_with, extras))
    by_module = packages().items()
    return {module for module, found in by_module if {name(d) for d in found} <= others}


def run(code: str, *extras: str | None) -> subprocess.CompletedProcess[str]:
    """Run code where only these extras are installed; None is the core."""
    program = ABSENT.format(absent=absent_packages(*extras)) + code
    words = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)


def works(code: str, *extras: str | None) -> str:
    done = run(code, *extras)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_core_is_numpy_scipy_and_numba() -> None:
    assert with_requirements(None) == {"numpy", "scipy", "numba"}
    assert {"pandas", "pydantic", "typer", "torch", "matplotlib", "onnx", "distributed"} <= absent_packages(
        None
    )


def test_the_core_gives_the_statistics() -> None:
    shown = works(
        "import bench\n"
        "y, p, q, who = [0, 1, 0, 1], [.1, .9, .4, .3], [.2, .3, .1, .9], [1, 2, 3, 4]\n"
        "one, other = bench.evaluate(y, p, who, 100), bench.compare(y, p, q, who, replicates=100)\n"
        "boot = bench.PatientBootstrap(who, 100)\n"
        "both = [bench.evaluate(y, s, bootstrap=boot) for s in (p, q)]\n"
        "every = bench.compare_all_pairs([e.auroc_replicates for e in both], [e.auroc.value for e in both],\n"
        "                                [e.auroc_influence for e in both])\n"
        "pairs = bench.evaluate_continuous([1.0, 2.0, 3.5], [1.1, 1.9, 3.0], [1, 2, 3], 100)\n"
        "size = bench.split_resolution(y * 30, list(range(120)), auroc=0.8)\n"
        "for result in (one, other, every, pairs):\n"
        "    assert '<table>' in result._repr_html_() and len(repr(result)) < 200\n"
        "print(one.auroc.value, bench.auroc(y, q), size.half_width_low > 0)\n"
        "try:\n"
        "    one.to_frame()\n"
        "except ImportError as error:\n"
        "    print(error)\n",
        None,
    )
    figures, error = shown.splitlines()
    assert figures == "0.75 1.0 True"
    assert error.endswith("pip install 'chexchobench[board]'")


@pytest.mark.parametrize("word", ["submit", "read_board", "load_cohort", "build_site"])
def test_a_missing_package_is_named_with_its_extra(word: str) -> None:
    shown = works(
        f"import bench\ntry:\n    bench.{word}\nexcept ImportError as error:\n    print(error)", None
    )
    assert shown.startswith(f"extra-missing: `bench.{word}` needs the package ")
    assert shown.rstrip().endswith("to do: pip install 'chexchobench[board]'")


def test_the_command_line_names_its_extra() -> None:
    done = run("from bench.__main__ import main\nmain()", None)
    assert done.returncode == 3
    assert "The command `bench` needs the package typer" in done.stderr
    assert "pip install 'chexchobench[board]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert PROJECT["scripts"]["bench"] == "bench.__main__:main"


def test_the_board_scores_entries_without_torch_onnx_or_matplotlib(tmp_path: Path) -> None:
    shown = works(
        f"""
import bench
bench.write_demo({str(tmp_path / "demo")!r}, patients=60, images=False)
bench.create_workspace({str(tmp_path / "ws")!r}, data={{"demo": {str(tmp_path / "demo")!r}}})
cohort = bench.load_cohort("demo", workspace={str(tmp_path / "ws")!r})
test = cohort.frame("test")
columns = {{"image_id": test["image_id"], "composite_slvh_dlv": test["age"] / 100}}
entry = bench.submit(columns, cohort=cohort, name="Age")
card = bench.score(entry, cohort=cohort, replicates=20, jobs=1)
print(len(card.to_frame()), bench.read_board(cohort).to_frame()["slug"].unique())
for call in (lambda: cohort.torch_dataset("val"), lambda: bench.plot.roc(card)):
    try:
        call()
    except bench.BenchError as error:
        print(error)
from bench.cli.main import app
""",
        "board",
    )
    assert "['age']" in shown
    assert "`torch_dataset` needs the package torch" in shown
    assert "pip install 'chexchobench[torch]'" in shown
    assert "`bench.plot` needs the package matplotlib" in shown
    assert "pip install 'chexchobench[plot]'" in shown


def test_plot_needs_nothing_but_the_core() -> None:
    shown = works(
        "import matplotlib; matplotlib.use('Agg')\n"
        "import bench\n"
        "result = bench.evaluate([0, 1, 0, 1], [.1, .9, .4, .3], [1, 2, 3, 4], 100)\n"
        "axes = bench.plot.forest({'ours': result})\n"
        "print(axes.get_yticklabels()[0].get_text())\n",
        "plot",
    )
    assert shown.strip() == "ours"


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ("torch", "import bench.torch_dataset"),
        ("onnx", "import onnx, onnxruntime, bench.onnx.file, bench.runtime.predict"),
        ("dask", "import distributed, bench.scoring.cluster"),
        pytest.param(
            "baselines", "import monai, onnxscript, baselines.networks.train", marks=pytest.mark.full_size
        ),
    ],
)
def test_each_extra_installs_what_its_modules_import(extra: str, code: str) -> None:
    works(code, extra, "plot")  # torchmetrics asks the metadata for matplotlib, not the finder


def test_every_package_that_a_message_names_is_installed_by_its_extra() -> None:
    for package, extra in EXTRA_OF.items():
        assert package in with_requirements(extra), package
        assert package not in with_requirements("board"), package
    assert {name(line) for line in PROJECT["dependencies"]} == set(CORE) - {"bench"}
    assert all(error in EXTRAS for error in EXTRA_OF.values())


def test_a_missing_module_of_this_package_is_a_bug_and_stays_one() -> None:
    for lost in ("bench.nowhere", "numpy", None):
        error = ModuleNotFoundError("no module", name=lost)
        assert missing_extra(error, "`bench.x`") is error
    with pytest.raises(MissingExtraError) as caught:
        require("a_package_that_nobody_has", "`bench.x`")
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, bench.BenchError)
    assert caught.value.exit_code == 3
