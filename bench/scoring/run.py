"""Scores stored submissions: reads predictions, writes scorecards, keeps replicates for the board."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.errors import BenchError, Problem
from bench.files import canonical_json, sha256_bytes, sha256_file, write_atomic
from bench.metrics.validation import Floats
from bench.progress import Progress
from bench.scoring.attempts import record_attempt
from bench.scoring.cluster import send_once
from bench.scoring.plan import Plan, make_plan
from bench.scoring.score import RankedAuroc, Scored, ranked_auroc, score
from bench.scoring.scorecard import SCORING_VERSION, Scorecard
from bench.scoring.stored import sha256_or_empty
from bench.submission.packed import unpack
from bench.submission.store import Submission, unchanged

FEWEST_FOR_PROCESSES = 8
"""Below this many entries starting processes costs more than it saves."""

MOST_IN_A_BATCH = 16
"""Entries that a process scores before it hands them back to be stored."""


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans of a cohort, one for each track that an entry uses, with the same seed and replicates."""

    cohort: Cohort
    by_track: dict[str, Plan]

    def of(self, submission: Submission) -> Plan:
        """The plan of an entry's track."""
        return self.by_track[submission.manifest.track]


def make_plans(
    cohort: Cohort,
    entries: Sequence[Submission],
    *,
    replicates: int,
    seed: int,
    made: Plans | None = None,
) -> Plans:
    """Plans for the tracks of these entries; those `made` before of the same cohort and draws are kept."""

    def plan(track: Track) -> Plan:
        known = made.by_track.get(track) if made is not None and made.cohort is cohort else None
        if known is not None and (known.replicates, known.seed) == (replicates, seed):
            return known
        return make_plan(cohort, track=track, replicates=replicates, seed=seed)

    return Plans(cohort, {track: plan(track) for track in sorted({e.manifest.track for e in entries})})


@dataclass(frozen=True, slots=True)
class Finished:
    """A scored entry as its files will hold it: bytes, which pass between processes at hardly any cost.

    Attributes:
        exact: The scorecard as JSON with every digit.
        scorecard: ``scorecard.json``.
        replicates: The file of replicates, see `entry_replicates`.
        key: Its name.
        predictions_sha256: Of the predictions that were scored.
        val_predictions_sha256: Of those of the val images, empty without them.
    """

    exact: bytes
    scorecard: bytes
    replicates: bytes
    key: str
    predictions_sha256: str
    val_predictions_sha256: str

    @classmethod
    def of(cls, plan: Plan, scored: Scored) -> Finished:
        """What is to be stored of a scored entry."""
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
        """The scorecard with every digit."""
        return Scorecard.model_validate_json(self.exact)


def score_submission(plans: Plans, submission: Submission) -> Scored:
    """Scores one stored entry; writes nothing.

    Raises:
        BenchError: The stored predictions are damaged or of another split.
    """
    # Hashed before they are read: what is replaced in between is stored under no hash that is still true.
    on_val = submission.val_predictions
    predictions_sha256, val_sha256 = sha256_file(submission.predictions), sha256_or_empty(on_val)
    values = unpack(submission.predictions, plans.cohort, submission.manifest.track)
    _require_scores(submission, plans.of(submission), values)
    return score(
        plans.of(submission),
        submission.slug,
        values,
        scores=submission.manifest.scores,
        predictions_sha256=predictions_sha256,
        val=unpack(on_val, plans.cohort, "val") if val_sha256 else None,
        val_sha256=val_sha256,
    )


def _require_scores(submission: Submission, plan: Plan, values: dict[str, Floats]) -> None:
    """Checks again what `submit` checks: a stored folder may have come from elsewhere."""
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
    finished: Callable[[Scorecard], None] | None = None,
) -> None:
    """Scores entries and stores each one's scorecard and replicates as soon as it is done.

    Args:
        plans: The plans of the entries' tracks.
        entries: What to score.
        cache: Folder of replicates.
        jobs: Processes; the numbers do not depend on it.
        progress: Called with (done, total).
        finished: Called with each scorecard once it is stored.

    Raises:
        BenchError: Entries that cannot be scored; the others are scored and stored.
    """
    problems: list[Problem] = []
    for done, (entry, found) in enumerate(zip(entries, compute_all(plans, entries, jobs), strict=True), 1):
        try:
            if isinstance(found, BenchError):
                raise found
            _keep(entry, found, cache)
            if finished:
                finished(found.card)
        except BenchError as error:
            problems += error.problems
        if progress:
            progress(done, len(entries))
    if problems:
        raise BenchError(problems)


def _keep(entry: Submission, found: Finished, cache: Path) -> None:
    """Stores what was computed of an entry, if its predictions are still the same."""
    write_atomic(cache / f"{found.key}.npy", found.replicates)
    with unchanged(entry, found.predictions_sha256, found.val_predictions_sha256):
        record_attempt(entry, found.predictions_sha256)
        write_atomic(entry.scorecard, found.scorecard)


def compute_all(plans: Plans, entries: Sequence[Submission], jobs: int) -> Iterator[Finished | BenchError]:
    """Scores entries in order, in `jobs` processes where that pays; writes nothing."""
    from joblib import Parallel, delayed

    workers = jobs if len(entries) >= FEWEST_FOR_PROCESSES else 1
    # A batch carries the plans once, and what labels and draws alone fix is worked out once in it.
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
    """Name of what an entry's replicates depend on, and on nothing else."""
    parts = (predictions_sha256, plan.stamp.fingerprint, plan.labels_sha256, plan.seed, plan.replicates)
    return sha256_bytes("\n".join(map(str, (*parts, SCORING_VERSION))).encode())


@dataclass(frozen=True, slots=True)
class EntryReplicates:
    """The ranked AUROC of each target on the labels at hand; NaN where it is undefined.

    Attributes:
        values: The AUROC.
        replicates: (B,) the same in every replicate.
        influences: (patients with rows,) influence of every patient on it; empty where it is undefined.
    """

    values: dict[str, float]
    replicates: dict[str, Floats]
    influences: dict[str, Floats]


def _table_shape(plan: Plan) -> tuple[int, int]:
    """Shape of the file of replicates: value, replicates and influences of every target of the spec."""
    patients = max((len(t.bootstrap.patients) for t in plan.targets), default=0)
    return len(plan.targets), 1 + plan.replicates + patients


def _replicates_file(plan: Plan, ranked: dict[str, RankedAuroc]) -> bytes:
    """The table of `_table_shape` as float64 in numpy's own format.

    NaN where something is undefined, and after the influences of a target that not every patient has.
    """
    table = np.full(_table_shape(plan), np.nan)
    for row, target in zip(table, plan.targets, strict=True):
        found = ranked.get(target.target.name)
        if found is not None and found.estimate.value is not None:
            row[0] = found.estimate.value
            row[1 : 1 + plan.replicates] = found.replicates
            row[1 + plan.replicates :][: len(found.influence)] = found.influence
    sink = io.BytesIO()
    np.save(sink, table, allow_pickle=False)
    return sink.getvalue()


def entry_replicates(
    plans: Plans, submission: Submission, cache: Path, predictions_sha256: str
) -> EntryReplicates:
    """The AUROC of each target with its replicates and influences, from the cache or computed again.

    Args:
        plans: The plans of the entries' tracks.
        submission: The entry.
        cache: Folder of replicates.
        predictions_sha256: Of its stored predictions.
    """
    plan = plans.of(submission)
    path = cache / f"{replicates_key(plan, predictions_sha256)}.npy"
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        table = None
    if table is None or table.shape != _table_shape(plan):
        predicted = unpack(submission.predictions, plans.cohort, submission.manifest.track)
        ranked = {
            t.target.name: ranked_auroc(plan, t, predicted[t.target.name][t.rows])
            for t in plan.targets
            if t.target.name in predicted
        }
        data = _replicates_file(plan, ranked)
        write_atomic(path, data)
        table = np.load(io.BytesIO(data), allow_pickle=False)
    names = [t.target.name for t in plan.targets]
    end = 1 + plan.replicates
    return EntryReplicates(
        values=dict(zip(names, table[:, 0].tolist(), strict=True)),
        replicates=dict(zip(names, table[:, 1:end], strict=True)),
        influences={
            name: row[: np.count_nonzero(~np.isnan(row))]
            for name, row in zip(names, table[:, end:], strict=True)
        },
    )
