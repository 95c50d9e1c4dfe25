"""A metric that another package adds: two files, seen wherever metrics are listed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from bench.workspace import Workspace
from tests.tiny import MANIFEST

ROOT = Path(__file__).parents[2]
EXAMPLE = Path(__file__).parent / "f1"
KEY = "f1_at_90_specificity"


def install(source: Path, site: Path) -> Path:
    """Copies a package of one module, with the metadata that an installer makes of its pyproject."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    for module in source.glob("*.py"):
        (site / module.name).write_bytes(module.read_bytes())
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = project["entry-points"].items()
    (metadata / "entry_points.txt").write_text(
        "\n".join(
            line
            for group, points in groups
            for line in (f"[{group}]", *(f"{name} = {place}" for name, place in points.items()))
        )
    )
    return site


def write_plugin(folder: Path, declaration: str) -> Path:
    """A package `bench-other` whose module holds `declaration`, installed into `folder`."""
    source = folder / "source"
    source.mkdir()
    (source / "bench_other.py").write_text(
        f"from bench.metrics.metric import Direction, Metric, Needs\n{declaration}\n"
    )
    (source / "pyproject.toml").write_text(
        '[project]\nname = "bench-other"\nversion = "1.0"\n'
        '[project.entry-points."bench.metrics"]\nother = "bench_other:METRIC"\n'
    )
    site = folder / "site-packages"
    site.mkdir()
    return install(source, site)


def python(site: Path, *words: str | Path, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run Python with the plug-ins of a folder."""
    paths = os.pathsep.join((str(site), str(ROOT)))
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def f1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(EXAMPLE, tmp_path_factory.mktemp("plugins"))


def test_a_metric_is_two_files() -> None:
    assert sorted(path.name for path in EXAMPLE.iterdir() if path.is_file()) == [
        "bench_f1.py",
        "pyproject.toml",
    ]


EVALUATE = f"""
import json, numpy as np, bench
rng = np.random.default_rng(0)
patient = np.arange(400) // 2
y = (rng.random(200) < 0.3)[patient].astype(int)
p = 1 / (1 + np.exp(1 - 2 * y - rng.normal(size=400)))
result = bench.evaluate(y, p, patient, replicates=200)
pair = bench.compare(y, p, p[::-1], patient, metric={KEY!r}, replicates=200)
found = result.{KEY}
numbers = [found.value, found.low, found.high, found.method]
print(json.dumps([y.tolist(), p.tolist(), *numbers]))
print(json.dumps([list(result), pair.difference, pair.low, pair.high]))
"""


def test_evaluate_and_compare_give_it_with_an_interval(f1: Path) -> None:
    done = python(f1, "-c", EVALUATE)
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    y, p, value, low, high, method = (np.array(x) if isinstance(x, list) else x for x in first)
    called = [np.mean((p >= cut)[y == 0]) <= 0.1 + 1e-9 for cut in np.sort(p)]
    threshold = np.sort(p)[np.argmax(called)]  # the lowest that keeps 90% specificity, hence most sensitive
    best = np.mean((p >= threshold)[y == 1])
    cuts = [c for c in np.sort(p) if np.mean((p >= c)[y == 0]) <= 0.1 and np.mean((p >= c)[y == 1]) == best]
    assert value == pytest.approx(f1_score(y, p >= max(cuts)), abs=1e-12)
    assert 0 < low < value < high < 1
    assert method == "logit-t"
    keys, difference, lower, upper = second
    assert keys[0] == "auroc"
    assert keys[-1] == KEY
    assert lower < difference < upper


COMMANDS = """
import json, sys
from bench.cli.main import app
for words in json.loads(sys.argv[1]):
    try:
        app(words)
    except SystemExit as end:
        if end.code:
            raise
"""


def test_scorecard_csv_and_pages_show_it(
    f1: Path, space: Workspace, good: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "submission.toml").write_text(MANIFEST)
    good.to_csv(tmp_path / "p.csv", index=False)

    commands = (
        ("submit", str(tmp_path / "p.csv"), "--slug", "one"),
        ("score", "one", "--replicates", "100", "--jobs", "1"),
        ("verify", "--jobs", "1"),
        ("site", "build"),
    )
    done = python(f1, "-c", COMMANDS, json.dumps(commands), folder=space.root)
    assert done.returncode == 0, done.stderr
    card = json.loads(space.submission("chexchonet", "one").joinpath("scorecard.json").read_text())
    stored = {target["target"]: target["metrics"][KEY] for target in card["targets"]}
    assert 0 < stored["slvh"]["low"] < stored["slvh"]["value"] < stored["slvh"]["high"]
    pages = space.site
    entry = (pages / "e" / "one" / "index.html").read_text()
    row = re.search(r"F1 at 90% specificity</th>(.*?)</tr>", entry)
    assert row is not None
    assert f"{stored['slvh']['value']:.3f}" in row.group(1)
    methods = (pages / "methods" / "index.html").read_text()
    assert "Harmonic mean of precision and sensitivity at the threshold" in methods
    rows = csv.DictReader(io.StringIO((pages / "leaderboard.csv").read_text()))
    shown = {row["target"]: float(row[KEY]) for row in rows}
    assert shown == pytest.approx({target: one["value"] for target, one in stored.items()}, abs=1e-8)


def test_bench_explains_it(f1: Path) -> None:
    explained = json.loads(python(f1, "-m", "bench", "explain", KEY, "--json").stdout)["result"]
    assert explained["label"] == "F1 at 90% specificity"
    assert explained["direction"] == "higher"


FIELDS = 'label="A", short_label="A", definition="A.", direction=Direction.HIGHER, needs=Needs.RANKING'


@pytest.mark.parametrize(
    ("declaration", "words"),
    [
        (
            f'METRIC = Metric(key="auroc", value=len, {FIELDS})',
            "'auroc', which this package declares already",
        ),
        (
            f'METRIC = Metric(key="a", aliases=("average_precision",), value=len, {FIELDS})',
            "average_precision",
        ),
        (
            f'METRIC = Metric(key="macro", value=len, {FIELDS})',
            "'macro', which this package declares already",
        ),
        (f'METRIC = Metric(key="patients", value=len, {FIELDS})', "the key must be an identifier"),
        (f'METRIC = Metric(key="a", {FIELDS})', "value is missing"),
        ("METRIC = 3", "is a int, not a Metric"),
        ("import no_such_module", "no_such_module"),
        ("OTHER = 1", "METRIC"),
    ],
    ids=["built-in", "alias", "view", "reserved", "no value", "no metric", "import", "attribute"],
)
def test_a_broken_plugin_is_named(declaration: str, words: str, tmp_path: Path) -> None:
    done = python(write_plugin(tmp_path, declaration), "-m", "bench", "explain", "auroc", "--json")
    assert done.returncode == 3
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem["code"] == "plugin-broken"
    assert "'other' of the package bench-other (bench_other:METRIC)" in problem["message"]
    assert words in problem["message"]
    assert "Traceback" not in done.stderr


FAILING = f'METRIC = Metric(key="a", value=lambda scores: 1 / 0, {FIELDS})'
WRONG_SHAPE = f'METRIC = Metric(key="a", value=lambda s: 0.5, influence=lambda s: s.score[:1], {FIELDS})'


@pytest.mark.parametrize(
    ("declaration", "words"),
    [(FAILING, "failed at the value of 'a': ZeroDivisionError"), (WRONG_SHAPE, "one value per image")],
)
def test_a_plugin_that_fails_on_the_data_is_named(declaration: str, words: str, tmp_path: Path) -> None:
    code = "import bench; bench.evaluate([0, 1, 0, 1], [0.1, 0.4, 0.3, 0.2], list('aabc'), 50)"
    done = python(write_plugin(tmp_path, declaration), "-c", code)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "PluginError" in last
    assert "'other' of the package bench-other (bench_other:METRIC)" in last
    assert words in last


MEASURED = """
import numpy as np

def value(pairs):
    return float(np.average(pairs.prediction - pairs.truth, weights=pairs.weight))

def influence(pairs):
    error = pairs.prediction - pairs.truth
    return (error - error.mean()) / len(error)

NAMES = dict(label="A", short_label="A", definition="A.", direction=Direction.LOWER, needs=Needs.MEASUREMENTS)
METRIC = [
    Metric(key="looped", value=value, **NAMES),
    Metric(key="sandwiched", value=value, influence=influence, **NAMES),
]
"""


def test_metrics_of_measurements_by_value_and_by_influence(tmp_path: Path) -> None:
    code = (
        "import json, numpy as np, bench; rng = np.random.default_rng(0); t = rng.normal(size=300);"
        "r = bench.evaluate_continuous(t, t + rng.normal(size=300), np.arange(300) // 3, 400);"
        "print(json.dumps([[r[k].value, r[k].se, r[k].df, r[k].method] for k in "
        "('bias', 'looped', 'sandwiched')]))"
    )
    done = python(write_plugin(tmp_path, MEASURED), "-c", code)
    assert done.returncode == 0, done.stderr
    bias, looped, sandwiched = json.loads(done.stdout)
    assert looped[:2] == pytest.approx(bias[:2], rel=1e-9)
    assert looped[2:] == [99, "t"]
    assert sandwiched[0] == pytest.approx(bias[0], rel=1e-9)
    assert sandwiched[1] == pytest.approx(bias[1], rel=0.1)
    assert sandwiched[2] == pytest.approx(bias[2], rel=1e-4)
    assert sandwiched[3] == "sandwich-t"
