"""The TensorRT runner on a fake whose classes, signatures and enums are those of the real bindings.

`make test` installs the bindings of TensorRT 10 and 11, `make test-tensorrt` TensorRT-RTX besides.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv" / "tensorrt"


@pytest.fixture(scope="module", params=["10", "11", "rtx"])
def result(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the runner did on one version's bindings, without and with planted mistakes."""
    folder = FOLDER / str(request.param)
    if not folder.is_dir():
        pytest.skip(f"needs the bindings in .venv/tensorrt/{request.param}: `make test-tensorrt`")
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler for the libraries that the bindings load")
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.strict_run", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_runner_passes_and_every_planted_mistake_is_caught(result: dict[str, Any]) -> None:
    mistakes = result["mistakes"]
    assert len(mistakes) >= 30
    assert [mistake for mistake, reason in mistakes.items() if not reason] == [], result["version"]
