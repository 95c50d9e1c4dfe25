"""Supply chain: installed packages are pinned, hashed and listed with their licences."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.licences import ROOT, everything, licence, pinned

LOCK, CORE = ROOT / "requirements.lock", ROOT / "requirements-core.lock"


def test_every_pinned_package_is_listed_with_its_version() -> None:
    listed = dict(
        re.findall(r"(?m)^\| ([^ ]+) \| ([^ ]+) \|", (ROOT / "docs" / "licences.md").read_text("utf-8"))
    )
    listed.pop("package")
    assert listed == everything()


@pytest.mark.parametrize("lock", [CORE, LOCK], ids=["core", "everything"])
def test_every_requirement_has_hashes(lock: Path) -> None:
    blocks = re.split(r"(?m)^(?=\S)", lock.read_text("utf-8"))
    packages = [block for block in blocks if "==" in block]
    assert len(packages) > 30
    assert [block for block in packages if "--hash=sha256:" not in block] == []


def test_the_core_has_the_versions_that_are_tested() -> None:
    tested = {name.lower().replace("_", "-"): version for name, version in everything().items()}
    core = {name.lower().replace("_", "-"): version for name, version in pinned(CORE).items()}
    assert "torch" not in core
    assert {n: v for n, v in core.items() if tested.get(n, v) != v} == {}


def test_the_core_holds_what_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["board"], *extras["onnx"]]
    names = {re.split(r"[<>=\[ ]", line)[0].lower() for line in wanted} - {"chexchobench"}
    assert names <= {name.lower() for name in pinned(CORE)}


def test_everything_that_the_project_asks_for_is_pinned() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = settings["project"]["optional-dependencies"] | settings["dependency-groups"]
    del groups["tensorrt"]  # installed beside the rest, in several versions: `make test-tensorrt`
    lines = [*settings["project"]["dependencies"]]
    for group in groups.values():
        lines += [line for line in group if isinstance(line, str) and not line.startswith("chexchobench[")]
    names = {re.split(r"[<>=\[ ]", line)[0].lower().replace("_", "-") for line in lines}
    assert {"pytest-cov", "mypy", "torch", "numpy"} <= names
    assert names - {name.lower().replace("_", "-") for name in everything()} == set()


WORKFLOWS = pytest.mark.parametrize(
    "workflow",
    [
        *sorted((ROOT / ".github" / "workflows").glob("*.yml")),
        ROOT / "bench" / "starter" / "submission.yml",
    ],
    ids=lambda p: f"{p.parent.name}-{p.stem}",
)


@WORKFLOWS
def test_actions_are_pinned_by_the_hash_of_a_commit(workflow: Path) -> None:
    used = re.findall(r"(?m)uses: *(.+)$", workflow.read_text("utf-8"))
    assert used or workflow.stem == "comment"
    assert [u for u in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\./", u)] == []


def test_one_action_has_one_version_in_all_workflows() -> None:
    text = "".join(path.read_text("utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml"))
    used = sorted({tuple(line.split("@")) for line in re.findall(r"(?m)uses: *(.+@.+)$", text)})
    assert [name for name, _ in used] == sorted({name for name, _ in used})


def test_the_tested_versions_of_python_are_the_stated_ones() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    stated = re.findall(r":: Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert f">={stated[0]}" == project["requires-python"]
    for path in (ROOT / ".github" / "workflows").glob("ci.yml"):  # not in the source distribution
        (matrix,) = re.findall(r"(?m)^ +python: \[(.+)\]$", path.read_text("utf-8"))
        assert re.findall(r"3\.\d+", matrix) == stated


@WORKFLOWS
def test_workflows_have_no_more_rights_than_they_need(workflow: Path) -> None:
    text = workflow.read_text("utf-8")
    assert re.search(r"(?m)^permissions:\n  contents: (read|write)$", text)
    assert "pull_request_target" not in text
    assert ("workflow_run" in text) == (workflow.stem == "comment")


def test_licences_are_read_from_the_packages() -> None:
    assert "BSD" in licence("numpy")
    assert licence("no-such-package") == "not installed here"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        # text, diff, linguist-generated
        ("submissions/demo/random-convolutions/scorecard.json", ("unset", "unset", "set")),
        ("submissions/demo/random-convolutions/submission.toml", ("unset", "unspecified", "unspecified")),
        ("submissions/demo/random-convolutions/predictions.parquet", ("unset", "unset", "set")),
        ("submissions/demo/board.json", ("unset", "unspecified", "set")),
        ("releases/2026.1.zip", ("unset", "unset", "set")),
        ("tests/fuzz/corpus/wire/crash-1", ("unset", "unset", "unspecified")),
        ("requirements-core.lock", ("auto", "unspecified", "set")),
        ("docs/licences.md", ("auto", "unspecified", "set")),
        ("bench/files.py", ("auto", "python", "unspecified")),
    ],
)
def test_git_keeps_stored_bytes_and_marks_generated_files(path: str, expected: tuple[str, ...]) -> None:
    asked = ["git", "check-attr", "text", "diff", "linguist-generated", "--", path]
    answer = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        pytest.skip("not a checkout of the repository")
    assert tuple(re.findall(r"(?m)\w: (\w+)$", answer.stdout)) == expected


def test_the_workflow_that_may_comment_runs_nothing_of_the_pull_request() -> None:
    text = (ROOT / "bench" / "starter" / "comment.yml").read_text("utf-8")
    assert not re.search(r"(?m)^ *- *uses:|checkout|pip |bench ", text)
    script = text.partition("run: |")[2]
    assert "${{" not in script, "what a stranger chose reaches the script as variables only"


@pytest.mark.parametrize("name", ["comment.yml", "pull_request_template.md", "issue_form.yml"])
def test_a_new_workspace_has_the_forms_of_this_repository(name: str) -> None:
    from bench.actions.maintain import STARTER

    if not (ROOT / ".github").is_dir():
        pytest.skip("not in the source distribution")
    assert (ROOT / "bench" / "starter" / name).read_bytes() == (ROOT / STARTER[name]).read_bytes()
