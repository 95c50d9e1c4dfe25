"""`bench verify`: scorecards and board are recomputed; ledger and timings are checked for consistency."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.board.build import build_board
from bench.board.load import load_board, scorecard_file
from bench.board.model import Board
from bench.choices import LabelMode, Track
from bench.cohort.cohort import Cohort
from bench.cohort.spec import CohortSpec
from bench.cohort.summary import SplitLock, without_label_counts
from bench.documents import minor_version
from bench.errors import BenchError, Problem, collecting
from bench.files import round_significant
from bench.metrics import registry
from bench.progress import Progress
from bench.sandbox.reader import read_document
from bench.scoring.attempts import read_ledger
from bench.scoring.published import read_published
from bench.scoring.run import Finished, compute_all, make_plans
from bench.scoring.scorecard import RankInputs, Scorecard, read_scorecard
from bench.submission.packed import read_packed_rows, run_columns, split_runs
from bench.submission.sealed import Seal, read_seal
from bench.submission.store import Submission, find_submission
from bench.timing.record import BatchTiming, TimingRecord
from bench.timing.roofline import least_ms, taken_ms
from bench.workspace import MANIFEST, PREDICTIONS, PUBLISHED, SEALED_PREDICTIONS, attempts_folder


def verify_entries(
    cohort: Cohort,
    entries: Sequence[Submission],
    board_file: Path,
    *,
    whole: bool = True,
    jobs: int = 1,
    progress: Progress | None = None,
) -> list[Problem]:
    """Score entries again with their stored settings and compare; also the board, given all its entries.

    Args:
        cohort: The cohort.
        entries: Entries with predictions.
        board_file: The stored board.
        whole: Whether these are all entries, so that the board must be theirs.
        jobs: Processes.
        progress: Called with (done, total). Caches are not used.

    Returns:
        One problem for each number that differs (the first few of each entry), and for each entry that cannot
        be scored. Empty where everything stored was computed again.
    """
    if not entries:
        return [Problem("board-empty", "There is no entry to verify.")]
    problems: list[Problem] = []
    cards = {}
    for entry in entries:
        with collecting(problems):
            cards[entry.slug] = read_scorecard(entry)
    for entry, rescored in score_again(cohort, entries, cards, jobs, progress):
        if isinstance(rescored, BenchError):
            problems += rescored.problems
        elif rescored.predictions_sha256 != cards[entry.slug].predictions_sha256:
            message = f"Entry {entry.slug!r} changed during the run; its numbers were not compared."
            problems.append(Problem("entry-changed", message, str(entry.folder)))
        else:
            problems += document_differences(entry.slug, _stored_fields(cards[entry.slug]), rescored.card)
    problems += _ledger_problems(entries, cards)
    problems += [p for entry in entries for p in timing_problems(entry)]
    if not problems and whole:
        problems += _board_differences(cohort, entries, board_file)
    return problems


def score_again(
    cohort: Cohort,
    entries: Sequence[Submission],
    cards: Mapping[str, Scorecard],
    jobs: int,
    progress: Progress | None,
) -> Iterator[tuple[Submission, Finished | BenchError]]:
    """Score the entries that have a stored scorecard with its draws, those of the same draws together.

    Args:
        cohort: The cohort.
        entries: Entries with predictions.
        cards: Slug → stored scorecard.
        jobs: Processes.
        progress: Called with (done, total) after each entry.
    """

    def draws(entry: Submission) -> tuple[int, int]:
        return cards[entry.slug].replicates, cards[entry.slug].seed

    known = [entry for entry in entries if entry.slug in cards]
    for replicates, seed in sorted(set(map(draws, known))):
        chosen = [entry for entry in known if draws(entry) == (replicates, seed)]
        plans = make_plans(cohort, chosen, replicates=replicates, seed=seed)
        for done, (entry, result) in enumerate(zip(chosen, compute_all(plans, chosen, jobs), strict=True), 1):
            yield entry, result
            if progress:
                progress(done, len(chosen))


def build_again(cohort: Cohort, entries: Sequence[Submission], stored: Board) -> Board:
    """Build the board of the entries with the rules of a stored one, without the cache."""
    with tempfile.TemporaryDirectory() as fresh:
        return build_board(
            cohort, entries, Path(fresh), one_per_team=stored.one_per_team, ladder=stored.ladder
        )


def check_stored(spec: CohortSpec, folder: Path, lock_file: Path) -> tuple[list[Submission], list[Problem]]:
    """Check the stored entries of a cohort without its data: nothing is computed again.

    Manifests, packed predictions against the counts of the split lock, sealed ones against their seal,
    scorecards against their predictions, the ledger of attempts, timing records and the board are read.

    Args:
        spec: The cohort's spec.
        folder: The cohort's folder of submissions.
        lock_file: The cohort's split lock.

    Returns:
        The entries that could be read, and every problem found.
    """
    problems: list[Problem] = []
    entries = _readable_entries(folder, problems)
    predicted = [entry for entry in entries if entry.manifest.kind != "reported"]
    lock: SplitLock | None = None
    private = spec.labels is LabelMode.PRIVATE
    if any(entry.predictions.is_file() for entry in predicted) or (private and lock_file.exists()):
        with collecting(problems):
            lock = _read_lock(lock_file)
    if private and lock is not None and lock != without_label_counts(lock):
        counted = sum(bool(part.targets) for part in (*lock.parts, *lock.folds))
        message = f"It states how many positives {counted} parts and folds have, and the labels are private."
        remedy = "Run `bench score --all`, which removes the counts."
        problems.append(Problem("labels-kept-back", message, str(lock_file), remedy))
    cards: dict[str, Scorecard] = {}
    seals: dict[str, Seal] = {}
    for entry in predicted:
        with collecting(problems):
            if sealed := _check_predictions(entry, spec, lock):
                seals[entry.slug] = sealed
            if scorecard_file(entry, spec.labels).exists():
                cards[entry.slug] = _stored_card(entry, spec.labels)
    problems += _copied_seals(seals, folder)
    if cards:
        problems += _ledger_problems(entries, cards)
    problems += [p for entry in entries for p in timing_problems(entry)]
    if not problems and entries:
        with collecting(problems):
            load_board(spec, folder, RankInputs)
    return entries, problems


def _readable_entries(folder: Path, problems: list[Problem]) -> list[Submission]:
    """Read the entries of a folder of submissions; those that cannot be read become problems."""
    entries = []
    places = folder.iterdir() if folder.is_dir() else ()
    for place in sorted(p for p in places if p.is_dir() and not p.name.startswith((".", "_"))):
        with collecting(problems):
            if not (place / MANIFEST).is_file():
                raise BenchError(Problem("entry-incomplete", f"It has no {MANIFEST}.", str(place)))
            entries.append(find_submission(folder, place.name))
    return entries


def _read_lock(path: Path) -> SplitLock:
    if not path.exists():
        message = "Without the split lock, predictions cannot be checked for completeness."
        raise BenchError(Problem("split-lock-missing", message, str(path)))
    return read_document(SplitLock, path, "split-lock-invalid")[0]


def _check_predictions(entry: Submission, spec: CohortSpec, lock: SplitLock | None) -> Seal | None:
    """Refuse stored predictions that are missing, or other than the sealed ones or the locked split say.

    Where labels are shared, an entry may hold them sealed only; where they are private, its published
    scorecard alone. Returns the seal, where there is one.
    """
    sealed = read_seal(entry) if spec.labels is LabelMode.SHARED else None
    if entry.predictions.is_file():
        if lock:
            _check_packed(entry, spec, lock)
    elif spec.labels is LabelMode.SHARED and not sealed:
        message = f"It has no {SEALED_PREDICTIONS}, nor {PREDICTIONS}."
        raise BenchError(Problem("entry-incomplete", message, str(entry.folder)))
    elif spec.labels is LabelMode.PUBLIC or not (sealed or (entry.folder / PUBLISHED).exists()):
        raise BenchError(Problem("entry-incomplete", f"It has no {PREDICTIONS}.", str(entry.folder)))
    return sealed


def _copied_seals(seals: Mapping[str, Seal], folder: Path) -> list[Problem]:
    """Find entries that hold the sealed predictions of another entry; no key is needed.

    Predictions are salted and encrypted anew for every entry, so that equal hashes are copies.
    """
    holders: dict[str, list[str]] = {}
    for slug, seal in seals.items():
        for digest in (seal.predictions_sha256, seal.sealed_sha256):
            holders.setdefault(digest, []).append(slug)
    copied = dict.fromkeys(tuple(slugs) for slugs in holders.values() if len(slugs) > 1)
    messages = [
        f"{len(slugs)} entries hold the same predictions: {', '.join(slugs[:8])}." for slugs in copied
    ]
    return [Problem("seal-copied", message, str(folder)) for message in messages]


def _stored_card(entry: Submission, labels: LabelMode) -> Scorecard:
    """The scorecard as published; where the whole one is stored too, that is read as well."""
    if labels is LabelMode.PUBLIC:
        return read_scorecard(entry)
    if entry.scorecard.exists():
        read_scorecard(entry)
    return read_published(entry, Scorecard)[0]


def _check_packed(entry: Submission, spec: CohortSpec, lock: SplitLock) -> None:
    """Refuse stored predictions that are damaged or not of the locked split."""
    images = {part.part: part.images for part in lock.parts}
    track = entry.manifest.track
    rows = lock.images if track == Track.CV5 else images.get("test", 0)
    first = read_packed_rows(entry.predictions, spec, lock.fingerprint, track, rows)
    if spec.headline not in first.values:
        message = f"They have no column of the headline target {spec.headline}."
        raise BenchError(Problem("stored-predictions", message, str(entry.predictions)))
    further = (
        read_packed_rows(entry.runs, spec, lock.fingerprint, track, rows, run_columns(spec))
        if entry.runs.is_file()
        else None
    )
    split_runs(first, further, entry.runs)
    if entry.val_predictions.is_file():
        read_packed_rows(entry.val_predictions, spec, lock.fingerprint, "val", images.get("val", 0))


def _ledger_problems(entries: Sequence[Submission], cards: dict[str, Scorecard]) -> list[Problem]:
    """Scorecards whose predictions no line of the ledger of attempts counts."""
    folder = entries[0].folder.parent
    try:
        ledger = read_ledger(folder)
    except BenchError as error:
        return list(error.problems)
    missing = [
        slug
        for slug, card in cards.items()
        if card.predictions_sha256 not in {a.predictions_sha256 for a in ledger.get(slug, ())}
    ]
    if not missing:
        return []
    message = f"{len(missing)} scorecards have no line in the ledger of attempts: {', '.join(missing[:8])}."
    return [Problem("ledger-missing", message, str(attempts_folder(folder)))]


UNVERIFIED = (
    "latencies and throughput: their figures were checked against each other, not measured again",
    "what manifests state of training data, inputs and dates",
    "published numbers of reported entries",
)
"""What a recomputation cannot show."""


def timing_problems(entry: Submission) -> list[Problem]:
    """Find figures of an entry's timing records that contradict each other.

    The quantiles must be in order and within their intervals, the throughput must follow from the latency,
    and neither may be better than the device's measured ceilings allow. The ceilings are not compared with
    unstable rows, which take no rank: other work on the device may have lowered either.
    """
    problems: list[Problem] = []
    for path in sorted(entry.timings.glob("*.json")):
        with collecting(problems):
            record, _ = read_document(TimingRecord, path, "timing-invalid")
            problems += [
                Problem("timing-inconsistent", f"{entry.slug}, batch {row.batch}: {fault}.", str(path))
                for row in record.batches
                for fault in _row_faults(row, record)
            ]
    return problems


def _row_faults(row: BatchTiming, record: TimingRecord) -> Iterator[str]:
    for latency in (row.end_to_end, row.compute):
        known = [q.value_ms for q in (latency.p50, latency.p95, latency.p99) if q.value_ms is not None]
        if known != sorted(known) or min(known, default=1) <= 0:
            yield "p50, p95 and p99 are not in ascending order"
        for quantile in (latency.p50, latency.p95, latency.p99):
            ends = [v for v in (quantile.low_ms, quantile.value_ms, quantile.high_ms) if v is not None]
            if ends != sorted(ends):
                yield "a latency lies outside its interval"
    p50, images = row.end_to_end.p50.value_ms, row.throughput.images_per_s
    least = least_ms(record.roofline, row.batch) if row.stability.stable else None
    if images is not None and p50 and images > MOST_SPEEDUP * 1000 * row.batch / p50:
        yield f"{images:,.0f} images/s do not follow from a median of {p50:.3g} ms"
    if images is not None and least and images > TOLERANCE * 1000 * row.batch / least:
        yield f"{images:,.0f} images/s are more than the device was seen to do"
    if (taken := taken_ms(row)) is not None and least and taken * TOLERANCE < least:
        yield f"{taken:.3g} ms are less than the work takes at the device's ceilings, {least:.3g} ms"


MOST_SPEEDUP = 4.0
"""Most by which batches in flight, and a median above the fastest run, can raise the throughput."""
TOLERANCE = 1.5
"""Factor by which a ceiling that was measured on a busy device may be too low."""


def _board_differences(cohort: Cohort, entries: Sequence[Submission], board_file: Path) -> list[Problem]:
    if not board_file.exists():
        return [Problem("board-stale", f"No board of {len(entries)} entries is stored.", str(board_file))]
    try:
        stored, _ = read_document(Board, board_file, "board-invalid")
    except BenchError as error:
        return list(error.problems)
    if others := sorted(set(stored.scorecards) ^ {entry.slug for entry in entries}):
        message = f"The stored board and the entries differ by {', '.join(others[:8])}."
        return [Problem("board-stale", message, str(board_file))]
    return document_differences("board", _stored_fields(stored), build_again(cohort, entries, stored))


def _stored_fields(document: Scorecard | Board) -> dict[str, Any]:
    """Return the fields that the file of a document sets, as plain data."""
    return {**document.model_dump(mode="json", by_alias=True, exclude_unset=True), "schema": document.schema_}


MOST_NAMED = 5


def document_differences(name: str, stored: dict[str, Any], computed: Scorecard | Board) -> list[Problem]:
    """Compare a stored document with one computed now, after rounding to 9 significant digits.

    A field that one of the two versions of the schema does not have is not compared, nor is a metric of
    another package that was not installed.

    Args:
        name: The document in messages.
        stored: Content of the stored file.
        computed: The document computed now.

    Returns:
        One problem (``verify-drift``) for each of the first differences, and one that counts the others.
    """
    newer_minor = minor_version(computed.schema_) - minor_version(stored["schema"])
    differing = list(_differences("", stored, computed.plain(), newer_minor))
    problems = [
        Problem("verify-drift", f"{name}: {path} is {_shown(old)} as stored, {_shown(new)} now.")
        for path, old, new in differing[:MOST_NAMED]
    ]
    if len(differing) > MOST_NAMED:
        message = f"{name}: {len(differing) - MOST_NAMED} more numbers differ."
        problems.append(Problem("verify-drift", message))
    return problems


def _differences(path: str, old: Any, new: Any, newer_minor: int) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, old and new value of every difference.

    Args:
        path: Where in the document.
        old: Stored value.
        new: Computed value.
        newer_minor: Minor version of the computed document's schema minus that of the stored one's.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            named = f"{path}.{key}" if path else key
            added = key not in old and (newer_minor > 0 or _of_another_package(path, key))
            dropped = key not in new and newer_minor < 0
            if named not in UNCOMPARED and not added and not dropped:
                yield from _differences(named, old.get(key), new.get(key), newer_minor)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}[{_name(a, i)}]", a, b, newer_minor)
    elif not _same(old, new):
        yield path, old, new


UNCOMPARED = ("harness_version", "schema")
"""Fields that say what wrote a document."""


def _of_another_package(path: str, key: str) -> bool:
    """Return whether a key is a metric of another package."""
    return path.endswith((".metrics", ".gaps")) and key not in _BUILT_IN


_BUILT_IN = frozenset(metric.key for metric in registry.BUILT_IN)


def _name(item: Any, place: int) -> str:
    if isinstance(item, dict) and "target" in item:
        return " ".join(str(item[key]) for key in ("target", "division", "level") if key in item)
    return str(place)


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return round_significant(old) == round_significant(new)
    return bool(old == new)


def _shown(value: Any) -> str:
    return str(round_significant(value)) if isinstance(value, float) else str(value)[:60]
