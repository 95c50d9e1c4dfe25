"""Fixtures of several parts: a small cohort, an empty workspace, and the command line in-process."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

from bench.choices import LabelMode
from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.environment import usable_cores
from bench.publish.checks import reading
from bench.workspace import DATA_VARIABLE, Workspace, create_workspace
from tests.tiny import predictions, write_cohort

# How long an example takes says more about the machine than about the code.
settings.register_profile("bench", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bench")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores: some tests wait for clocks, browsers and other programs."""
    return usable_cores() + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with slow tests first: begun last, such a file would leave the other workers idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@dataclass(frozen=True)
class Ran:
    """Outcome of a command."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def object(self) -> dict[str, Any]:
        """The one JSON object that stands on stdout, and nothing beside it."""
        found = json.loads(self.stdout)
        assert isinstance(found, dict)
        return found

    @property
    def codes(self) -> list[str]:
        """Codes of the problems in the JSON object."""
        return [problem["code"] for problem in self.object["problems"]]


Cli = Callable[..., Ran]


@pytest.fixture(autouse=True, scope="session")
def _pages_parsed_once() -> Iterator[None]:
    """The checks of a site parse each page once a session: nine of ten pages are the same on every site."""
    parse, parsed = reading.read_page, dict[tuple[str, bytes], reading.PageFacts]()

    def read_page(folder: Path, path: str) -> reading.PageFacts:
        page = path, hashlib.sha256((folder / path).read_bytes()).digest()
        if page not in parsed:
            parsed[page] = parse(folder, path)
        return parsed[page]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.publish.checks.site.read_page", read_page)
        yield


@pytest.fixture(scope="session")
def _commands_built_once() -> Iterator[None]:
    """The runner builds the tree of commands once a session, as a process does, not once a call."""
    import typer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture
def cli(_commands_built_once: None) -> Cli:
    """Run a command in this process; an exception that would be a traceback fails the test."""
    from typer.testing import CliRunner

    from bench.cli.main import app

    def run(*words: str | Path) -> Ran:
        done = CliRunner().invoke(app, [str(word) for word in words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def cohort_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort in CheXchoNet's layout, with images; tests only read it."""
    folder = tmp_path_factory.mktemp("cohort") / "chexchonet-1.0.0"
    write_cohort(folder)
    return folder


@pytest.fixture(scope="session")
def cohort(cohort_folder: Path) -> Cohort:
    """That cohort, loaded by the built-in spec; its labels are synthetic and public."""
    spec = load_spec("chexchonet").model_copy(update={"labels": LabelMode.PUBLIC})
    return load_cohort(spec, cohort_folder)


@pytest.fixture
def good(cohort: Cohort) -> pd.DataFrame:
    """A correct predictions file for that cohort."""
    return predictions(cohort)


@pytest.fixture(scope="session")
def public_spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in spec of that cohort, with public labels."""
    text = resources.files("bench.cohort").joinpath("specs", "chexchonet.toml").read_text("utf-8")
    path = tmp_path_factory.mktemp("spec") / "chexchonet.toml"
    path.write_text(text.replace('labels = "shared"', 'labels = "public"'), "utf-8")
    return path


@pytest.fixture
def space(
    tmp_path: Path, cohort_folder: Path, public_spec: Path, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    """An empty workspace on that cohort with public labels, which is the current folder."""
    made = create_workspace(tmp_path / "space", str(public_spec), {"chexchonet": cohort_folder})
    monkeypatch.chdir(made.root)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return made


@pytest.fixture
def short_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """`bench time` measures for moments, without the device's ceilings."""
    from bench.timing.record import Roofline
    from tests.timing.fakes import SHORT

    monkeypatch.setattr("bench.actions.time.FULL", SHORT)
    monkeypatch.setattr("bench.actions.time.QUICK", SHORT)
    unknown = Roofline(reason="not requested")
    monkeypatch.setattr("bench.timing.time_model.measure_roofline", lambda *_, **__: unknown)
