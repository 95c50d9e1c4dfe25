"""The images name what the project has. They are not built here."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def instructions(name: str) -> list[tuple[str, str]]:
    """Keyword and arguments of each instruction, with continued lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / name).read_text("utf-8")).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
class TestDockerfiles:
    def test_base_images_are_pinned_to_a_patch_version(self, name):
        bases = [rest.split()[0] for keyword, rest in instructions(name) if keyword == "FROM"]
        assert len(bases) == 2
        assert all(re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+-[a-z0-9.-]+", base) for base in bases)

    def test_commands_run_as_an_ordinary_user_that_exists(self, name):
        steps = instructions(name)
        users = [rest for keyword, rest in steps if keyword == "USER"]
        assert len(users) == 1
        assert int(users[0]) > 0
        assert any(keyword == "RUN" and f"--uid {users[0]} bench" in rest for keyword, rest in steps)
        assert steps.index(("USER", users[0])) > max(
            i for i, (k, _) in enumerate(steps) if k in {"RUN", "COPY"}
        )

    def test_everybody_may_write_the_cache_of_numba(self, name):
        text = (ROOT / name).read_text("utf-8")
        folder = re.search(r"NUMBA_CACHE_DIR=(\S+)", text)[1]
        assert f"install --directory --mode 1777 {folder} " in text

    def test_copied_files_exist_and_are_sent_to_the_builder(self, name):
        sent = re.findall(r"(?m)^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"))
        copied = [
            source
            for keyword, rest in instructions(name)
            if keyword == "COPY" and "--from" not in rest
            for source in rest.split()[:-1]
        ]
        assert {"pyproject.toml", "bench", "site"} <= set(copied)
        assert all((ROOT / source).exists() and source in sent for source in copied)

    def test_installed_extras_exist(self, name):
        known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
            "optional-dependencies"
        ]
        named = re.findall(r"\}\[([a-z]+)\]", (ROOT / name).read_text("utf-8"))
        assert named == (["tensorrt"] if name == "Dockerfile.cuda" else [])
        assert set(named) <= set(known)


def test_the_image_for_a_cpu_installs_hashed_requirements_only():
    installs = [rest for keyword, rest in instructions("Dockerfile") if rest.startswith("pip install")]
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "-r /tmp/requirements-core.lock" in installs[0]
    assert {"--no-deps", "--no-index"} <= set(installs[1].split())


def test_the_builder_gets_no_data():
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    kept = [line for line in lines if line and not line.startswith("#")]
    assert kept[0] == "*"
    assert not {"!data", "!submissions", "!runs", "!models", "!."} & set(kept)


def test_the_devcontainer_installs_with_a_target_of_the_makefile():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert re.search(r":\d", container["image"])
    assert container["remoteUser"] != "root"
    target = re.fullmatch(r"make (\S+)", container["postCreateCommand"])[1]
    assert re.search(rf"(?m)^{re.escape(target)}:", (ROOT / "Makefile").read_text("utf-8"))
