"""Provenance: plain facts, nothing private, never an exception."""

from __future__ import annotations

import getpass
import json
import platform
import re
from pathlib import Path

import pytest

from bench import environment as module
from bench.environment import environment, package_versions, public_argv


def test_facts_are_plain_and_public() -> None:
    facts = environment()
    text = json.dumps(facts)
    for private in (platform.node(), str(Path.home()), str(Path.cwd()), getpass.getuser()):
        assert len(private) < 4 or private not in text
    assert facts["cpu"]
    assert 1 <= facts["usable_cores"] <= facts["logical_cores"]  # type: ignore[operator]
    assert isinstance(facts["packages"], dict)
    assert facts["packages"]["numpy"]


def test_failing_probes_do_not_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise OSError("no")

    monkeypatch.setattr("subprocess.run", broken)
    monkeypatch.setattr("os.getloadavg", broken)
    monkeypatch.setattr("os.sched_getaffinity", broken, raising=False)
    monkeypatch.setattr(Path, "read_text", broken)
    monkeypatch.setattr("psutil.virtual_memory", broken)
    monkeypatch.setattr("pynvml.nvmlInit", broken)
    facts = environment()
    missing = ("commit", "load_average", "memory_gb", "gpus", "driver")
    assert [facts[key] for key in missing] == [None] * 5
    assert facts["cpu"]


def test_gpus_are_named_as_the_driver_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pynvml.nvmlInit", lambda: None)
    monkeypatch.setattr("pynvml.nvmlShutdown", lambda: None)
    monkeypatch.setattr("pynvml.nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr("pynvml.nvmlDeviceGetHandleByIndex", lambda i: i)
    monkeypatch.setattr("pynvml.nvmlDeviceGetName", lambda h: b"NVIDIA H200" if h else "NVIDIA H100")
    monkeypatch.setattr("pynvml.nvmlSystemGetDriverVersion", lambda: "580.1")
    facts = environment()
    assert (facts["gpus"], facts["driver"]) == ("NVIDIA H100, NVIDIA H200", "580.1")


def test_packages_that_are_absent_are_left_out() -> None:
    assert set(package_versions(["numpy", "no-such-package-here"])) == {"numpy"}


@pytest.mark.parametrize(
    ("argv", "public"),
    [
        (["/home/ann/.venv/bin/bench", "time", "cnn"], ("bench", "time", "cnn")),
        (["bench", "time", "/home/ann/m.onnx", "--batch", "8"], ("bench", "time", "m.onnx", "--batch", "8")),
        (["bench", "--data=/data/ann/cohort/"], ("bench", "--data=cohort")),
        (
            ["bench", "~/x/m.onnx", "../../ann/m.onnx", "models/m.onnx"],
            ("bench", "m.onnx", "m.onnx", "models/m.onnx"),
        ),
        (["C:\\Users\\ann\\bench.exe", "C:\\x\\m.onnx"], ("bench.exe", "m.onnx")),
    ],
)
def test_a_command_line_keeps_no_folders(argv: list[str], public: tuple[str, ...]) -> None:
    assert public_argv(argv) == public


def test_the_commit_is_that_of_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit = environment()["commit"]
    if (Path(__file__).parents[1] / ".git").exists():  # not in the source distribution
        assert re.fullmatch(r"[0-9a-f]{12,40}\+?", str(commit))
    else:
        assert commit is None
    monkeypatch.setattr(module, "__file__", str(tmp_path / "bench" / "environment.py"))
    assert environment()["commit"] is None
