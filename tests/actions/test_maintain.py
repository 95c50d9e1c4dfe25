"""`bench retract` and `bench rename`: without the data, whole or not at all, as a board scored anew would be."""

from __future__ import annotations

import datetime
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import bench
from bench.actions.maintain import MaintenanceResult, rename, retract
from bench.cohort.cohort import Cohort
from bench.errors import BenchError
from bench.files import canonical_json
from bench.actions.site import check_site
from bench.workspace import RENAMING, Workspace, find_workspace
from tests.tiny import REPORTED, predictions

DAY = datetime.date(2026, 2, 3)
QUICK = {"replicates": 100, "jobs": 1}
MANIFEST = {"name": "A model", "team": "A group", "date": "2026-01-01", "inputs": ["image"]}


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, cohort: Cohort, cohort_folder: Path) -> Path:
    """A workspace of three scored entries, two of which order the images alike, and one from a paper."""
    root = tmp_path_factory.mktemp("maintain") / "space"
    space = bench.create_workspace(root, "chexchonet", {"chexchonet": cohort_folder})
    for seed, slug in ((1, "one"), (2, "two"), (1, "same")):
        bench.submit(predictions(cohort, seed), slug=slug, manifest=MANIFEST, cohort=cohort, workspace=space)
    paper = space.submission("chexchonet", "paper")
    paper.mkdir()
    (paper / "submission.toml").write_text(REPORTED)
    bench.score(cohort=cohort, workspace=space, **QUICK)
    return root


@pytest.fixture
def space(scored: Path, tmp_path: Path) -> Workspace:
    """A copy of it that names a data folder which is not there."""
    root = tmp_path / "space"
    shutil.copytree(scored, root)
    marker = root / "bench.toml"
    lines = marker.read_text().splitlines()
    marker.write_text("\n".join(line for line in lines if not line.startswith('"chexchonet"')) + "\n")
    return find_workspace(root)


def scored_anew(space: Workspace, cohort: Cohort) -> bytes:
    """The board that `bench score` makes of the same entries, from the data."""
    return canonical_json(bench.score(cohort=cohort, workspace=space, **QUICK).board.plain())


def codes(error: pytest.ExceptionInfo[BenchError]) -> list[str]:
    return [problem.code for problem in error.value.problems]


def test_a_retracted_entry_stays_and_the_others_are_ranked_as_if_scored_anew(
    space: Workspace, cohort: Cohort
) -> None:
    done = retract("same", "Trained on test images.", workspace=space, today=DAY)
    assert done.board is not None
    stored = space.board("chexchonet").read_bytes()
    assert canonical_json(done.board.plain()) == scored_anew(space, cohort)
    assert space.board("chexchonet").read_bytes() == stored
    for board in done.board.targets:
        standing = board.standings[-1]
        assert (standing.slug, standing.rank) == ("same", None)
        assert standing.unranked_reason == "retracted on 2026-02-03: Trained on test images."
        assert {s.slug for s in board.standings if s.rank} == {"one", "two"}
        assert board.same_ranking == ()
    assert bench.verify(cohort=cohort, workspace=space).ok


def test_pages_strike_a_retracted_entry_out_with_date_and_reason(space: Workspace) -> None:
    retract("same", "Trained on test images.", workspace=space, today=DAY)
    retract("paper", "The paper was withdrawn.", workspace=space, today=DAY)
    site = bench.build_site(workspace=space)
    assert not check_site(workspace=space)
    board = (site.folder / "index.html").read_text()
    assert "<s><bdi>A model</bdi></s>" in board
    assert "Retracted on 2026-02-03: Trained on test images." in board
    page = (site.folder / "e" / "paper" / "index.html").read_text()
    assert "Retracted on 2026-02-03: The paper was withdrawn." in page


def test_a_renamed_entry_is_on_the_board_as_if_scored_anew(space: Workspace, cohort: Cohort) -> None:
    before = {name: path.read_bytes() for name, path in _files(space, "one").items()}
    done = rename("one", "first-net", workspace=space)
    assert done.board is not None
    assert canonical_json(done.board.plain()) == scored_anew(space, cohort)
    assert not space.submission("chexchonet", "one").exists()
    after = {name: path.read_bytes() for name, path in _files(space, "first-net").items()}
    assert before.keys() == after.keys()
    assert before["predictions.parquet"] == after["predictions.parquet"]
    assert before["scorecard.json"].replace(b'"one"', b'"first-net"') == after["scorecard.json"]
    attempts = space.submissions("chexchonet") / "_attempts"
    assert sorted(path.name for path in attempts.iterdir()) == ["first-net.json", "same.json", "two.json"]
    assert bench.verify(cohort=cohort, workspace=space).ok


def _files(space: Workspace, slug: str) -> dict[str, Path]:
    folder = space.submission("chexchonet", slug)
    return {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}


def test_what_cannot_be_done_is_refused_and_changes_nothing(space: Workspace) -> None:
    retract("same", "A reason.", workspace=space, today=DAY)
    folder = space.submissions("chexchonet")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for code, act in {
        "entry-unknown": lambda: retract("absent", "A reason.", workspace=space),
        "entry-retracted": lambda: retract("same", "Another.", workspace=space),
        "retraction-invalid": lambda: retract("one", " ", workspace=space),
        "slug-taken": lambda: rename("one", "two", workspace=space),
        "slug-invalid": lambda: rename("one", "../two", workspace=space),
    }.items():
        with pytest.raises(BenchError) as error:
            act()
        assert codes(error) == [code]
    with pytest.raises(BenchError) as error:
        rename("absent", "new", workspace=space)
    assert codes(error) == ["entry-unknown"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_without_replicates_and_data_nothing_is_changed(space: Workspace) -> None:
    shutil.rmtree(space.replicates)
    for act in (
        lambda: retract("one", "A reason.", workspace=space),
        lambda: rename("one", "x", workspace=space),
    ):
        with pytest.raises(BenchError) as error:
            act()
        assert codes(error) == ["replicates-missing"]
    assert not (space.submission("chexchonet", "one") / "retraction.json").exists()
    assert space.submission("chexchonet", "one").is_dir()


def test_without_replicates_the_data_serve(space: Workspace, cohort: Cohort) -> None:
    expected = retract("same", "A reason.", workspace=space, today=DAY)
    other = rename("one", "zero", workspace=space)
    shutil.rmtree(space.replicates)
    again = rename("zero", "one", cohort=cohort, workspace=space)
    assert expected.board is not None and again.board is not None and other.board is not None
    assert canonical_json(again.board.plain()) == canonical_json(expected.board.plain())


@pytest.mark.parametrize("function", ["move_attempts", "write_json"])
def test_an_interrupted_rename_is_finished_by_the_same_command(
    space: Workspace, cohort: Cohort, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    from bench.actions import maintain

    real = getattr(maintain, function)

    def interrupted(*words: object) -> None:
        if function != "write_json" or words[0] == space.board("chexchonet"):
            raise KeyboardInterrupt
        real(*words)

    with monkeypatch.context() as patch:
        patch.setattr(maintain, function, interrupted)
        with pytest.raises(KeyboardInterrupt):
            rename("one", "zero", workspace=space)
    with pytest.raises(BenchError) as error:
        rename("two", "three", workspace=space)
    assert codes(error) == ["rename-unfinished"]
    with pytest.raises(BenchError) as error:
        bench.score(cohort=cohort, workspace=space, **QUICK)
    assert codes(error) == ["rename-unfinished"]
    done = rename("one", "zero", workspace=space)
    assert done.board is not None
    assert not (space.submissions("chexchonet") / RENAMING).exists()
    assert canonical_json(done.board.plain()) == scored_anew(space, cohort)


def test_two_maintainers_at_once_end_with_a_board_of_both_changes(space: Workspace, cohort: Cohort) -> None:
    def act(number: int) -> MaintenanceResult:
        if number:
            return retract("same", "A reason.", workspace=space, today=DAY)
        return rename("one", "zero", workspace=space)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(act, range(2)))
    loaded = bench.read_board(cohort.spec, workspace=space)
    assert loaded.board is not None
    assert list(loaded.board.retracted) == ["same"]
    assert sorted(loaded.entries) == ["paper", "same", "two", "zero"]
    assert canonical_json(loaded.board.plain()) == scored_anew(space, cohort)
