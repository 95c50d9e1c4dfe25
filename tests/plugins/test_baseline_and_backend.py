"""A baseline and a backend that another package adds: one module each, listed, run and timed like our own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.choices import Track
from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.submission.packed import unpack
from bench.workspace import Workspace, create_workspace
from tests.baselines.conftest import SPEC, write_tiny
from tests.conftest import Cli
from tests.plugins.test_metric import install, python

EXAMPLE = Path(__file__).parent / "example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example is installed; confined workers may read folders of this name."""
    folder = tmp_path_factory.mktemp("plugins") / "site-packages"
    folder.mkdir()
    return install(EXAMPLE, folder)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = create_workspace(tmp_path_factory.mktemp("space"), cohort="tiny.toml")
    (made.root / "tiny.toml").write_text(SPEC)
    write_tiny(made.data("tiny"), patients=40)
    return made


def result(done: subprocess.CompletedProcess[str]) -> dict:
    """What a command with --json found."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["result"]


def test_each_is_one_module_beside_the_packages_declaration() -> None:
    files = sorted(path.name for path in EXAMPLE.iterdir() if path.is_file())
    assert files == ["bench_age.py", "bench_reference.py", "pyproject.toml"]


def test_the_baseline_is_listed_after_our_own(
    site: Path, space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    baselines = result(python(site, "-m", "bench", "baseline", "list", "--json", folder=space.root))[
        "baselines"
    ]
    monkeypatch.chdir(space.root)
    ours = cli("baseline", "list", "--json").object["result"]["baselines"]
    assert baselines == [*ours, {"name": "age-alone", "summary": "age in centuries"}]


def test_the_baseline_is_run_and_submitted_like_our_own(site: Path, space: Workspace) -> None:
    words = ("-m", "bench", "baseline", "run", "age-alone", "--json")
    assert result(python(site, *words, folder=space.root))["submitted"] == ["age-alone"]
    cohort = load_cohort(load_spec(str(space.root / "tiny.toml")), space.data("tiny"))
    stored = unpack(space.submission("tiny", "age-alone") / "predictions.parquet", cohort, Track.HOLDOUT)
    table = pd.read_csv(space.data("tiny") / "metadata.csv").set_index("image")
    age = table.loc[list(cohort.images[cohort.rows("test")]), "age"].fillna(60.0).to_numpy() / 100
    assert set(stored) == {"large", "rare"}
    np.testing.assert_array_equal(stored["large"], age)


def test_the_backend_is_listed_as_ready(site: Path, space: Workspace) -> None:
    backends = result(python(site, "-m", "bench", "time", "--list", "--json", folder=space.root))["backends"]
    assert backends["onnx-reference"] == {"ok": True, "reason": "", "remedy": ""}
    assert list(backends)[-1] == "onnx-reference"


TIMED = """
import json, sys
from pathlib import Path
import bench
import bench.actions.time as timing
import bench.timing.time_model as time_model
from bench.timing.record import Roofline
from bench.workspace import create_workspace
from tests.runtime.models import linear_model, manifest, save, tiny_cohort
from tests.timing.fakes import BRIEF
timing.QUICK = BRIEF
time_model.measure_roofline = lambda *_, **__: Roofline(reason="not requested")
folder = Path(sys.argv[1])
cohort = tiny_cohort(folder / "c", 24)
space = create_workspace(folder / "space", "demo", {"tiny": cohort.folder})
model = save(linear_model(), folder / "one.onnx")
entry = bench.submit(model=model, slug="one", manifest=manifest(), cohort=cohort, workspace=space)
found = bench.time_entries(
    entry, backends=["onnx-reference"], batches=(2,), quick=True, cohort=cohort, workspace=space
)
(timed,) = found.timed
print(json.dumps([timed.record.plain(), [str(p) for p in found.problems], timed.path.name]))
"""


def test_the_backend_times_an_entry_and_gives_its_predictions(site: Path, tmp_path: Path) -> None:
    done = python(site, "-c", TIMED, tmp_path)
    assert done.returncode == 0, done.stderr
    record, problems, name = json.loads(done.stdout)
    assert problems == []
    assert "onnx-reference" in name
    assert (record["backend"], record["backend_label"]) == ("onnx-reference", "ONNX reference")
    (row,) = record["batches"]
    assert (row["status"], row["parity"]["status"]) == ("ok", "passed"), row["message"]
    assert row["end_to_end"]["p50"]["value_ms"] > 0


@pytest.mark.parametrize(
    ("group", "declaration", "words", "says"),
    [
        ("baselines", "THING = 1", ["baseline", "list"], "is a int, not a baselines.api.Baseline"),
        ("baselines", "raise OSError('no licence')", ["baseline", "list"], "OSError: no licence"),
        ("backends", "THING = 'x'", ["time", "--list"], "it lacks name, label"),
        (
            "backends",
            "from bench.runtime.backends.onnxruntime_cpu import OnnxRuntimeCpu\nTHING = OnnxRuntimeCpu()",
            ["time", "--list"],
            "has the name 'onnxruntime-cpu', which is in use",
        ),
    ],
)
def test_a_broken_plug_in_is_named(
    tmp_path: Path, group: str, declaration: str, words: list[str], says: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "bench_broken.py").write_text(declaration)
    (source / "pyproject.toml").write_text(
        f'[project]\nname = "bench-broken"\nversion = "1.0"\n'
        f'[project.entry-points."bench.{group}"]\nthing = "bench_broken:THING"\n'
    )
    done = python(install(source, tmp_path), "-m", "bench", *words, "--json")
    (problem,) = json.loads(done.stdout)["problems"]
    assert (done.returncode, problem["code"]) == (3, "plugin-broken")
    assert "of the package bench-broken" in problem["message"]
    assert says in problem["message"]
    assert "bench-broken" in problem["remedy"]
