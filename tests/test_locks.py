"""Locks: one at a time, let go by the dead, and who waits is told for whom."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.locks import locked

HOLD = (
    "import sys, time\nfrom pathlib import Path\nfrom bench.locks import locked\n"
    "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(float(sys.argv[2]))\n"
)


def holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == "held\n"
    return process


def test_a_waiting_process_reports_who_holds_the_lock(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = holder(tmp_path / "l", 2.5)
    with locked(tmp_path / "l"):
        assert process.wait(timeout=120) == 0
    (record,) = caplog.records
    assert f"process {process.pid} (" in record.getMessage()
    assert str(tmp_path / "l") in record.getMessage()
    assert not (tmp_path / "l.holder").exists()


def test_a_dead_process_keeps_no_lock(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    process = holder(tmp_path / "l", 60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "l.holder").exists()
    with locked(tmp_path / "l"):
        assert str(os.getpid()) in (tmp_path / "l.holder").read_text()
    assert not caplog.records  # whoever waits is told so


@pytest.mark.parametrize(
    "note", [b"\xff", b"[]", b'{"pid": "\\u001b[2J", "host": "h", "command": "c", "since": "s"}']
)
def test_an_odd_note_of_the_holder_does_no_harm(
    note: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = holder(tmp_path / "l", 1.5)
    (tmp_path / "l.holder").write_bytes(note)
    with locked(tmp_path / "l"):
        process.wait()
    assert "\x1b" not in caplog.text
    assert "Waiting for" in caplog.text


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_refused(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(BenchError) as caught, locked(tmp_path / "l"):
        pass
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("lock-unsupported", 3)
