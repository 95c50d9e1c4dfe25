"""What is installed is pinned, hashed and listed with its licence."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.licences import ROOT, licence, pinned

LOCK, CORE = ROOT / "requirements.lock", ROOT / "requirements-core.lock"


def test_every_pinned_package_is_listed_with_its_version() -> None:
    listed = dict(
        re.findall(r"(?m)^\| ([^ ]+) \| ([^ ]+) \|", (ROOT / "docs" / "licences.md").read_text("utf-8"))
    )
    listed.pop("package")
    assert listed == pinned(LOCK)


def test_every_requirement_of_the_core_has_hashes_and_the_version_that_is_tested() -> None:
    text = CORE.read_text("utf-8")
    blocks = re.split(r"(?m)^(?=\S)", text)
    packages = [block for block in blocks if "==" in block]
    assert len(packages) > 30
    assert all("--hash=sha256:" in block for block in packages)
    everything = {name.lower().replace("_", "-"): version for name, version in pinned(LOCK).items()}
    core = {name.lower().replace("_", "-"): version for name, version in pinned(CORE).items()}
    assert "torch" not in core
    assert {n: v for n, v in core.items() if everything.get(n, v) != v} == {}


def test_the_core_holds_what_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["onnx"], *extras["dask"]]
    names = {re.split(r"[<>=\[ ]", line)[0].lower() for line in wanted}
    assert names <= {name.lower() for name in pinned(CORE)}


@pytest.mark.parametrize(
    "workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda p: p.stem
)
def test_workflows_have_no_more_rights_than_they_need(workflow: Path) -> None:
    text = workflow.read_text("utf-8")
    assert re.search(r"(?m)^permissions:\n  contents: (read|write)$", text)
    assert "pull_request_target" not in text


def test_licences_are_read_from_the_packages() -> None:
    assert "BSD" in licence("numpy")
    assert licence("no-such-package") == "not installed here"
