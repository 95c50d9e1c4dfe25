"""Maintaining a board without the data: whole or not at all, and as a board scored anew would be."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.actions.maintain import MaintenanceResult, rename, retract
from bench.actions.site import check_site
from bench.actions.submit import register as register_model
from bench.actions.verify import verify_stored
from bench.cohort.cohort import Cohort
from bench.cohort.spec import load_spec
from bench.cohort.summary import summarise
from bench.errors import BenchError
from bench.files import canonical_json, write_json
from bench.submission.registration import Registration, find_registration
from bench.workspace import RENAMING, Workspace, find_workspace
from tests.conftest import Cli
from tests.faulty import assert_problem, only
from tests.tiny import REPORTED, predictions

DAY = datetime.date(2026, 2, 3)
QUICK: dict[str, Any] = {"replicates": 100, "jobs": 1}
MANIFEST = {"name": "A model", "team": "A group", "date": "2026-01-01", "inputs": ["image"]}


@pytest.fixture(scope="module")
def scored(
    tmp_path_factory: pytest.TempPathFactory, cohort: Cohort, cohort_folder: Path, public_spec: Path
) -> Path:
    """A workspace of three scored entries, two of which order the images alike, and one from a paper."""
    root = tmp_path_factory.mktemp("maintain") / "space"
    space = bench.create_workspace(root, str(public_spec), {"chexchonet": cohort_folder})
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
    bench.build_site(workspace=space)
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


def test_impossible_changes_are_refused_and_change_nothing(space: Workspace) -> None:
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


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("", "reason: This text is empty"),
        ("  ", "shows nothing.*U\\+0020"),
        ("\u200b", "shows nothing.*U\\+200B"),
        ("x" * 501, "reason: This text is longer than 500 characters"),
        ("One line.\nAnother.", "must stand on one line"),
        ("Red \x1b[31mink", "control character U\\+001B"),
    ],
)
def test_a_reason_that_cannot_be_shown_is_explained(space: Workspace, reason: str, message: str) -> None:
    with pytest.raises(BenchError) as error:
        retract("one", reason, workspace=space)
    assert_problem(
        only(error.value, "retraction-invalid"),
        "retraction-invalid",
        message=message,
        where="^--reason$",
        remedy="1 to 500 visible letters",
    )
    assert not (space.submission("chexchonet", "one") / "retraction.json").exists()


def test_a_slug_in_use_is_not_offered_for_replacement(space: Workspace) -> None:
    for new in ("one", "two"):
        with pytest.raises(BenchError) as error:
            rename("one", new, workspace=space)
        assert_problem(
            only(error.value, "slug-taken"),
            "slug-taken",
            message=repr(new),
            where="chexchonet$",
            remedy="^Choose another slug; an entry is never renamed over another",
        )


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
    assert expected.board is not None
    assert again.board is not None
    assert other.board is not None
    assert canonical_json(again.board.plain()) == canonical_json(expected.board.plain())


def register(space: Workspace, slug: str) -> None:
    """State a model for a slug, as `bench register` does before there is an entry."""
    folder = space.submissions("chexchonet") / "_registered"
    folder.mkdir(exist_ok=True)
    stated = Registration(slug=slug, date=DAY, model_sha256="a" * 64, plan_sha256="b" * 64)
    write_json(folder / f"{slug}.json", stated.plain())


def test_a_registration_goes_with_its_entry_and_keeps_its_slug_from_others(space: Workspace) -> None:
    folder = space.submissions("chexchonet")
    register(space, "one")
    register(space, "planned")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(BenchError) as error:
        rename("two", "planned", workspace=space)
    assert_problem(
        only(error.value, "registration-differs"),
        "registration-differs",
        message="'planned' was registered on 2026-02-03 for model aaaaaaaaaaaa",
        where="_registered$",
        remedy="Choose another slug",
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    rename("one", "zero", workspace=space)
    assert sorted(path.stem for path in (folder / "_registered").iterdir()) == ["planned", "zero"]
    found = find_registration(folder, "zero")
    assert found
    assert (found.slug, found.date, found.model_sha256) == ("zero", DAY, "a" * 64)


@pytest.mark.parametrize("function", ["move_attempts", "move_registration", "write_board"])
def test_an_interrupted_rename_is_finished_by_the_same_command(
    space: Workspace,
    cohort: Cohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
) -> None:
    from bench.actions import maintain

    register(space, "one")

    def interrupted(*words: object) -> None:
        raise KeyboardInterrupt

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
    for words in ({"slug": "new"}, {"slug": "two", "replace": True}):
        with pytest.raises(BenchError) as error:
            bench.submit(predictions(cohort), manifest=MANIFEST, cohort=cohort, workspace=space, **words)
        assert codes(error) == ["rename-unfinished"]
    (tmp_path / "any").write_bytes(b"x")
    with pytest.raises(BenchError) as error:
        register_model("planned", tmp_path / "any", tmp_path / "any", cohort=cohort, workspace=space)
    assert codes(error) == ["rename-unfinished"]
    done = rename("one", "zero", workspace=space)
    registered = space.submissions("chexchonet") / "_registered"
    assert [path.name for path in registered.iterdir()] == ["zero.json"]
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


def test_scoring_locks_the_split_once(space: Workspace, cohort: Cohort) -> None:
    lock = space.split_lock("chexchonet")
    assert lock.read_bytes() == canonical_json(summarise(cohort).plain())
    _other_split(space, cohort)
    other = lock.read_bytes()
    bench.score(cohort=cohort, workspace=space, **QUICK)
    assert lock.read_bytes() == other, "a lock that is there is never written over"


def test_a_store_is_checked_without_data_and_what_changed_is_listed(space: Workspace) -> None:
    git = ("git", "-C", str(space.root), "-c", "user.name=A", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "submissions"), ("commit", "-qm", "Board")):
        subprocess.run([*git, *words], check=True, capture_output=True)
    folder = space.submissions("chexchonet")
    new = folder / "new"
    new.mkdir()
    for name in ("submission.toml", "predictions.parquet"):
        shutil.copy(folder / "two" / name, new)
    for command in ("status", "add"):  # first not yet known to git, then staged
        subprocess.run([*git, command, "submissions"], check=True, capture_output=True)
        found = verify_stored(since="HEAD", workspace=space)
        assert found.problems == ()
        assert {e.entry.slug for e in found.entries} == {"one", "two", "same", "paper", "new"}
        assert [(e.entry.slug, e.state) for e in found.entries if e.changed] == [("new", "not scored yet")]
    manifest = new / "submission.toml"
    manifest.write_text(re.sub("^name = .*$", 'name = "My model"', manifest.read_text(), flags=re.M))
    refused = [(p.code, p.severity) for p in verify_stored(since="HEAD", workspace=space).problems]
    assert refused == [("manifest-placeholder", "error")]
    assert verify_stored(workspace=space).problems == (), "what a board shows already is not refused anew"
    with pytest.raises(BenchError) as error:
        verify_stored(since="--output=x", workspace=space)
    assert codes(error) == ["git-reference"]


def _other_split(space: Workspace, cohort: Cohort) -> None:
    lock = summarise(cohort)
    other = lock.model_copy(update={"fingerprint": "0" * 64})
    write_json(space.split_lock("chexchonet"), other.plain())


def _fewer_images(space: Workspace, cohort: Cohort) -> None:
    lock = summarise(cohort)
    parts = tuple(part.model_copy(update={"images": part.images - 1}) for part in lock.parts)
    write_json(space.split_lock("chexchonet"), lock.model_copy(update={"parts": parts}).plain())


def _change(name: str, old: bytes, new: bytes) -> Callable[[Workspace, Cohort], None]:
    def change(space: Workspace, _cohort: Cohort) -> None:
        path = space.submission("chexchonet", "one") / name
        path.write_bytes(path.read_bytes().replace(old, new))

    return change


@pytest.mark.parametrize(
    ("spoil", "code", "count"),
    [
        (_other_split, "stored-split", 3),
        (_fewer_images, "stored-predictions", 3),
        (lambda space, _: space.split_lock("chexchonet").unlink(), "split-lock-missing", 1),
        (_change("submission.toml", b"team", b"teem"), "manifest-invalid", 2),
        (_change("scorecard.json", b'"slug": "one"', b'"slug": "two"'), "scorecard-stale", 1),
        (_change("predictions.parquet", b"PAR1", b"PAR2"), "stored-predictions", 1),
        (lambda space, _: (space.submissions("chexchonet") / "empty").mkdir(), "entry-incomplete", 1),
        (
            lambda space, _: (space.submission("chexchonet", "one") / "scorecard.json").unlink(),
            "board-stale",
            1,
        ),
        (lambda space, _: shutil.rmtree(space.submissions("chexchonet") / "_attempts"), "ledger-missing", 1),
    ],
)
def test_each_fault_of_a_stored_entry_is_found_without_data(
    space: Workspace, cohort: Cohort, spoil: Callable[[Workspace, Cohort], None], code: str, count: int
) -> None:
    spoil(space, cohort)
    assert [problem.code for problem in verify_stored(workspace=space).problems] == [code] * count


def test_a_folder_of_submissions_without_a_cohort_is_an_error_and_a_listed_one_is_read(
    space: Workspace,
) -> None:
    spec = resources.files("bench").joinpath("cohort/specs/demo.toml").read_text("utf-8")
    (space.root / "ours.toml").write_text(spec.replace('id = "demo"', 'id = "ours"', 1))
    paper = space.submissions("ours") / "paper"
    paper.mkdir(parents=True)
    (paper / "submission.toml").write_text(REPORTED)
    for act in (verify_stored, bench.build_site):
        with pytest.raises(BenchError) as error:
            act(workspace=space)
        assert codes(error) == ["cohort-unlisted"]
    marker = space.root / "bench.toml"
    said = '[site]\nannouncement = "Closes <soon>."\nbase = "/b/"\ntitle = "Ours & theirs"\n'
    marker.write_text(marker.read_text().replace("[data]", f'cohorts = ["ours.toml"]\n{said}[data]'))
    listed = find_workspace(space.root)
    assert {e.cohort for e in verify_stored(workspace=listed).entries} == {"chexchonet", "ours"}
    site = bench.build_site(workspace=listed)
    assert site.cohorts == ("chexchonet", "ours")
    page = (site.folder / "ours" / "index.html").read_text()
    assert "Closes &lt;soon&gt;." in page
    assert "· Ours &amp; theirs</title>" in page
    assert "CheXchoBench</" not in page
    assert "<title>Ours &amp; theirs</title>" in (site.folder / "feed.xml").read_text()
    assert "/b/" in (site.folder / "404.html").read_text()
    assert check_site(workspace=listed) == ()


def test_the_command_prints_a_table_for_a_comment_that_notifies_nobody(
    space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(space.root)
    path = space.submission("chexchonet", "paper") / "submission.toml"
    path.write_text(path.read_text().replace("A model", "@all | <b>x</b>"))
    ran = cli("verify", "--no-data", "--markdown")
    assert ran.exit_code == 0
    assert "&#64;all \\| &lt;b&gt;x&lt;/b&gt;" in ran.stdout
    assert "@" not in ran.stdout


def test_a_new_workspace_can_be_moved_to_another_folder(tmp_path: Path, cli: Cli) -> None:
    spec = tmp_path / "elsewhere" / "any.toml"
    spec.parent.mkdir()
    spec.write_text('extends = "demo"\nid = "ours"\n')
    root = tmp_path / "board"
    root.mkdir()
    (root / ".gitignore").write_text("/data/\nmine")
    assert cli("init", root, "--cohort", spec).exit_code == 0
    spec.unlink()
    moved = root.rename(tmp_path / "moved")
    found = find_workspace(moved)
    assert (found.cohort, (moved / "ours.toml").read_text()) == (
        "ours.toml",
        'extends = "demo"\nid = "ours"\n',
    )
    lines = (moved / ".gitignore").read_text().splitlines()
    assert lines[:2] == ["/data/", "mine"]
    assert {"/models/", "/runs/", "/.bench/", "/site/public/", "predictions.csv"} <= set(lines)
    assert lines.count("/data/") == 1
    assert (moved / ".github" / "workflows" / "submission.yml").is_file()
    assert str(tmp_path) not in (moved / "bench.toml").read_text()
    assert verify_stored(workspace=found).problems == ()
    assert cli("init", moved, "--json").codes == ["workspace-exists"]


def test_a_new_workspace_overwrites_no_file(tmp_path: Path, cli: Cli) -> None:
    spec = tmp_path / "any.toml"
    spec.write_text('extends = "demo"\nid = "ours"\n')
    root = tmp_path / "board"
    root.mkdir()
    (root / "ours.toml").write_text("other")
    assert cli("init", root, "--cohort", spec, "--json").codes == ["file-exists"]
    assert (root / "ours.toml").read_text() == "other"
    assert not (root / "bench.toml").exists()


def test_a_built_in_spec_is_printed_as_a_file_that_loads(tmp_path: Path, cli: Cli) -> None:
    copy = tmp_path / "copy.toml"
    copy.write_text(cli("cohort", "specs", "chexpert").stdout)
    assert load_spec(str(copy)) == load_spec("chexpert")
    assert cli("cohort", "specs", "chexprt", "--json").codes == ["cohort-unknown"]
