"""A sample of the points at which commands are killed or refused the disk; `make faults` tries them all."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.durable import not_durable

ROOT = Path(__file__).resolve().parents[2]
CORE = ("submit", "replace", "retract", "rename", "split lock", "template")
"""Commands of a few seconds; `make faults` and the night try all."""

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What a run found that makes one workspace for all."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--sample", "1", "--rush", "6", "--only", *CORE],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads(done.stdout)
    assert isinstance(result, dict)
    assert done.returncode == bool(result["wrong"]), done.stderr[-2000:]
    return result


@pytest.mark.slow
def test_a_sample_of_the_points_leaves_everything_whole(found: dict[str, Any]) -> None:
    assert found["wrong"] == []
    assert set(found["points"].values()) == {1}
    assert set(found["points"]) == set(CORE)


def test_careless_writing_is_found_out(found: dict[str, Any]) -> None:
    wrong = " ".join(found["found out about the careless command"])
    assert "one/submission.toml is neither the old file nor the new one" in wrong
    assert "two/submission.toml is gone" in wrong
    assert "/submissions/chexchonet/one/submission.toml is written in place" in wrong


def test_the_order_of_syncs_is_judged() -> None:
    good = [
        "open /submissions/c/.a.x.part",
        "write /submissions/c/.a.x.part",
        "fsync /submissions/c/.a.x.part",
    ]
    good += ["rename /submissions/c/a", "fsync /submissions/c"]
    assert list(not_durable(good)) == []
    assert "before it is synced" in " ".join(not_durable([*good[:2], *good[3:]]))
    assert "before it is synced" in " ".join(not_durable([*good[:3], good[1], *good[3:]]))
    assert "not synced after" in " ".join(not_durable(good[:4]))


def test_many_commands_at_once_lose_nothing(found: dict[str, Any]) -> None:
    assert found["rush"]["wrong"] == []
    assert found["rush"]["commands"] == 6
