"""Label modes: what a pull request, a holder of the key and a stranger can see and do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bench
from bench.choices import LabelMode
from bench.cohort.cohort import Cohort
from bench.cohort.spec import builtin_specs, load_spec
from bench.cohort.summary import summarise
from bench.documents import parse_toml
from bench.errors import BenchError
from bench.files import sha256_bytes, sha256_file, write_atomic, write_json
from bench.submission.accept import accept_predictions
from bench.submission.manifest import Manifest
from bench.submission.packed import unpack
from bench.submission.sealed import KEY_FILE_VARIABLE, KEY_VARIABLE, open_entry, read_seal
from bench.submission.store import find_submission
from bench.timing.record import Parity, with_published_figures
from bench.workspace import DATA_VARIABLE, create_workspace, find_workspace, ignored_files
from tests.actions.test_embeddings import embeddings_of, write_npy
from tests.conftest import Cli
from tests.faulty import assert_problem, only
from tests.timing.records import record, row
from tests.tiny import MANIFEST, TARGETS, predictions

pytest.importorskip("pyrage")
QUICK = ("--replicates", "100", "--jobs", "1")


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def board(tmp_path: Path, cohort_folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board with shared labels in a git repository, with its key pair."""
    for variable in (KEY_VARIABLE, KEY_FILE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(DATA_VARIABLE, str(cohort_folder))
    root = tmp_path / "board"
    made = cli("init", root, "--cohort", "chexchonet", "--key-file", tmp_path / "board.agekey", "--json")
    assert made.object["result"]["labels"] == "shared"
    assert (tmp_path / "board.agekey").stat().st_mode & 0o077 == 0
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "New board")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def submitted(board: Path, cohort: Cohort, good: pd.DataFrame, cli: Cli, tmp_path: Path) -> Path:
    """The board with one scored entry, committed as in a pull request: all that git does not ignore."""
    (tmp_path / "submission.toml").write_text(MANIFEST)
    good.to_csv(tmp_path / "p.csv", index=False)
    images = cohort.images[cohort.rows("val")]
    scores = dict.fromkeys(TARGETS, (1 + np.arange(len(images))) / (2 + len(images)))
    pd.DataFrame({cohort.spec.columns.image: images, **scores}).to_csv(tmp_path / "val.csv", index=False)
    assert cli("submit", tmp_path / "p.csv", "--val", tmp_path / "val.csv", "--slug", "one").exit_code == 0
    assert cli("score", "--all", *QUICK).exit_code == 0
    git(board, "add", ".")
    git(board, "commit", "-qm", "Add one")
    return board


def clone(board: Path, name: str) -> Path:
    target = board.parent / name
    git(board.parent, "clone", "-q", str(board), str(target))
    return target


def test_a_pull_request_is_scored_again_by_holders_of_the_key_only(
    submitted: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Path("submissions/chexchonet/one")
    public = {"predictions.age", "val_predictions.age", "published.json", "seal.json", "submission.toml"}
    assert {Path(n).name for n in git(submitted, "ls-files", str(entry)).split()} == public

    holder = clone(submitted, "holder")
    monkeypatch.chdir(holder)
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "board.agekey"))
    assert cli("verify", "--jobs", "1").exit_code == 0
    assert cli("score", "--all", *QUICK).exit_code == 0
    assert git(holder, "status", "--porcelain") == ""  # every published byte is the same
    for name in ("predictions.parquet", "val_predictions.parquet", "scorecard.json"):
        assert (holder / entry / name).read_bytes() == (submitted / entry / name).read_bytes()
    _without_scorecards_a_changed_board_is_found(holder / entry.parent, cli)

    stranger = clone(submitted, "stranger")
    monkeypatch.chdir(stranger)
    monkeypatch.delenv(KEY_FILE_VARIABLE)
    assert cli("score", "--all", *QUICK, "--json").codes == ["key-missing"]
    assert cli("verify", "--jobs", "1", "--json").codes == ["key-missing"]
    checked = cli("verify", "--no-data")  # as the workflow of a pull request does
    assert checked.exit_code == 0
    assert re.search(r"one .* scored$", checked.stdout, re.MULTILINE)
    assert cli("board", "--json").exit_code == 0
    assert cli("site", "build").exit_code == 0
    assert cli("site", "check").exit_code == 0
    page = (stranger / "site/public/e/one/index.html").read_text()
    assert "Shared labels" in page
    assert "Shared labels" in (stranger / "site/public/methods/index.html").read_text()
    copy = stranger / entry.with_name("copy")
    shutil.copytree(stranger / entry, copy)
    for change in ({}, {"predictions_sha256": "0" * 64}):  # the second is a lie, which needs the key to see
        (copy / "seal.json").write_text(json.dumps(json.loads((copy / "seal.json").read_text()) | change))
        problems = cli("verify", "--no-data", "--json").object["problems"]
        (problem,) = (p for p in problems if p["code"] == "seal-copied")
        assert_problem(
            problem,
            "seal-copied",
            message="2 entries hold the same predictions: copy, one",
            where="submissions/chexchonet$",
            remedy="added later",
        )
    shutil.rmtree(copy)
    sealed = stranger / entry / "predictions.age"
    sealed.write_bytes(sealed.read_bytes()[:-1] + b"x")
    assert cli("board", "--json").codes == ["seal-broken"]
    assert "seal-broken" in cli("verify", "--no-data", "--json").codes
    for name in ("seal.json", "predictions.age", "val_predictions.age"):
        (stranger / entry / name).unlink()
    (problem,) = cli("verify", "--no-data", "--json").object["problems"]
    assert_problem(
        problem,
        "entry-incomplete",
        message=r"no predictions\.age, nor predictions\.parquet",
        where="one$",
        remedy="add its whole folder",
    )
    assert not (stranger / entry / "predictions.parquet").exists()


def _without_scorecards_a_changed_board_is_found(folder: Path, cli: Cli) -> None:
    """Of a clone, which has no whole scorecard, verify computes them; what is stored stays as it is."""
    for card in folder.glob("*/scorecard.json"):
        card.unlink()
    board = folder / "published_board.json"
    stored = board.read_bytes()
    changed = json.loads(stored)
    changed["targets"][0]["standings"][0]["auroc"] += 0.0001
    board.write_text(json.dumps(changed))
    assert cli("verify", "--jobs", "1", "--json").codes == ["verify-drift"]
    board.write_bytes(stored)
    assert cli("verify", "--jobs", "1").exit_code == 0
    assert not list(folder.glob("*/scorecard.json"))


def test_the_heads_of_embeddings_are_sealed_too(
    board: Path, cohort: Cohort, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.actions.embeddings.FRACTIONS", (0.25,))  # fewer heads, fitted sooner
    write_npy(tmp_path / "embeddings", cohort, embeddings_of(cohort))
    assert cli("submit", "--embeddings", tmp_path / "embeddings", "--slug", "encoder").exit_code == 0
    entry = Path("submissions/chexchonet/encoder")
    git(board, "add", ".")
    names = {Path(name).name for name in git(board, "ls-files", str(entry)).split()}
    assert names == {
        "submission.toml",
        "predictions.age",
        "val_predictions.age",
        "label_efficiency.age",
        "seal.json",
    }
    git(board, "commit", "-qm", "Add encoder")
    holder = clone(board, "holder")
    monkeypatch.chdir(holder)
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "board.agekey"))
    assert cli("key", "seal", "--json").object["result"]["sealed"] == []
    whole = (holder / entry / "label_efficiency.parquet").read_bytes()
    assert whole == (board / entry / "label_efficiency.parquet").read_bytes()

    # An entry that was sealed before these predictions were: `bench key seal` seals it anew, once.
    (holder / entry / "label_efficiency.age").unlink()
    seal = json.loads((holder / entry / "seal.json").read_text())
    older = {key: value for key, value in seal.items() if not key.startswith("label_efficiency")}
    (holder / entry / "seal.json").write_text(json.dumps(older | {"schema": "seal/1"}))
    assert cli("key", "seal", "--json").object["result"]["sealed"] == ["encoder"]
    assert cli("key", "seal", "--json").object["result"]["sealed"] == []
    (holder / entry / "label_efficiency.parquet").unlink()
    assert cli("key", "seal", "--json").object["result"]["sealed"] == []
    assert (holder / entry / "label_efficiency.parquet").read_bytes() == whole


def test_without_a_key_predictions_are_not_sealed_and_kept_out_of_git(
    cohort_folder: Path, good: pd.DataFrame, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = create_workspace(tmp_path / "plain", "demo").root
    git(root, "init", "-q")
    monkeypatch.chdir(root)
    (tmp_path / "submission.toml").write_text(MANIFEST)
    good.to_csv(tmp_path / "p.csv", index=False)
    shared = ("--cohort", "chexchonet", "--data", cohort_folder)
    ran = cli("submit", tmp_path / "p.csv", "--slug", "one", *shared, "--json")
    assert ran.exit_code == 0
    (notice,) = (p for p in ran.object["problems"] if p["code"] == "not-sealed")
    assert_problem(
        notice,
        "not-sealed",
        message="names no public key",
        where=r"/bench\.toml$",
        remedy="bench key new --out FILE",
        severity="warning",
    )
    assert cli("score", "--all", *QUICK, *shared).exit_code == 0
    git(root, "add", ".")
    entry = root / "submissions/chexchonet/one"
    assert {p.name for p in entry.iterdir()} == {
        *("submission.toml", "predictions.parquet", "scorecard.json", "published.json"),
    }
    listed = {Path(name).name for name in git(root, "ls-files", "submissions").split()}
    assert {"submission.toml", "published.json"} <= listed
    assert not listed & {"predictions.parquet", "scorecard.json", "board.json"}


def test_the_projects_own_boards_keep_back_what_their_modes_say() -> None:
    root = Path(__file__).parents[2]
    lines = set((root / ".gitignore").read_text("utf-8").splitlines())
    for name in builtin_specs():
        spec = load_spec(name)
        missing = set(ignored_files(find_workspace(root), spec.id, spec.labels)) - lines
        assert not missing


def test_published_figures_are_few_and_short(submitted: Path) -> None:
    from bench.board.model import Board
    from bench.scoring.published import CURVE_POINTS, METRICS, figure_count
    from bench.scoring.scorecard import Scorecard

    folder = submitted / "submissions/chexchonet"
    text = (folder / "one" / "published.json").read_text()
    card = Scorecard.model_validate_json(text)
    binary = sum(key in card.targets[0].metrics for key in METRICS)
    groups, measures = len(card.subgroups), 2 * len(card.continuous)
    curves = 2 * 2 * (CURVE_POINTS - 2) * len(TARGETS)
    assert 0 < figure_count(card) <= 3 * (binary * len(TARGETS) + groups + measures + 1) + curves
    numbers = [
        e
        for t in json.loads(text)["targets"]
        for e in (*t["metrics"].values(), *t["roc"], *t["precision_recall"])
    ]
    digits = [v for e in numbers for v in e.values() if isinstance(v, float)]
    assert digits
    assert all(float(f"{v:.4g}") == v for v in digits)
    assert all(
        not (t.reliability or t.decision or t.operating_points or t.distribution) for t in card.targets
    )
    board = Board.model_validate_json((folder / "published_board.json").read_text())
    assert all(t.pairs is None for t in board.targets)


def test_every_run_is_sealed(board: Path, cohort: Cohort, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "submission.toml").write_text(MANIFEST)
    files = [tmp_path / f"{seed}.csv" for seed in range(3)]
    for seed, file in enumerate(files):
        predictions(cohort, seed).to_csv(file, index=False)
    assert cli("submit", *files, "--slug", "seeds").exit_code == 0
    entry = board / "submissions/chexchonet/seeds"
    plain = (entry / "runs.parquet").read_bytes()
    git(board, "add", ".")
    named = {Path(n).name for n in git(board, "ls-files", str(entry)).split()}
    assert named == {"predictions.age", "runs.age", "seal.json", "submission.toml"}
    (entry / "runs.parquet").unlink()
    submission = find_submission(entry.parent, "seeds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "board.agekey"))
        open_entry(submission, board)
    assert (entry / "runs.parquet").read_bytes() == plain
    # a header that would take a second to read, and an hour at 2 MB, is not handed to the library
    stanza = f"-> X25519 {'A' * 43}\n{'A' * 43}\n"
    begin, end = "age-encryption.org/v1\n", f"--- {'A' * 43}\n"
    stated = json.loads((entry / "seal.json").read_text())
    (entry / "predictions.parquet").unlink()
    for header in (begin + 300 * stanza + end, begin + 300 * stanza, "-----BEGIN AGE ENCRYPTED FILE-----\n"):
        (entry / "predictions.age").write_text(header)
        write_json(entry / "seal.json", stated | {"sealed_sha256": sha256_file(entry / "predictions.age")})
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "board.agekey"))
            with pytest.raises(BenchError, match=r"header of at most 4,096"):
                open_entry(submission, board)
    sealed = entry / "runs.age"
    sealed.write_bytes(sealed.read_bytes()[:-1] + b"x")
    with pytest.raises(BenchError, match=r"runs\.age is not the file"):
        read_seal(submission)


def test_what_is_kept_back_is_not_handed_on(submitted: Path, cli: Cli) -> None:
    assert cli("sums", "submissions", "--json").codes == ["labels-kept-back"]
    git(submitted, "add", "--force", "submissions/chexchonet/one/scorecard.json")
    for words in (("build",), ("freeze", "2026.1"), ("publish", "--dry-run")):
        assert cli("site", *words, "--json").codes == ["labels-kept-back"]
    git(submitted, "reset", "-q")
    assert cli("site", "build").exit_code == 0


def test_the_key_is_rotated_and_may_be_lost(
    submitted: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "board.agekey", tmp_path / "new.agekey"
    assert cli("key", "new", "--out", submitted / "k", "--json").codes == ["key-in-workspace"]
    (submitted / "bench.toml").write_text(f'site = "../pages"\n{(submitted / "bench.toml").read_text()}')
    (tmp_path / "checkout" / ".git").mkdir(parents=True)
    for place, code in (("pages/k", "key-in-workspace"), ("checkout/deep/k", "key-in-checkout")):
        assert cli("key", "new", "--out", tmp_path / place, "--json").codes == [code]
    assert cli("key", "new", "--out", old, "--json").codes == ["key-exists"]
    git(submitted, "checkout", "-q", "bench.toml")
    other = clone(submitted, "other")
    monkeypatch.chdir(other)
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(old))
    rotated = cli("key", "new", "--out", new, "--json").object["result"]
    assert (rotated["sealed"], rotated["unreadable"]) == (["one"], [])
    assert find_workspace(other).key == rotated["key"]
    git(other, "commit", "-qam", "Rotate the key")
    later = clone(other, "later")
    monkeypatch.chdir(later)
    assert cli("verify", "--jobs", "1", "--json").codes == ["key-wrong"]
    monkeypatch.setenv(KEY_VARIABLE, new.read_text())
    assert cli("verify", "--jobs", "1").exit_code == 0
    # Lost: an entry that is only there sealed stays unreadable, and is named.
    monkeypatch.chdir(clone(other, "lost"))
    monkeypatch.delenv(KEY_VARIABLE)
    monkeypatch.delenv(KEY_FILE_VARIABLE)
    lost = cli("key", "new", "--out", tmp_path / "third.agekey", "--json").object["result"]
    assert (lost["sealed"], lost["unreadable"]) == ([], ["one"])
    # Whoever still has the predictions seals them for the new key.
    monkeypatch.chdir(other)
    shutil.copy("submissions/chexchonet/one/predictions.parquet", tmp_path)
    text = Path("bench.toml").read_text().replace(rotated["key"], lost["key"])
    Path("bench.toml").write_text(text)
    assert cli("key", "seal", "--json").object["result"]["sealed"] == ["one"]
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "third.agekey"))
    Path("submissions/chexchonet/one/predictions.parquet").unlink()
    assert cli("verify", "--jobs", "1").exit_code == 0


def test_a_workspace_is_not_made_without_its_key(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "file").write_text("")
    words = ("init", tmp_path / "board", "--cohort", "chexchonet", "--key-file")
    assert cli(*words, tmp_path / "file" / "k.agekey", "--json").codes == ["key-file"]
    assert not (tmp_path / "board").exists()
    assert cli(*words, tmp_path / "new" / "folder" / "k.agekey").exit_code == 0
    assert (tmp_path / "new" / "folder" / "k.agekey").stat().st_mode & 0o077 == 0


def test_a_workspace_key_seals_the_entries_of_every_cohort(submitted: Path, cli: Cli, tmp_path: Path) -> None:
    """One key belongs to the workspace: rotating it leaves no entry of another cohort for the old key."""
    from importlib import resources

    text = resources.files("bench.cohort").joinpath("specs", "chexchonet.toml").read_text("utf-8")
    (submitted / "twin.toml").write_text(text.replace('id = "chexchonet"', 'id = "twin"', 1))
    marker = submitted / "bench.toml"
    marker.write_text('cohorts = ["twin.toml"]\n' + marker.read_text())
    entry = submitted / "submissions" / "twin" / "one"
    entry.mkdir(parents=True)
    for name in ("submission.toml", "predictions.parquet"):
        shutil.copy(submitted / "submissions" / "chexchonet" / "one" / name, entry)
    assert cli("key", "seal", "--json").object["result"]["sealed"] == ["twin/one"]
    rotated = cli("key", "new", "--out", tmp_path / "new.agekey", "--json").object["result"]
    assert sorted(rotated["sealed"]) == ["one", "twin/one"]
    assert json.loads((entry / "seal.json").read_text())["key"] == rotated["key"]


def test_no_key_is_shown_or_stored(
    submitted: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = next(line for line in (tmp_path / "board.agekey").read_text().splitlines() if line[0] != "#")
    assert all(secret.encode() not in p.read_bytes() for p in submitted.rglob("*") if p.is_file())
    for name in ("copy.agekey", "north.pem"):  # keys that somebody puts there
        (submitted / name).write_text("x")
        assert git(submitted, "check-ignore", name).strip() == name
    monkeypatch.setenv(KEY_VARIABLE, secret + "x")
    (submitted / "submissions/chexchonet/one/predictions.parquet").unlink()
    ran = cli("verify", "--json")
    assert ran.codes == ["key-file"]
    assert secret not in ran.stdout + ran.stderr


@pytest.fixture
def private(
    cohort: Cohort, cohort_folder: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A workspace of the same cohort with private labels and three attempts for each team."""
    from importlib import resources

    text = resources.files("bench.cohort").joinpath("specs", "chexchonet.toml").read_text("utf-8")
    spec = tmp_path / "hospital.toml"
    spec.write_text(text.replace('labels = "shared"', 'labels = "private"\nattempts_per_team = 3'))
    monkeypatch.setenv(DATA_VARIABLE, str(cohort_folder))
    assert cli("init", tmp_path / "house", "--cohort", spec).exit_code == 0
    monkeypatch.chdir(tmp_path / "house")
    return tmp_path / "house"


def test_private_test_labels_are_not_read_in_python(private: Path, cli: Cli, tmp_path: Path) -> None:
    loaded = bench.load_cohort()
    assert loaded.spec.labels is LabelMode.PRIVATE
    for read in (
        lambda: loaded.frame("test", labels=True),
        lambda: loaded.frame(labels=True),
        lambda: list(loaded.folds()),
    ):
        with pytest.raises(bench.BenchError) as raised:
            read()
        assert_problem(
            only(raised.value, "test-labels-private"),
            "test-labels-private",
            message="are private",
            where="^cohort chexchonet$",
            remedy="labels of train and val",
        )
    assert not list((private / "submissions").rglob("*.json")), "nothing was read, and nothing recorded"
    assert loaded.frame("train", labels=True)[list(TARGETS)].notna().all(axis=None)
    assert not set(TARGETS) & set(loaded.few_shot("test", patients=3))
    whole = loaded.frame()
    assert whole[whole["split"] == "test"][list(TARGETS)].isna().all(axis=None)
    assert cli("cohort", "split", "--out", tmp_path / "split.csv").exit_code == 0
    table = pd.read_csv(tmp_path / "split.csv")
    assert table[table["split"] == "test"][list(TARGETS)].isna().all(axis=None)
    assert table[table["split"] == "train"][list(TARGETS)].notna().all(axis=None)
    assert bench.load_cohort().torch_dataset("test").target_names == ()


def test_private_labels_have_a_budget_and_three_decimals(
    private: Path, good: pd.DataFrame, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "submission.toml").write_text(MANIFEST)
    for power in range(1, 5):
        good.assign(**{t: good[t] ** power for t in TARGETS}).to_csv(tmp_path / f"{power}.csv", index=False)
    assert cli("submit", tmp_path / "1.csv", "--slug", "one").exit_code == 0
    assert cli("submit", tmp_path / "1.csv", "--dry-run").exit_code == 0  # the same predictions count once
    assert cli("submit", tmp_path / "2.csv", "--dry-run").exit_code == 0
    assert cli("submit", tmp_path / "3.csv", "--slug", "three").exit_code == 0
    assert cli("submit", tmp_path / "4.csv", "--dry-run", "--json").codes[-1] == "attempts-used"
    assert cli("submit", tmp_path / "4.csv", "--slug", "four", "--json").codes[-1] == "attempts-used"
    assert cli("compare", tmp_path / "4.csv", "one", "--json").codes[-1] == "compare-private"
    assert cli("score", "--all", *QUICK).exit_code == 0
    git(private, "init", "-q")
    git(private, "add", ".")
    names = {Path(name).name for name in git(private, "ls-files", "submissions").split()}
    assert names == {
        "published.json",
        "published_board.json",
        "split.lock.json",
        "submission.toml",
        "one.json",
        "three.json",
        "dry-run.json",
    }
    card = json.loads((private / "submissions/chexchonet/one/published.json").read_text())
    stated = {
        k: e["value"] for t in card["targets"] for k, e in t["metrics"].items() if e["value"] is not None
    }
    assert set(stated) == {"auroc"}
    assert round(stated["auroc"], 3) == stated["auroc"]
    assert all(e["low"] is None and e["se"] is None for t in card["targets"] for e in t["metrics"].values())
    assert not any(t["roc"] for t in card["targets"])
    assert not card["subgroups"]
    assert not card["continuous"]
    moved = row(1, parity=Parity(status="not_checked", auroc_difference=0.00123456))
    timing = record(moved, precision="int8", own_auroc={"slvh": 0.71314159}, cohort="chexchonet")
    write_json(private / "submissions/chexchonet/one/timings/a.json", timing.plain())
    assert cli("verify", "--jobs", "1").exit_code == 0
    assert cli("verify", "--no-data").exit_code == 0
    git(private, "commit", "-qm", "Board")
    monkeypatch.chdir(clone(private, "public"))
    assert cli("verify", "--no-data").exit_code == 0
    monkeypatch.chdir(private)
    assert cli("site", "build").exit_code == 0
    assert cli("site", "check").exit_code == 0
    pages = [path.read_bytes() for path in (private / "site/public").rglob("*") if path.is_file()]
    assert any(b"Fake CPU" in data for data in pages)
    assert not [data for data in pages if b"0.713" in data or b"0.0012" in data]
    assert "Private labels" in (private / "site/public/index.html").read_text()
    shown = json.loads((private / "site/public/leaderboard.json").read_text())["targets"]
    assert {target["others_may_be_first"] for target in shown} == {None}, "withheld, not none"


def test_nobody_else_can_compute_the_hashes_of_private_predictions(
    private: Path, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    """Whoever guesses predictions and packs them alike finds no published hash of them."""
    (tmp_path / "submission.toml").write_text(MANIFEST)
    file = tmp_path / "p.csv"
    good.to_csv(file, index=False)
    for slug in ("one", "again"):
        assert cli("submit", file, "--slug", slug).exit_code == 0
    entries = private / "submissions" / "chexchonet"
    first, again = (sha256_file(entries / slug / "predictions.parquet") for slug in ("one", "again"))
    assert first == again, "the same predictions are one attempt"
    cohort = bench.load_cohort()
    guessed = accept_predictions(file, cohort, parse_toml(Manifest, MANIFEST, "manifest-invalid", "m"))
    stored = unpack(entries / "one" / "predictions.parquet", cohort, "holdout")
    assert all(np.array_equal(stored[name], guessed.values[name]) for name in TARGETS)
    git(private, "init", "-q")
    git(private, "add", ".")
    names = git(private, "ls-files").split()
    published = b"".join((private / name).read_bytes() for name in names)
    assert first.encode() in published, "the ledger states the hash"
    assert sha256_bytes(guessed.packed).encode() not in published
    assert not [name for name in names if "secret" in name]
    (private / ".bench/hash.secret").unlink()  # of another house
    assert cli("submit", file, "--slug", "one", "--replace").exit_code == 0
    assert sha256_file(entries / "one" / "predictions.parquet") != first


def test_the_lock_of_private_labels_counts_none(
    private: Path, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    """Positives of the parts and folds are equations in the labels, beside those of the test set."""
    lock = private / "submissions/chexchonet/split.lock.json"
    assert cli("cohort", "split", "--lock").exit_code == 0
    stated = json.loads(lock.read_text())
    assert [part["targets"] for part in (*stated["parts"], *stated["folds"])] == [[]] * 8
    assert all(part["images"] > 0 for part in stated["parts"])
    assert "positive" not in lock.read_text()
    # a lock of an older version holds them: it is refused, until scoring removes them
    whole = summarise(bench.load_cohort())
    write_json(lock, whole.plain())
    ran = cli("verify", "--no-data", "--json")
    assert_problem(
        ran.object["problems"][0],
        "labels-kept-back",
        message="how many positives 8 parts and folds have",
        where=r"split\.lock\.json$",
        remedy="bench score --all",
    )
    (tmp_path / "submission.toml").write_text(MANIFEST)
    good.to_csv(tmp_path / "1.csv", index=False)
    assert cli("submit", tmp_path / "1.csv", "--slug", "one").exit_code == 0
    assert cli("score", "--all", *QUICK).exit_code == 0
    assert json.loads(lock.read_text()) == stated
    assert cli("verify", "--no-data").exit_code == 0


def test_a_timing_says_no_more_of_the_labels_than_a_scorecard() -> None:
    moved = row(1, parity=Parity(status="passed", auroc_difference=0.00123456))
    timing = record(moved, precision="int8", own_auroc={"slvh": 0.71314159})
    assert with_published_figures(timing, LabelMode.PUBLIC) == timing
    shared = with_published_figures(timing, LabelMode.SHARED)
    assert (shared.own_auroc, shared.batches[0].parity.auroc_difference) == ({"slvh": 0.7131}, 0.001235)
    private = with_published_figures(timing, LabelMode.PRIVATE)
    assert (private.own_auroc, private.batches[0].parity.auroc_difference) == ({}, None)
    assert private.batches[0].end_to_end == timing.batches[0].end_to_end


def test_what_is_published_follows_a_rename_and_a_retraction(submitted: Path, cli: Cli) -> None:
    assert cli("rename", "one", "two").exit_code == 0
    assert cli("verify", "--jobs", "1").exit_code == 0
    assert cli("retract", "two", "--reason", "Trained on test images.").exit_code == 0
    assert cli("verify", "--jobs", "1").exit_code == 0
    board = json.loads((submitted / "submissions/chexchonet/published_board.json").read_text("utf-8"))
    assert board["retracted"]["two"]["reason"] == "Trained on test images."
    assert {s["slug"]: s["rank"] for s in board["targets"][0]["standings"]} == {"two": None}
    assert cli("site", "build").exit_code == 0
    assert "Trained on test images." in (submitted / "site/public/index.html").read_text("utf-8")


def test_an_interrupted_sealing_is_finished_by_the_next_one(
    submitted: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many files were written, the predictions stay, and `key seal` finishes."""
    from bench.submission import sealed

    entry, marker = submitted / "submissions/chexchonet/one", submitted / "bench.toml"
    plain = {path.name: path.read_bytes() for path in entry.glob("*.parquet")}
    write = write_atomic
    for first_time, written in ((False, 0), (False, 1), (False, 2), (True, 1)):
        key, names = sealed.new_key(), list[str]()
        marker.write_text(re.sub('key = "[^"]*"', f'key = "{key.public}"', marker.read_text()))
        if first_time:
            (entry / "seal.json").unlink()

        def interrupted(path: Path, data: bytes, most: int = written, names: list[str] = names) -> None:
            if len(names) == most:
                raise KeyboardInterrupt
            names.append(path.name)
            write(path, data)

        with monkeypatch.context() as patched:
            patched.setattr("bench.submission.sealed.write_atomic", interrupted)
            assert cli("key", "seal").exit_code != 0
        assert (len(names), "seal.json" in names) == (written, False)
        assert {path.name: path.read_bytes() for path in entry.glob("*.parquet")} == plain
        refused = ["seal-broken"] if written and not first_time else []
        assert cli("board", "--json").codes == refused
        assert cli("key", "seal", "--json").object["result"]["sealed"] == ["one"]
    assert cli("key", "seal", "--json").object["result"]["sealed"] == []
    for name in plain:
        (entry / name).unlink()
    monkeypatch.setenv(KEY_VARIABLE, key.secret)
    assert cli("verify", "--jobs", "1").exit_code == 0
    assert {path.name: path.read_bytes() for path in entry.glob("*.parquet")} == plain
