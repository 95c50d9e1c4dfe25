"""Attacks on the commands, and what they cost: ``python -m tests.trust.containment`` prints a table.

Each hostile file is handed to `bench` in a process of its own, on the demo. A row gives how the command
ended, how long it took and the peak memory of the main process (its children are not counted).
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from bench.actions.context import open_cohort
from bench.cohort.synthetic.write import write_demo
from bench.workspace import create_workspace

MOST_MB = 300
MOST_S = 60


@dataclass(frozen=True, slots=True)
class Attack:
    """A hostile file and the command that reads it.

    Attributes:
        kind: What is attacked.
        name: What the file does.
        write: Writes it, in a folder; returns the words of the command.
    """

    kind: str
    name: str
    write: Callable[[Path], list[str]]


def manifests(good: bytes) -> Iterator[Attack]:
    """Manifests beside good predictions."""
    from tests.trust.test_hostile_manifests import LARGE

    for name, text in LARGE.items():

        def write(folder: Path, text: Callable[[], str] = text) -> list[str]:
            (folder / "submission.toml").write_text(text())
            (folder / "p.csv").write_bytes(good)
            return ["submit", "p.csv", "--slug", "hostile"]

        yield Attack("manifest", name, write)


def _file(name: str, make: Callable[[], bytes]) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        (folder / name).write_bytes(make())
        return ["submit", name, "--slug", "hostile"]

    return write


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _repeated(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))


def predictions(good: bytes, head: str, target: str) -> Iterator[Attack]:
    """Predictions that unpack to much, or are much."""
    header = f"{head},{target}\n".encode()
    zeros = pa.array(np.zeros(2_000_000))
    for name, file, make in (
        ("gzip bomb of 1 GiB", "p.csv.gz", lambda: gzip.compress(header + b"a,0\n" * 2**28, 1)),
        ("400 MiB of rows", "p.csv", lambda: header + b"a.png,0.5\n" * (40 * 2**20)),
        ("2,000,000 rows", "p.csv", lambda: header + b"0123456789abcdef.png,0.5\n" * 2_000_000),
        ("5,000,000 columns", "p.csv", lambda: b"a" + b"," * 5_000_000 + b"\n"),
        ("one line of 200 MiB", "p.csv", lambda: header + b"x" * (200 * 2**20)),
        ("10,000,000 ragged rows", "p.csv", lambda: header + b"a,1,2\n" * 10_000_000),
        ("quotes without end", "p.csv", lambda: header + b'"' * (100 * 2**20)),
        ("text of 200 GB", "p", lambda: _parquet(pa.table({head: _repeated("x" * 5_000_000, 40_000)}))),
        ("texts of 9 kB", "p", lambda: _parquet(pa.table({head: _repeated("x" * 9_000, 200_000)}))),
        ("600 MB of columns", "p", lambda: _parquet(pa.table({f"c{i}": zeros for i in range(38)}))),
        ("long name of a column", "p", lambda: _parquet(pa.table({"n" * 2**22: [0.5], head: ["a"]}))),
        ("damaged Parquet", "p", lambda: b"PAR1" + os.urandom(2**20) + b"PAR1"),
    ):
        yield Attack("predictions", name, _file(file, make))
    yield Attack("predictions", "(a good file)", _file("p.csv", lambda: good))


def models(target: str) -> Iterator[Attack]:
    """Models that the check or the run has to contain."""
    from tests.runtime.models import busy_model, hungry_model
    from tests.trust.test_hostile_graphs import HOSTILE

    manifest = (
        'name = "A"\nteam = "B"\ndate = 2026-01-01\ninputs = ["image"]\n[model.image]\nname = "image"\n'
        'height = 24\nwidth = 24\n[model]\nactivation = "sigmoid"\n[model.outputs]\n'
        f'{target} = "scores:0"\n'
    )
    made = {name: make for name, (make, _) in HOSTILE.items()}
    made["100 GB of memory"] = lambda: hungry_model(100)
    made["no end"] = lambda: busy_model(10_000, 700)
    made["a billion passes"] = lambda: busy_model(10**9, 2)
    for name, make in made.items():

        def write(folder: Path, make: Callable[[], object] = make) -> list[str]:
            (folder / "submission.toml").write_text(manifest)
            (folder / "m.onnx").write_bytes(make().SerializeToString())  # type: ignore[attr-defined]
            return ["submit", "--model", "m.onnx", "--slug", "hostile"]

        yield Attack("model", name, write)


def entries() -> Iterator[Attack]:
    """Folders in the store, as a pull request brings them."""
    from tests.trust.test_hostile_manifests import LARGE
    from tests.trust.test_hostile_paths import STRANGE

    def at(folder: Path) -> Path:
        entry = folder / "submissions" / "demo" / "hostile"
        entry.mkdir(parents=True)
        (entry / "submission.toml").write_text(
            'name = "A"\nteam = "B"\ndate = 2026-01-01\ninputs = ["image"]\n'
        )
        return entry

    for name, (make, _) in STRANGE.items():

        def strange(folder: Path, make: Callable[[Path], object] = make) -> list[str]:
            make(at(folder))
            return ["board"]

        yield Attack("stored entry", name, strange)
    for name, text in LARGE.items():

        def large(folder: Path, text: Callable[[], str] = text) -> list[str]:
            (at(folder) / "submission.toml").write_text(text())
            return ["board"]

        yield Attack("stored entry", f"manifest: {name}", large)
    for name, data in (
        ("scorecard: 60 MiB of brackets", b"[" * (60 * 2**20)),
        ("scorecard: 60 MiB of lists", b"[" + b"[]," * (20 * 2**20) + b"[]]"),
        ("scorecard: 60 MiB of unknown keys", b"{" + b'"a":1,' * (10 * 2**20) + b'"b":1}'),
        ("scorecard: a number of 60 MB", b"9" * (60 * 2**20)),
    ):

        def card(folder: Path, data: bytes = data) -> list[str]:
            (at(folder) / "scorecard.json").write_bytes(data)
            return ["board"]

        yield Attack("stored entry", name, card)


def run(attack: Attack) -> tuple[int, float, float, str]:
    """Exit code, seconds, MiB of the main process, and the last words of one attack."""
    with emptied_folder() as folder:
        space = create_workspace(folder / "w").root
        words = attack.write(space)
        begun = time.perf_counter()
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen(
                [sys.executable, "-m", "bench", *words], cwd=space, stdout=said, stderr=subprocess.STDOUT
            )
            peak_kib = 0
            while child.poll() is None:
                peak_kib = max(peak_kib, _peak_kib(child.pid))
                time.sleep(0.01)
            seconds = time.perf_counter() - begun
            said.seek(0)
            lines = [line for line in said.read().decode(errors="replace").splitlines() if "[" in line]
    code = next((line.partition("[")[2].partition("]")[0] for line in lines if line.startswith("error")), "")
    return child.returncode, seconds, peak_kib / 1024, code


@contextmanager
def emptied_folder() -> Iterator[Path]:
    """A temporary folder, removed by a program that does not recurse, whatever lies in it."""
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)


def _peak_kib(pid: int) -> int:
    """Largest resident memory of a process so far, without its parent's, which `getrusage` inherits."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def main() -> None:
    """Print the table; exit code 1 where an attack was not contained."""
    data = Path(tempfile.mkdtemp()) / "demo"
    write_demo(data)
    os.environ["BENCH_DATA"] = str(data)
    cohort = open_cohort("demo")
    rows, head = cohort.rows("test"), cohort.spec.columns.image
    target = cohort.spec.headline
    scores = np.random.default_rng(0).random(len(rows))
    lines = [f"{head},{target}", *(f"{i},{p}" for i, p in zip(cohort.images[rows], scores, strict=True))]
    good = ("\n".join(lines) + "\n").encode()
    chosen = sys.argv[1:]  # kinds, or names of attacks
    attacks = [*manifests(good), *predictions(good, head, target), *models(target), *entries()]
    open_ended = 0
    for attack in attacks:
        if chosen and not {attack.kind, attack.name} & {*chosen}:
            continue
        code, seconds, memory, said = run(attack)
        contained = code in ((0,) if "good file" in attack.name else (1,)) and memory <= MOST_MB
        contained &= seconds <= MOST_S
        open_ended += not contained
        mark = "" if contained else " NOT CONTAINED"
        print(f"| {attack.kind} | {attack.name} | {said} | {seconds:.1f} | {memory:.0f} |{mark}", flush=True)
    print(f"{open_ended} not contained")
    sys.exit(bool(open_ended))


if __name__ == "__main__":
    main()
