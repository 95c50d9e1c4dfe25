"""The ledger counts every set of predictions that was scored, once, whatever became of the entry."""

from __future__ import annotations

import datetime
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.errors import BenchError
from bench.scoring.attempts import Attempt, by_team, read_ledger
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.tiny import MANIFEST, TARGETS

QUICK = ("--replicates", "100", "--jobs", "1")


@pytest.fixture
def hand_in(space: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path) -> Any:
    def run(slug: str, power: float, team: str = "A group") -> None:
        (tmp_path / "submission.toml").write_text(MANIFEST.replace("A group", team))
        good.assign(**{t: good[t] ** power for t in TARGETS}).to_csv(tmp_path / "p.csv", index=False)
        assert cli("submit", tmp_path / "p.csv", "--slug", slug, "--replace").exit_code == 0
        assert cli("score", slug, *QUICK).exit_code == 0

    return run


def test_attempts_are_counted_once_and_outlive_their_entry(space: Workspace, hand_in: Any, cli: Cli) -> None:
    folder = space.submissions("chexchonet")
    hand_in("one", 1)
    assert cli("score", "--all", *QUICK).exit_code == 0
    assert [len(a) for a in read_ledger(folder).values()] == [1]
    hand_in("one", 2)
    hand_in("two", 3, team="a  GROUP")
    hand_in("other", 3, team="Others")
    shutil.rmtree(folder / "two")
    ledger = read_ledger(folder)
    assert {slug: len(a) for slug, a in ledger.items()} == {"one": 2, "two": 1, "other": 1}
    assert {team: len(a) for team, a in by_team(ledger.values()).items()} == {"a group": 3, "others": 1}
    assert cli("score", "--all", *QUICK).exit_code == 0
    assert cli("site", "build").exit_code == 0
    published = json.loads((space.site / "e" / "one" / "entry.json").read_text())
    assert (len(published["attempts"]), published["team_attempts"]) == (2, 3)
    page = (space.site / "e" / "one" / "index.html").read_text()
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    assert f"2 of this entry ({today}, {today}), 3 of the team" in page


def test_a_damaged_ledger_is_a_problem(space: Workspace, hand_in: Any, cli: Cli) -> None:
    hand_in("one", 1)
    path = space.submissions("chexchonet") / "_attempts" / "one.json"
    path.write_text("{}")
    with pytest.raises(BenchError, match="ledger-invalid"):
        read_ledger(path.parents[1])
    assert cli("board", "--json").codes[0] == "ledger-invalid"


def test_teams_are_told_apart() -> None:
    day = datetime.date(2026, 1, 1)
    ledger = [
        tuple(
            Attempt(date=day, team=t, track="holdout", predictions_sha256="0" * 64) for t in ("A", "B", "a ")
        )
    ]
    assert {team: len(attempts) for team, attempts in by_team(ledger).items()} == {"a": 2, "b": 1}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    )
    return [path] if items is None else [p for key, inner in items for p in leaves(inner, (*path, key))]


def test_a_scorecard_edited_by_hand_is_found(space: Workspace, hand_in: Any, cli: Cli) -> None:
    """Any one number of it, in the ninth digit or more."""
    hand_in("one", 1)
    path = space.submission("chexchonet", "one") / "scorecard.json"
    whole = path.read_bytes()
    numbers = [p for p in leaves(json.loads(whole)) if isinstance(_at(json.loads(whole), p), float)]
    for place in random.Random(0).sample(numbers, 5):
        card = json.loads(whole)
        holder = _at(card, place[:-1])
        holder[place[-1]] = holder[place[-1]] * 1.00000002 + 1e-8
        path.write_text(json.dumps(card))
        ran = cli("verify", "one", "--jobs", "1", "--json")
        assert ran.exit_code == 1, place
        assert set(ran.codes) <= {"verify-drift", "scorecard-invalid"}
    path.write_bytes(whole)
    assert cli("verify", "--jobs", "1").exit_code == 0


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value
