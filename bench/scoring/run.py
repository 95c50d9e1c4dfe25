"""Scoring of stored submissions: read predictions, write scorecards, cache replicates for the board."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from bench.choices import LabelMode, Track
from bench.cohort.cohort import Cohort
from bench.documents import Document, read_json
from bench.errors import BenchError, Problem
from bench.files import canonical_json, sha256_bytes, write_atomic, write_json
from bench.metrics.validation import Floats
from bench.progress import Progress
from bench.scoring.attempts import record_attempt
from bench.scoring.cluster import send_once
from bench.scoring.plan import Plan, make_plan
from bench.scoring.published import published_file
from bench.scoring.score import RankedAuroc, Scored, ranked_auroc, score
from bench.scoring.scorecard import SCORING_VERSION, Scorecard
from bench.submission.packed import read_efficiency, read_runs, read_units
from bench.submission.store import Submission, unchanged
from bench.workspace import PUBLISHED

FEWEST_FOR_PROCESSES = 8
"""Smallest number of entries for which processes save time."""

MOST_IN_A_BATCH = 16
"""Largest number of entries that a process scores before they are stored."""


@dataclass(frozen=True, slots=True)
class Plans:
    """Plans of a cohort, one for each track that an entry uses, with the same seed and replicates."""

    cohort: Cohort
    by_track: dict[str, Plan]

    def of(self, submission: Submission) -> Plan:
        """Return the plan of an entry's track."""
        return self.by_track[submission.manifest.track]


def make_plans(
    cohort: Cohort,
    entries: Sequence[Submission],
    *,
    replicates: int,
    seed: int,
    reuse: Plans | None = None,
) -> Plans:
    """Make plans for the tracks of these entries; reuse plans of the same cohort and draws."""

    def plan(track: Track) -> Plan:
        existing = reuse.by_track.get(track) if reuse is not None and reuse.cohort is cohort else None
        if existing is not None and (existing.replicates, existing.seed) == (replicates, seed):
            return existing
        return make_plan(cohort, track=track, replicates=replicates, seed=seed)

    return Plans(cohort, {track: plan(track) for track in sorted({e.manifest.track for e in entries})})


@dataclass(frozen=True, slots=True)
class Finished:
    """File contents of a scored entry, as bytes that pass quickly between processes.

    Attributes:
        exact: Scorecard as JSON with all digits.
        scorecard: Content of ``scorecard.json``.
        replicates: Content of the file of replicates, see `entry_replicates`.
        key: Name of the file of replicates.
        predictions_sha256: SHA-256 of the scored predictions.
        val_predictions_sha256: SHA-256 of the val predictions, empty without them.
    """

    exact: bytes
    scorecard: bytes
    replicates: bytes
    key: str
    predictions_sha256: str
    val_predictions_sha256: str

    @classmethod
    def of(cls, plan: Plan, scored: Scored) -> Finished:
        """Encode a scored entry."""
        card = scored.scorecard
        return cls(
            card.model_dump_json(by_alias=True).encode(),
            canonical_json(card.plain()),
            _replicates_file(plan, scored.ranked),
            replicates_key(plan, card.predictions_sha256),
            card.predictions_sha256,
            card.val_predictions_sha256,
        )

    @property
    def card(self) -> Scorecard:
        """Scorecard with all digits."""
        return Scorecard.model_validate_json(self.exact)


def score_submission(plans: Plans, submission: Submission) -> Scored:
    """Score one stored entry; write nothing.

    Raises:
        BenchError: The stored predictions are damaged or of another split.
    """
    predicted = read_units(submission.predictions, plans.cohort, submission.manifest.track)
    on_val = submission.val_predictions
    val = read_units(on_val, plans.cohort, "val") if on_val.exists() else None
    runs = read_runs(submission.runs, predicted, plans.cohort, submission.manifest.track)
    for run in (predicted.values, *runs):
        _require_scores(submission, plans.of(submission), run)
    fewer = submission.label_efficiency
    efficiency = read_efficiency(fewer, plans.cohort) if fewer.exists() else None
    return score(
        plans.of(submission),
        submission.slug,
        predicted.values,
        scores=submission.manifest.scores,
        predictions_sha256=predicted.sha256,
        val=val.values if val else None,
        val_sha256=val.sha256 if val else "",
        efficiency=efficiency.values if efficiency else None,
        efficiency_sha256=efficiency.sha256 if efficiency else "",
        runs=runs,
        runs_sha256=predicted.stamp.runs_sha256,
    )


def _require_scores(submission: Submission, plan: Plan, values: dict[str, Floats]) -> None:
    """Repeat the checks of `submit`, since a stored folder may come from another source."""
    binary = {t.target.name for t in plan.targets}
    faults = [] if plan.spec.headline in values else ["the headline target is missing"]
    if unknown := sorted(set(values) - {t.name for t in plan.spec.targets}):
        faults.append(f"unknown targets {', '.join(unknown)}")
    if submission.manifest.scores == "probability":
        outside = sum(int(((v < 0) | (v > 1)).sum()) for name, v in values.items() if name in binary)
        faults += [f"{outside} probabilities outside [0, 1]"] if outside else []
    if faults:
        message = f"Entry {submission.slug!r}: {'; '.join(faults)}."
        raise BenchError(Problem("stored-predictions", message, where=str(submission.predictions)))


def score_all(
    plans: Plans,
    entries: Sequence[Submission],
    cache: Path,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
    finished: Callable[[Finished], None] | None = None,
) -> None:
    """Score entries and store the scorecard and replicates of each as soon as it is finished.

    Args:
        plans: Plans of the entries' tracks.
        entries: Entries to score.
        cache: Folder of replicates.
        jobs: Number of processes; results do not depend on it.
        progress: Called with (done, total).
        finished: Called with each result once it is stored.

    Raises:
        BenchError: Entries that cannot be scored; the others are scored and stored.
    """
    problems: list[Problem] = []
    for count, (entry, result) in enumerate(zip(entries, compute_all(plans, entries, jobs), strict=True), 1):
        try:
            if isinstance(result, BenchError):
                raise result
            _store_result(entry, result, cache, plans.cohort.spec.labels)
            if finished:
                finished(result)
        except BenchError as error:
            problems += error.problems
        if progress:
            progress(count, len(entries))
    if problems:
        raise BenchError(problems)


def _store_result(entry: Submission, result: Finished, cache: Path, labels: LabelMode) -> None:
    """Store the result of an entry if its predictions have not changed."""
    write_atomic(cache / f"{result.key}.npy", result.replicates)
    published = b"" if labels is LabelMode.PUBLIC else published_file(result.card, labels)
    with unchanged(entry, result.predictions_sha256, result.val_predictions_sha256):
        record_attempt(entry, result.predictions_sha256)
        write_atomic(entry.scorecard, result.scorecard)
        if published:
            write_atomic(entry.folder / PUBLISHED, published)


def compute_all(plans: Plans, entries: Sequence[Submission], jobs: int) -> Iterator[Finished | BenchError]:
    """Score entries in order, with `jobs` processes if there are enough entries; write nothing."""
    from joblib import Parallel, delayed

    workers = jobs if len(entries) >= FEWEST_FOR_PROCESSES else 1
    # A batch carries the plans once and shares all work that depends on labels and draws alone.
    batch = min(MOST_IN_A_BATCH, -(-len(entries) // (4 * workers)))
    send_once(plans)
    pool = Parallel(n_jobs=workers, return_as="generator", batch_size=max(batch, 1))
    return pool(delayed(_score_or_error)(plans, entry) for entry in entries)  # type: ignore[no-any-return]


def _score_or_error(plans: Plans, entry: Submission) -> Finished | BenchError:
    try:
        return Finished.of(plans.of(entry), score_submission(plans, entry))
    except BenchError as error:
        return error


def replicates_key(plan: Plan, predictions_sha256: str) -> str:
    """Compute the cache key from everything that an entry's replicates depend on."""
    stamp = (plan.stamp.fingerprint, plan.stamp.study_views, plan.labels_sha256)
    parts = (predictions_sha256, *stamp, plan.seed, plan.replicates, SCORING_VERSION)
    return sha256_bytes("\n".join(map(str, parts)).encode())


@dataclass(frozen=True, slots=True)
class EntryReplicates:
    """Ranked AUROC of each target; NaN if undefined.

    Attributes:
        values: The AUROC.
        replicates: (B,) the AUROC in every replicate.
        influences: (patients with rows,) influence of every patient; empty if undefined.
    """

    values: dict[str, float]
    replicates: dict[str, Floats]
    influences: dict[str, Floats]


def _table_shape(plan: Plan) -> tuple[int, int]:
    """Return the shape of the file of replicates: value, replicates and influences of every target."""
    patients = max((len(t.bootstrap.patients) for t in plan.targets), default=0)
    return len(plan.targets), 1 + plan.replicates + patients


def _replicates_file(plan: Plan, ranked: dict[str, RankedAuroc]) -> bytes:
    """Encode the table of `_table_shape` as a float64 .npy file, followed by its SHA-256.

    NaN marks undefined values, and pads the influences of a target that some patients lack.
    """
    table = np.full(_table_shape(plan), np.nan)
    for row, target in zip(table, plan.targets, strict=True):
        auroc = ranked.get(target.target.name)
        if auroc is not None and auroc.estimate.value is not None:
            row[0] = auroc.estimate.value
            row[1 : 1 + plan.replicates] = auroc.replicates
            row[1 + plan.replicates :][: len(auroc.influence)] = auroc.influence
    sink = io.BytesIO()
    np.save(sink, table, allow_pickle=False)
    return sink.getvalue() + hashlib.sha256(sink.getbuffer()).digest()


def _cached_table(path: Path) -> Floats | None:
    """Read a table that `_replicates_file` encoded; None where there is none, or its checksum differs."""
    try:
        data = path.read_bytes()
        if hashlib.sha256(memoryview(data)[:-_DIGEST]).digest() != data[-_DIGEST:]:
            return None
        table: Floats = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return table


_DIGEST = hashlib.sha256().digest_size
"""Bytes of the checksum at the end of a file of replicates."""


class ReplicateIndex(Document):
    """Local file beside cached replicates: where those of a cohort's entries are, without its labels.

    The keys of replicates depend on a digest of all labels, which is kept nowhere. The index is written with
    each board, so that the board can be ranked again on the same machine without the data.
    """

    targets: dict[str, tuple[str, ...]] = Field(description="Track → targets, in the order of the rows.")
    keys: dict[str, str] = Field(description="SHA-256 of predictions → key of their replicates.")


def _index_file(cache: Path, cohort_id: str) -> Path:
    return cache / f"{cohort_id}.json"


def write_replicate_index(plans: Plans, entries: Mapping[str, Submission], cache: Path) -> None:
    """Write the index of cached replicates; `entries` maps the SHA-256 of predictions to their entry."""
    targets = {track: tuple(t.target.name for t in plan.targets) for track, plan in plans.by_track.items()}
    keys = {sha256: replicates_key(plans.of(entry), sha256) for sha256, entry in entries.items()}
    index = ReplicateIndex(targets=targets, keys=keys)
    write_json(_index_file(cache, plans.cohort.spec.id), index.plain())


def cached_replicates(
    cohort_id: str, cache: Path, predictions: Mapping[str, Track], replicates: int
) -> dict[str, EntryReplicates] | None:
    """Read cached replicates without the data.

    Args:
        cohort_id: The cohort.
        cache: Folder of replicates.
        predictions: SHA-256 of the predictions of each entry → its track.
        replicates: Number of replicates.

    Returns:
        SHA-256 of predictions → replicates; None where those of an entry are absent or damaged.
    """
    try:
        index = read_json(ReplicateIndex, _index_file(cache, cohort_id), "replicates-missing")
    except BenchError:
        return None
    by_digest = {}
    for sha256, track in predictions.items():
        names = index.targets.get(track, ())
        table = _cached_table(cache / f"{index.keys.get(sha256, '')}.npy")
        if table is None or len(table) != len(names) or table.shape[1] <= replicates:
            return None
        by_digest[sha256] = _split_table(names, table, replicates)
    return by_digest


def entry_replicates(
    plans: Plans, submission: Submission, cache: Path, predictions_sha256: str
) -> EntryReplicates:
    """Return the AUROC of each target with replicates and influences, from the cache or recomputed.

    Args:
        plans: Plans of the entries' tracks.
        submission: The entry.
        cache: Folder of replicates.
        predictions_sha256: SHA-256 of its stored predictions.
    """
    plan = plans.of(submission)
    path = cache / f"{replicates_key(plan, predictions_sha256)}.npy"
    table = _cached_table(path)
    if table is None or table.shape != _table_shape(plan):
        first = read_units(submission.predictions, plans.cohort, submission.manifest.track)
        further = read_runs(submission.runs, first, plans.cohort, submission.manifest.track)
        ranked = {
            name: ranked_auroc(plan, t, [run[name][t.rows] for run in (first.values, *further)])
            for t in plan.targets
            if (name := t.target.name) in first.values
        }
        data = _replicates_file(plan, ranked)
        write_atomic(path, data)
        table = np.load(io.BytesIO(data), allow_pickle=False)
    return _split_table([t.target.name for t in plan.targets], table, plan.replicates)


def _split_table(names: Sequence[str], table: Floats, replicates: int) -> EntryReplicates:
    end = 1 + replicates
    return EntryReplicates(
        values=dict(zip(names, table[:, 0].tolist(), strict=True)),
        replicates=dict(zip(names, table[:, 1:end], strict=True)),
        influences={
            name: row[: np.count_nonzero(~np.isnan(row))]
            for name, row in zip(names, table[:, end:], strict=True)
        },
    )
