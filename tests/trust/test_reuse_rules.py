"""Pre-registration and the ladder, from the command line to the board."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pandas as pd

from bench.cohort.cohort import Cohort
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.runtime.models import MODEL, linear_model
from tests.tiny import MANIFEST, TARGETS

QUICK = ("--replicates", "100", "--jobs", "1")


def test_a_registered_model_bears_a_badge_and_cannot_be_changed(
    space: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "submission.toml").write_text(MANIFEST + MODEL)
    model, plan, other = tmp_path / "m.onnx", tmp_path / "plan.md", tmp_path / "other.onnx"
    model.write_bytes(linear_model().SerializeToString())
    other.write_bytes(model.read_bytes() + b"\x00")
    plan.write_text("One model, the headline target.")
    words = ("register", "planned", "--model", model, "--plan", plan, "--json")
    assert cli(*words).exit_code == 0
    assert cli(*words).codes == ["registration-late"]
    good.to_csv(tmp_path / "p.csv", index=False)
    assert cli("submit", tmp_path / "p.csv", "--slug", "planned", "--json").codes == ["registration-differs"]
    assert cli("submit", "--model", other, "--slug", "planned", "--json").codes == ["registration-differs"]
    assert cli("submit", "--model", model, "--slug", "planned").exit_code == 0
    assert cli("score", "--all", *QUICK).exit_code == 0
    assert cli("submit", tmp_path / "p.csv", "--slug", "late").exit_code == 0
    late = ("register", "late", "--model", model, "--plan", plan, "--json")
    assert cli(*late).codes == ["slug-taken"]
    assert cli("score", "--all", *QUICK).exit_code == 0
    assert cli("site", "build").exit_code == 0
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    pages = {slug: (space.site / "e" / slug / "index.html").read_text() for slug in ("planned", "late")}
    assert f"Pre-registered {day}" in pages["planned"]
    assert "Pre-registered" not in pages["late"]


def test_the_ladder_shows_real_improvements_only(
    space: Workspace, cohort: Cohort, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "submission.toml").write_text(MANIFEST)
    space.marker.write_text('ladder = "on"\n' + space.marker.read_text())
    random = np.random.default_rng(0)
    rows = cohort.rows("test")
    noise = random.normal(size=len(rows))
    for slug, strength in (("a", 1.0), ("b", 1.05), ("c", 3.0)):
        frame = pd.DataFrame({cohort.spec.columns.image: cohort.images[rows]})
        for target in TARGETS:
            logit = strength * cohort.targets[target][rows] + noise + 0.3 * random.normal(size=len(rows)) - 1
            frame[target] = 1 / (1 + np.exp(-logit))
        frame.to_csv(tmp_path / f"{slug}.csv", index=False)
        assert cli("submit", tmp_path / f"{slug}.csv", "--slug", slug).exit_code == 0
    assert cli("score", "--all", *QUICK).exit_code == 0
    board = json.loads(space.board("chexchonet").read_text())
    assert (board["ladder"], board["withheld"]) == (True, ["b"])
    assert all(s["slug"] != "b" for target in board["targets"] for s in target["standings"])
    assert cli("board", "--json").exit_code == 0
    assert cli("site", "build").exit_code == 0
    assert not (space.site / "e" / "b").exists()
    assert cli("verify", "--jobs", "1").exit_code == 0
    attempts = [s["attempts"] for s in board["targets"][0]["standings"]]
    assert attempts == [3] * len(attempts)
    assert "3 attempts" in (space.site / "index.html").read_text()


def test_unknown_settings_are_refused(space: Workspace, cli: Cli) -> None:
    text = space.marker.read_text()
    for line in ('ladder = "maybe"', 'team_entries = "two"'):
        space.marker.write_text(f"{line}\n{text}")
        assert cli("board", "--json").codes == ["workspace-config"]
