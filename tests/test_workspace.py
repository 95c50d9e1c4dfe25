"""Workspaces: found from anywhere inside, made only where there is none, and strict about their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.workspace import DATA_VARIABLE, create_workspace, find_workspace


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)


def test_a_new_workspace_is_found_from_every_folder_in_it(tmp_path: Path) -> None:
    made = create_workspace(tmp_path / 'w "ä"', "chexpert", {"demo": Path('/a "quoted" 😀 path')})
    inner = made.root / "a" / "b"
    inner.mkdir(parents=True)
    found = find_workspace(inner)
    assert found == made
    assert (found.root, found.cohort) == ((tmp_path / 'w "ä"').resolve(), "chexpert")
    assert found.data("demo") == Path('/a "quoted" 😀 path')
    assert found.data("other") == found.root / "data" / "other"


def test_a_folder_outside_a_workspace_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="workspace-missing"):
        find_workspace(tmp_path)


def test_a_workspace_is_not_made_twice(tmp_path: Path) -> None:
    create_workspace(tmp_path)
    (tmp_path / "bench.toml").write_text('cohort = "mine"')
    with pytest.raises(BenchError, match="workspace-exists"):
        create_workspace(tmp_path)
    assert (tmp_path / "bench.toml").read_text() == 'cohort = "mine"'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cohort = ", "Not valid TOML"),
        ('cohrt = "demo"', r"Unknown keys \['cohrt'\]. Did you mean 'cohort'?"),
        ("data = 3", "must map cohort ids to folders"),
        ("[data]\ndemo = 3", "must map cohort ids to folders"),
        ('[data]\ndemo = "d"\nteam_entries = "one"', "Write team_entries above the first"),
        ('[data]\ncohorts = ["demo"]', "Write cohorts above the first"),
        ('[site]\ntitle = "T"\ncohort = "demo"', "Write cohort above the first"),
        ('[site]\ntitel = "T"', "Did you mean 'title'"),
        ("cohort = 3", "must be text"),
        ("submissions = []", "submissions must be text"),
        ("site = 1", "site must be text"),
        ("x = " + "[" * 5000, "Not valid TOML"),
    ],
)
def test_a_faulty_file_is_named(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(text)
    with pytest.raises(BenchError, match=f"workspace-config: .*{says}") as caught:
        find_workspace(tmp_path)
    assert caught.value.problems[0].where.startswith(str(tmp_path / "bench.toml"))


def test_the_settings_of_pages_in_a_new_file_are_right_once_they_are_no_comment(tmp_path: Path) -> None:
    marker = create_workspace(tmp_path, "demo", {"demo": "d"}).root / "bench.toml"
    text = marker.read_text()
    for key in ("[site]", "title", "announcement", "base"):
        text = text.replace(f"# {key}", key)
    marker.write_text(text)
    found = find_workspace(tmp_path)
    assert (found.pages.title, found.pages.base) == ("Our board", "https://example.org/board/")
    assert found.pages.announcement
    assert found.data("demo") == tmp_path / "d"


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_bytes(b'cohort = "\xff"')
    with pytest.raises(BenchError, match="workspace-config"):
        find_workspace(tmp_path)


def test_the_data_folder_is_that_of_the_option_then_the_variable_then_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bench.toml").write_text('[data]\ndemo = "elsewhere"')
    space = find_workspace(tmp_path)
    assert space.data("demo") == tmp_path / "elsewhere"
    monkeypatch.setenv(DATA_VARIABLE, "/from/variable")
    assert space.data("demo") == Path("/from/variable")
    assert space.data("demo", Path("/chosen")) == Path("/chosen")


def test_every_path_lies_in_the_workspace(tmp_path: Path) -> None:
    space = create_workspace(tmp_path)
    paths = [
        space.data("c"),
        space.submission("c", "s"),
        space.board("c"),
        space.split_lock("c"),
        space.model("0" * 64),
        space.run("c", "b"),
        space.cache,
        space.site,
    ]
    assert len(set(paths)) == len(paths)
    assert all(path.is_relative_to(tmp_path) for path in paths)


def test_submissions_and_pages_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text('submissions = "entries"\nsite = "pages"')
    space = find_workspace(tmp_path)
    assert space.submission("c", "s") == tmp_path / "entries" / "c" / "s"
    assert space.site == tmp_path / "pages"
    shared = create_workspace(tmp_path / "inner", site=space.site)
    assert find_workspace(shared.root).site == space.site
