"""Many commands at once on one workspace: nothing is lost, torn or waited for without end.

``python -m tests.faults.rush [--commands N]`` prints as JSON how they ended and what was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from tests.faults.scenarios import QUICK, command, leftovers, prepare
from tests.tiny import predictions

REFUSALS = ("slug-taken", "board-stale", "entry-changed", "not-scored", "scorecard-stale")
"""Why a command may say that it cannot be done now: another changed the same entry, or is about to."""


def plan(number: int) -> tuple[str, ...]:
    """The command of a place in the rush: new entries, one slug for all, replacements, scores and pages."""
    if number % 12 == 9:
        return ("time", "timed", "--quick", "--batch", "1")
    match number % 6:
        case 0 | 3:
            return ("submit", f"../{number}.csv", "--slug", f"e{number}")
        case 1:
            return ("score", "--all", *QUICK)
        case 2:
            return ("submit", f"../{number}.csv", "--slug", "wanted")
        case 4:
            return ("submit", f"../{number}.csv", "--slug", "two", "--replace")
        case _:
            return ("site", "build")


def start(words: tuple[str, ...], root: Path, log: Path) -> int:
    """Run a command in a child process; return its process id."""
    child = os.fork()
    if child:
        return child
    with log.open("wb") as said:
        os.chdir(root)
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        code = 70
        try:
            code = command(words)
        finally:
            os._exit(code)


def rush(root: Path, commands: int) -> dict[str, Any]:
    """Start all commands, wait for them, and look at what they leave."""
    folder = root.parent
    cohort = load_cohort(load_spec("chexchonet"), folder / "chexchonet-1.0.0")
    for number in range(commands):
        predictions(cohort, 100 + number).to_csv(folder / f"{number}.csv", index=False)
    begun = time.monotonic()
    running = {start(plan(n), root, folder / f"{n}.log"): n for n in range(commands)}
    ended = {n: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid, n in running.items()}
    wrong, refused, waited = [], Counter[str](), 0
    for number, code in sorted(ended.items()):
        said = (folder / f"{number}.log").read_text()
        waited += "Waiting for process" in said
        reasons = [reason for reason in REFUSALS if f"[{reason}]" in said]
        refused.update(reasons[:1])
        if code != 0 and not (code == 1 and reasons):
            wrong.append(f"{' '.join(plan(number))} ended with {code}: {said[-300:]}")
    wrong += look(root, ended)
    took = time.monotonic() - begun
    return {
        "commands": commands,
        "seconds": round(took, 1),
        "refused": refused,
        "waited": waited,
        "wrong": wrong,
    }


def look(root: Path, ended: dict[int, int]) -> list[str]:
    """What was lost: entries that were stored are there and whole, and a last score and build take in all."""
    wrong = []
    store = root / "submissions" / "chexchonet"
    stored = {words[3] for n, code in ended.items() if (words := plan(n))[0] == "submit" and code == 0}
    if missing := sorted(s for s in stored if not (store / s / "predictions.parquet").is_file()):
        wrong.append(f"lost entries: {missing}")
    winners = [n for n, code in ended.items() if plan(n)[-1] == "wanted" and code == 0]
    if len(winners) != 1:
        wrong.append(f"{len(winners)} commands were told that they stored the one entry")
    for words in (("score", "--all", *QUICK), ("site", "build"), ("verify", "--jobs", "1")):
        if code := command(words):
            wrong.append(f"afterwards, {words[0]} ends with {code}")
    board = json.loads((store / "board.json").read_text())
    if lost := sorted(stored - set(board["scorecards"])):
        wrong.append(f"not on the board: {lost}")
    pages = root / "site" / "public" / "e"
    if lost := sorted(s for s in stored if not (pages / s / "index.html").is_file()):
        wrong.append(f"without a page: {lost}")
    return wrong + [f"left behind: {name}" for name in leftovers(root)]


def main() -> None:
    """Print the findings; exit code 1 where something was wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--commands", type=int, default=48)
    chosen = parser.parse_args()
    os.environ["NO_COLOR"] = "1"
    said = os.dup(1)
    os.dup2(2, 1)  # what the commands print is not the result
    folder = Path(tempfile.mkdtemp()).resolve()
    try:
        (folder / "space").mkdir()
        os.chdir(folder / "space")
        found = rush(prepare(folder), chosen.commands)
    finally:
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)
    os.write(said, json.dumps(found, indent=1).encode() + b"\n")
    sys.exit(bool(found["wrong"]))


if __name__ == "__main__":
    main()
