"""Kills every command that writes at every call that changes a file, fills the disk, and takes rights away.

``python -m tests.faults [--sample N --seed S] [--shard I/N] [--only NAME ...] [--rush N]`` prints as JSON
the points tried, what was wrong, and what was found out about a careless command; ``--rush`` starts
N commands at once too.
The process loads the libraries and makes a workspace; each point runs in a child forked from it, so that it
costs no start.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.durable import not_durable
from tests.faults.repositories import stale_locks
from tests.faults.rush import rush
from tests.faults.scenarios import (
    CARELESS,
    KEPT,
    SCENARIOS,
    Scenario,
    command,
    leftovers,
    prepare,
    restore,
    sealed_faults,
    state,
)

COUNT, KILL, HALF, FULL, DENIED, BROKEN = range(6)
MODES = {
    KILL: "killed before",
    HALF: "killed half-way",
    FULL: "disk full",
    DENIED: "no rights",
    BROKEN: "I/O error",
}
CLEAN_ENDS = (0, 1, 3)
DONE_ALREADY = (
    "slug-taken",
    "file-exists",
    "release-name",
    "entry-retracted",
    "entry-unknown",
    "registration-late",
    "sign-key-exists",
)
"""Refusals by which the next run says that nothing is left to do."""
KILLED = -9


def compiled(folder: Path) -> Path:
    """The shim, compiled."""
    target = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", target, source, "-ldl"], check=True)
    return target


def forked(
    scenario: Scenario, root: Path, mode: int, at: int, log: Path | None = None
) -> tuple[int, int, str]:
    """Exit code (negative: a signal), calls counted, and what was printed of a command run in a child."""
    read, write = os.pipe()
    said = tempfile.TemporaryFile()  # noqa: SIM115
    child = os.fork()
    if child == 0:
        os.chdir(root)
        os.setpgid(0, 0)
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        shim: Any = ctypes.CDLL(None)
        if scenario.with_git:
            share(shim, root.with_name("shared"))
        log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if log else -1
        shim.fault_arm(os.fsencode(root), mode, ctypes.c_long(at), log_fd)
        code = 70
        try:
            code = command(scenario.words)
        finally:
            shim.fault_disarm()
            os.write(write, str(shim.fault_count()).encode())
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as stream:
        counted = int(stream.read() or -1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(ChildProcessError):
        while True:  # what it started and left dies with it, or ends
            os.waitpid(-child, 0)
    said.seek(0)
    return code, counted, said.read().decode(errors="replace")


def share(shim: Any, file: Path) -> None:
    """Count the calls of the programs that this process will start with its own, by a file that all map."""
    file.write_bytes(bytes(shim.fault_size()))
    shim.fault_share(os.fsencode(file))
    os.environ.update(BENCH_FAULTS=str(file), LD_PRELOAD=os.environ["BENCH_SHIM"])


@dataclass
class Findings:
    """Faults that were tried, and the wrong outcomes."""

    points: Counter[str] = field(default_factory=Counter)
    of: Counter[str] = field(default_factory=Counter)
    processor_s: dict[str, float] = field(default_factory=dict)
    by_hand: int = 0
    wrong: list[str] = field(default_factory=list)

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)
            print(f"WRONG: {what}", file=sys.stderr, flush=True)


def after(
    scenario: Scenario, old: dict[str, bytes], new: dict[str, bytes], now: dict[str, bytes]
) -> Iterator[str]:
    """Faults of a state that a fault left: files that are neither old nor new, files that are gone."""
    for path, data in now.items():
        if any(part in path for part in scenario.changing):
            if path.endswith(".json") and not _is_json(data):
                yield f"{path} is torn"
        elif path.startswith(".bench/"):
            continue  # what can be computed again is judged by the next run
        elif data not in (old.get(path), new.get(path)):
            yield f"{path} is neither the old file nor the new one"
    for path in (old.keys() & new.keys()) - now.keys() - set(scenario.marks):
        yield f"{path} is gone"
    for folder in {str(Path(p).parent) for p in (old | new) if p.endswith("submission.toml")}:
        pair = [f"{folder}/submission.toml", f"{folder}/predictions.parquet"]
        found = [now.get(p) for p in pair]
        if found not in ([old.get(p) for p in pair], [new.get(p) for p in pair]):
            yield f"{folder} is a mixture of old and new"


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def same_end(scenario: Scenario, new: dict[str, bytes], end: dict[str, bytes]) -> bool:
    """Whether the next run ended where an undisturbed one does."""

    def kept(found: dict[str, bytes]) -> dict[str, bytes | None]:
        return {p: None if any(c in p for c in scenario.changing) else d for p, d in found.items()}

    return kept(new) == kept(end)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which points are tried.

    Attributes:
        sample: Points of each command, drawn without replacement; 0 for all.
        seed: Seed of the sample.
        shard: Of N equal shares of the points, the I-th: (I, N), I from 1.
    """

    sample: int = 0
    seed: int = 1
    shard: tuple[int, int] = (1, 1)

    def points(self, calls: int, name: str) -> list[tuple[int, int]]:
        """(fault, call) of the points of one command, in order."""
        points = [(mode, at) for mode in MODES for at in range(1, calls + 1)]
        if 0 < self.sample < len(points):
            points = sorted(Random(f"{self.seed} {name}").sample(points, self.sample))
        return points[self.shard[0] - 1 :: self.shard[1]]


EVERY = Choice()


def try_scenario(
    scenario: Scenario, kept: Path, root: Path, findings: Findings, choice: Choice = EVERY
) -> None:
    """Run one command undisturbed, then with a fault at each of the chosen calls."""
    restore(kept, root, scenario)
    old = state(root)
    log = root.with_name("calls")
    code, calls, said = forked(scenario, root, COUNT, 0, log)
    for fault in not_durable(log.read_text().splitlines()):
        findings.check(False, f"{scenario.name}: {fault}")
    findings.check(code == 0 and calls > 0, f"{scenario.name}: undisturbed it ends with {code}: {said}")
    new = state(root)
    findings.of[scenario.name] = calls * len(MODES)
    begun = _processor_s()
    for mode, at in choice.points(calls, scenario.name):
        name = f"{scenario.name}, {MODES[mode]} call {at}"
        try_point(scenario, (mode, at), kept, root, old, new, findings, name)
    findings.processor_s[scenario.name] = round(_processor_s() - begun, 1)


def _processor_s() -> float:
    """Processor time of this process and of all that it started and waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def try_point(
    scenario: Scenario,
    fault: tuple[int, int],
    kept: Path,
    root: Path,
    old: dict[str, bytes],
    new: dict[str, bytes],
    findings: Findings,
    name: str,
) -> None:
    """One fault: how the command ends, what it leaves, and that the next run finishes the work."""
    mode, at = fault
    restore(kept, root, scenario)
    code, _, said = forked(scenario, root, mode, at)
    findings.points[scenario.name] += 1
    ends = (KILLED, 0) if mode in (KILL, HALF) else CLEAN_ENDS
    findings.check(code in ends, f"{name}: it ended with {code}: {said[-400:]}")
    findings.check("Traceback" not in said, f"{name}: a traceback: {said[-400:]}")
    now = state(root)
    for fault_found in (*after(scenario, old, new, now), *sealed_faults(root)):
        findings.check(False, f"{name}: {fault_found}")
    if now.keys() >= new.keys() and all(now[p] == new[p] for p in new) and code == 0:
        return
    again, _, said = forked(scenario, root, COUNT, 0)
    if locks := [lock for lock in stale_locks(root) if lock.name in said]:
        findings.by_hand += 1  # git never takes a lock from a dead process; what was said names the file
        for lock in locks:
            lock.unlink()
        again, _, said = forked(scenario, root, COUNT, 0)
    done = again == 1 and any(code in said for code in DONE_ALREADY)
    findings.check(again == 0 or done, f"{name}: the next run ended with {again}: {said[-400:]}")
    findings.check(same_end(scenario, new, state(root)), f"{name}: the next run ended elsewhere")
    if not done:
        findings.check(not leftovers(root), f"{name}: left behind: {leftovers(root)}")


def adopt_orphans() -> None:
    """Makes what killed commands leave running children of this process, so that it can wait for them."""
    set_child_subreaper = 36
    ctypes.CDLL(None).prctl(set_child_subreaper, 1)


def main() -> None:
    """Print the findings; exit code 1 where something was wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", type=int, default=0, help="points of each command; 0 for all")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample")
    parser.add_argument("--only", nargs="+", default=[], help="only the scenarios of these names")
    parser.add_argument("--rush", type=int, default=0, help="start so many commands at once besides")
    parser.add_argument("--shard", default="1/1", help="I/N: only the I-th of N equal shares of the points")
    chosen = parser.parse_args()
    part, _, parts = chosen.shard.partition("/")
    choice = Choice(chosen.sample, chosen.seed, (int(part), int(parts)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        if "BENCH_SHIM" not in os.environ:
            shim = str(compiled(folder))
            environment = {**os.environ, "LD_PRELOAD": shim, "BENCH_SHIM": shim}
            words = [sys.executable, "-m", "tests.faults", *sys.argv[1:]]
            sys.exit(subprocess.run(words, env=environment, check=False).returncode)
        os.environ.pop("LD_PRELOAD")  # for this process alone, not for its workers
        os.environ["NO_COLOR"] = "1"
        adopt_orphans()
        tempfile.tempdir = str(folder / "temporary")
        (folder / "temporary").mkdir()
        said = os.dup(1)
        os.dup2(2, 1)  # what the commands print is not the result
        here = Path.cwd()
        (folder / "space").mkdir()
        os.chdir(folder / "space")
        scenarios = [s for s in SCENARIOS if not chosen.only or s.name in chosen.only]
        root = prepare(folder, scenarios)
        os.chdir(here)
        kept = folder / KEPT
        root.rename(kept)
        findings, careless = Findings(), Findings()
        for scenario in scenarios:
            try_scenario(scenario, kept, root, findings, choice)
            print(
                f"{scenario.name}: {findings.points[scenario.name]} points, "
                f"{findings.processor_s[scenario.name]} s of processor time, {len(findings.wrong)} wrong",
                file=sys.stderr,
                flush=True,
            )
        store = folder / "store"  # all that the careless command writes to; copied for each of its points
        shutil.copytree(kept / "submissions", store / "submissions")
        try_scenario(CARELESS, store, root, careless)
        findings.check(bool(careless.wrong), "the careless command was not found out")
        found: dict[str, Any] = {
            "points": findings.points,
            "points in all": findings.of,
            "processor seconds": findings.processor_s,
            "total": findings.points.total(),
            "locks of git to remove by hand": findings.by_hand,
            "found out about the careless command": careless.wrong,
            "wrong": findings.wrong,
        }
        if chosen.rush:
            restore(kept, root)
            os.chdir(root)
            found["rush"] = rush(root, chosen.rush)
            findings.wrong += found["rush"]["wrong"]
        os.write(said, json.dumps(found, indent=1).encode() + b"\n")
    sys.exit(bool(findings.wrong))


if __name__ == "__main__":
    main()
