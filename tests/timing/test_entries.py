"""A whole board is timed: each entry in each setting, resumed after an interruption, one failure not all."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bench.choices import Precision
from bench.cohort.cohort import Cohort
from bench.documents import read_json
from bench.errors import BenchError, Problem
from bench.runtime.accept import accept_model
from bench.submission.store import Submission, find_submission, keep_model, store
from bench.timing.record import TimingRecord
from bench.timing.time_entries import Configuration, Setup, Timed, model_of, time_entries
from bench.workspace import Workspace, create_workspace, find_workspace
from tests.conftest import Cli
from tests.runtime.models import linear_model, manifest, save, tiny_cohort
from tests.timing.fakes import BRIEF

pytestmark = pytest.mark.usefixtures("no_ceilings")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return tiny_cohort(tmp_path_factory.mktemp("cohort") / "c", 24)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, cohort: Cohort) -> Path:
    """A folder with a workspace of two entries that have models, and one of predictions alone."""
    folder = tmp_path_factory.mktemp("stored")
    space = create_workspace(folder / "space", "demo", {"tiny": cohort.folder})
    for slug in ("one", "two"):
        path = save(linear_model(), folder / f"{slug}.onnx")
        if slug == "two":
            model = linear_model()
            model.doc_string = "another file"
            save(model, path)
        accepted = accept_model(path, cohort, manifest())
        store(space.submissions("tiny"), slug, accepted.manifest, accepted.packed)
        keep_model(path, space.model(_digest(path)))
    bare = manifest().model_copy(update={"model": None})
    store(space.submissions("tiny"), "bare", bare, None)
    return folder


@pytest.fixture
def board(tmp_path: Path, stored: Path) -> Workspace:
    """A copy of that workspace, with the models beside it."""
    shutil.copytree(stored, tmp_path, dirs_exist_ok=True)
    return find_workspace(tmp_path / "space")


def _digest(path: Path) -> str:
    from bench.files import sha256_file

    return sha256_file(path)


def entry(space: Workspace, slug: str) -> Submission:
    return find_submission(space.submissions("tiny"), slug)


def configurations(space: Workspace, *slugs: str) -> list[Configuration]:
    return [
        Configuration(
            entry(space, slug), model_of(entry(space, slug), space), "onnxruntime-cpu", Precision.FP32
        )
        for slug in slugs
    ]


def setup(space: Workspace, cohort: Cohort, *batches: int, again: bool = False) -> Setup:
    return Setup(cohort, batches, BRIEF, space.submissions("tiny") / ".lock", again)


def test_every_row_is_stored_and_what_is_finished_is_not_run_again(board: Workspace, cohort: Cohort) -> None:
    stages: list[tuple[str, int, int]] = []
    first = time_entries(
        configurations(board, "one"),
        setup(board, cohort, 1, 2),
        stage=lambda *step: stages.append(step),
    )
    assert [t.measured for t in first] == [(1, 2)]
    assert stages[-1] == ("1 of 1: one, onnxruntime-cpu, fp32", 2, 2)
    assert first[0].path is not None
    before = first[0].path.read_bytes()
    found = time_entries(configurations(board, "one", "two"), setup(board, cohort, 1, 2))
    assert [t.measured for t in found] == [(), (1, 2)]
    assert first[0].path.read_bytes() == before
    (more,) = time_entries(configurations(board, "one"), setup(board, cohort, 2, 4))
    assert more.measured == (4,)
    kept = read_json(TimingRecord, first[0].path, "timing-invalid")
    assert [row.batch for row in kept.batches] == [1, 2, 4]
    assert kept.batches[:2] == read_json_rows(before)
    assert all(row.measured_on for row in kept.batches)
    (again,) = time_entries(configurations(board, "one"), setup(board, cohort, 1, again=True))
    assert again.measured == (1,)
    assert again.record is not None
    assert again.record.batches[0] != kept.batches[0]
    ((size, word),) = again.compared
    assert (size, word in ("faster", "slower", "same", "undecided")) == (1, True)
    assert again.record.batches[1:] == kept.batches[1:]


def read_json_rows(text: bytes) -> tuple[object, ...]:
    return TimingRecord.model_validate(json.loads(text)).batches


def test_the_largest_batch_that_fits_is_timed_besides(
    board: Workspace, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.timing.time_entries.with_largest", lambda batches, *_: (*batches, 6))
    (found,) = time_entries(configurations(board, "one"), replace(setup(board, cohort, 1), largest=True))
    assert found.measured == (1, 6)


def test_an_interruption_keeps_the_rows_before_it(
    board: Workspace, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(which: str, done: int, total: int) -> None:
        if done == 2:  # of two: before the second row is kept
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        time_entries(configurations(board, "one"), setup(board, cohort, 1, 2), stage=interrupt)
    (resumed,) = time_entries(configurations(board, "one"), setup(board, cohort, 1, 2))
    assert resumed.measured == (2,)
    assert resumed.record is not None
    assert [row.batch for row in resumed.record.batches] == [1, 2]


def test_an_entry_that_cannot_be_timed_does_not_stop_the_others(
    board: Workspace, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.timing.time_model import time_model as real

    def failing(model: Path, *args: object, **kwargs: object) -> object:
        if kwargs["slug"] == "one":
            raise BenchError(Problem("precision-failed", "no such kernel"))
        return real(model, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("bench.timing.time_entries.time_model", failing)
    outcomes: list[Timed] = []
    found = time_entries(
        configurations(board, "one", "two"), setup(board, cohort, 1), on_outcome=outcomes.append
    )
    assert [p.code for p in found[0].problems] == ["precision-failed"]
    assert (found[0].record, found[1].measured) == (None, (1,))
    assert outcomes == list(found)


def test_a_row_is_not_kept_for_an_entry_that_was_replaced_meanwhile(board: Workspace, cohort: Cohort) -> None:
    other = entry(board, "two").predictions

    def replace_entry(which: str, done: int, total: int) -> None:
        shutil.copyfile(other, entry(board, "one").predictions)

    (found,) = time_entries(configurations(board, "one"), setup(board, cohort, 1), stage=replace_entry)
    assert [p.code for p in found.problems] == ["model-unknown"]
    assert not entry(board, "one").timings.exists()


def test_a_library_that_crashes_is_reported(
    board: Workspace, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runtime.backends.registry.WORKER", "tests.runtime.failing_worker")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    (found,) = time_entries(configurations(board, "one"), setup(board, cohort, 1))
    assert [p.code for p in found.problems] == ["backend-unavailable"]
    assert "SIGSEGV" in found.problems[0].message


@pytest.fixture
def timed_cli(board: Workspace, cohort: Cohort, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in the board's workspace, with a protocol that ends soon."""
    monkeypatch.chdir(board.root)
    monkeypatch.setattr("bench.actions.time.open_cohort", lambda *_: cohort)
    monkeypatch.setattr("bench.actions.time.choose_spec", lambda *_: cohort.spec)
    monkeypatch.setattr("bench.actions.time.FULL", BRIEF)
    return cli


@pytest.mark.full_size
def test_the_command_times_the_whole_board_once(timed_cli: Cli, board: Workspace) -> None:
    ran = timed_cli("time", "--all", "--batch", "2", "--json")
    assert ran.exit_code == 0
    found = json.loads(ran.stdout)["result"]["timings"]
    assert [(t["slug"], t["measured"]) for t in found] == [("one", [2]), ("two", [2])]
    assert "Without a model here, so not timed: bare" not in ran.stdout
    assert "not timed: bare" in ran.stderr
    assert Path(found[0]["file"]).parent == board.submission("tiny", "one") / "timings"
    ran = timed_cli("time", "--all", "--batch", "2")
    assert ran.exit_code == 0
    assert ran.stderr.count("was measured before; --again measures it anew") == 2
    assert "limit: not known. not requested" in ran.stdout


def test_the_board_shows_speed_beside_auroc(
    timed_cli: Cli, board: Workspace, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.cli.score.open_cohort", lambda *_: cohort)
    monkeypatch.setattr("bench.actions.board.choose_spec", lambda *_: cohort.spec)
    shutil.rmtree(board.submission("tiny", "bare"))
    assert timed_cli("score", "--all", "--replicates", "100", "--jobs", "1").exit_code == 0
    assert "No entry has been timed" in timed_cli("board", "--speed").stdout
    assert timed_cli("time", "--all", "--batch", "1").exit_code == 0
    ran = timed_cli("board", "--speed", "--json")
    (column,) = json.loads(ran.stdout)["result"]["speed"]
    assert (column["backend"], column["is_gpu"]) == ("ONNX Runtime (CPU)", False)
    assert {row["slug"] for row in column["rows"]} == {"one", "two"}
    assert all(row["latency_ms"] > 0 and row["auroc"] is not None for row in column["rows"])
    shown = timed_cli("board", "--speed").stdout
    assert "ONNX Runtime (CPU), fp32" in shown


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (("time",), 2, ""),
        (("time", "one", "--all"), 2, ""),
        (("time", "--all", "--list"), 2, ""),
        (("time", "bare"), 1, "model-missing"),
        (("time", "absent"), 1, "entry-unknown"),
        (("time", "one", "--batch", "1", "--batch", "1"), 1, "timing-batch"),
        (("time", "one", "--precision", "fp32", "--precision", "fp16"), 3, "precision-unsupported"),
        (("time", "--all", "--backend", "none"), 1, "backend-unknown"),
        (("time", "no.onnx"), 1, "model-missing"),
    ],
)
def test_faults_are_reported_before_anything_is_measured(
    timed_cli: Cli, board: Workspace, words: tuple[str, ...], exit_code: int, code: str
) -> None:
    ran = timed_cli(*words)
    assert ran.exit_code == exit_code
    assert code in ran.stderr
    assert not list(board.root.rglob("*fp32.json"))


def test_a_model_file_is_timed_as_the_entry_it_was_submitted_for(
    timed_cli: Cli, board: Workspace, tmp_path: Path
) -> None:
    ran = timed_cli("time", tmp_path / "two.onnx", "two", "--batch", "1", "--json")
    assert ran.exit_code == 0
    assert [t["slug"] for t in json.loads(ran.stdout)["result"]["timings"]] == ["two"]
    stranger = linear_model()
    stranger.doc_string = "never submitted"
    ran = timed_cli("time", save(stranger, tmp_path / "stranger.onnx"))
    assert (ran.exit_code, "model-unknown" in ran.stderr) == (1, True)
