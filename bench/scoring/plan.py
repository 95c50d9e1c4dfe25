"""Scoring plan of a cohort: rows, bootstrap draws and subgroups that all entries share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.spec import BinaryTarget, CohortSpec, ContinuousTarget
from bench.cohort.studies import unit_cohort
from bench.scoring.scorecard import Stamp
from bench.submission.check_predictions import covered_rows
from bench.uncertainty.bootstrap import PatientBootstrap

FEWEST_PATIENTS = 20
"""Smallest number of positive and of negative patients in a subgroup that is shown."""

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Cell:
    """One target within one subgroup.

    Attributes:
        division: Key of the attribute.
        division_label: Name of the attribute shown.
        level: Name of the subgroup.
        inside: Indices of its images among the target's images.
        bootstrap: Draws of them; None if the subgroup is suppressed.
        reason: Reason for suppression, empty if shown.
        rest: Indices of all other images of the target.
        rest_bootstrap: Draws of those; None if no gap is shown.
        rest_reason: Reason why no gap is shown, otherwise empty.
    """

    division: str
    division_label: str
    level: str
    inside: Rows
    bootstrap: PatientBootstrap | None
    reason: str
    rest: Rows
    rest_bootstrap: PatientBootstrap | None
    rest_reason: str


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """One binary target on the track's images that have a label.

    Attributes:
        target: The spec's target.
        rows: (n,) indices of these images among the track's images.
        labels: (n,) 0/1.
        patients: (n,) patient ids.
        bootstrap: Shared draws of these images.
        patient_weight: (n,) 1 / (images of the patient).
        first: Indices among these n of each patient's first image.
        first_bootstrap: Draws of the first images.
        cells: Subgroups.
        folds: (n,) fold of each image.
        val_rows: (v,) indices of the labelled val images among the val images.
        val_labels: (v,) 0/1.
        reference: Prevalence among the labelled images that are not scored, or among all on the cv5 track:
            what a constant prediction could have known. None without such images.
    """

    target: BinaryTarget
    rows: Rows
    labels: npt.NDArray[np.float64]
    patients: npt.NDArray[np.object_]
    bootstrap: PatientBootstrap
    patient_weight: npt.NDArray[np.float64]
    first: Rows
    first_bootstrap: PatientBootstrap
    cells: tuple[Cell, ...]
    folds: npt.NDArray[np.int8]
    val_rows: Rows
    val_labels: npt.NDArray[np.float64]
    reference: float | None


@dataclass(frozen=True, slots=True)
class MeasurePlan:
    """One continuous target on the track's images whose measurement is plausible."""

    target: ContinuousTarget
    rows: Rows
    truth: npt.NDArray[np.float64]
    bootstrap: PatientBootstrap


@dataclass(frozen=True, slots=True)
class Plan:
    """Data of a cohort and track that scoring needs.

    Attributes:
        spec: Spec of the cohort.
        stamp: Cohort and split.
        track: Track, which determines the scored images.
        images: Number of the track's images.
        labels_sha256: Digest of all labels; part of the key of the local cache, never published.
        replicates: Bootstrap replicates.
        seed: Seed of the draws.
        targets: Binary targets.
        measures: Continuous targets.
        sliding: Labels whose threshold on a measurement slides.
    """

    spec: CohortSpec
    stamp: Stamp
    track: Track
    images: int
    labels_sha256: str
    replicates: int
    seed: int
    targets: tuple[TargetPlan, ...]
    measures: tuple[MeasurePlan, ...]
    sliding: tuple[SlidingPlan, ...]


SLIDE = (6 / 7, 16 / 15)
"""From the lowest and up to the highest threshold of the label rule, times these: 1.2 to 1.6 cm for a rule of
1.4 and 1.5 cm."""

SLIDING_POINTS = 9


@dataclass(frozen=True, slots=True)
class SlidingPlan:
    """A binary target whose label follows from a continuous one by a threshold.

    Attributes:
        target: Name of the binary target.
        measure: The measurement, on the images where it is plausible.
        thresholds: (k,) rising, in its unit.
    """

    target: str
    measure: MeasurePlan
    thresholds: tuple[float, ...]


def _sliding(spec: CohortSpec, measures: tuple[MeasurePlan, ...]) -> tuple[SlidingPlan, ...]:
    of_column = {measure.target.source: measure for measure in measures}
    plans = []
    for rule in spec.label_rules:
        for threshold in rule.any_of:
            if threshold.column in of_column:
                low = SLIDE[0] * min(threshold.male, threshold.female)
                high = SLIDE[1] * max(threshold.male, threshold.female)
                places = np.round(np.linspace(low, high, SLIDING_POINTS), 2)
                steps = tuple(float(place) for place in np.unique(places))
                plans.append(SlidingPlan(rule.target, of_column[threshold.column], steps))
    return tuple(plans)


def make_plan(cohort: Cohort, *, track: Track = Track.HOLDOUT, replicates: int = 2000, seed: int = 0) -> Plan:
    """Prepare a cohort for scoring; targets and subgroups select from the same bootstrap draws.

    A cohort that is scored by study has one row for each study: what this module and the scorecards call
    images are then studies.
    """
    cohort = unit_cohort(cohort)
    rows = covered_rows(cohort, track)
    whole = PatientBootstrap(cohort.patients[rows], replicates=replicates, seed=seed)
    measures = tuple(_measure_plan(cohort, rows, whole, target) for target in cohort.spec.continuous_targets)
    return Plan(
        spec=cohort.spec,
        stamp=Stamp(
            cohort=cohort.spec.id,
            version=cohort.spec.version,
            fingerprint=cohort.split.fingerprint,
            synthetic=cohort.synthetic,
            study_views=cohort.spec.study.views if cohort.spec.study else None,
        ),
        track=track,
        images=len(rows),
        labels_sha256=_labels_digest(cohort),
        replicates=replicates,
        seed=seed,
        targets=tuple(_target_plan(cohort, rows, whole, target) for target in cohort.spec.binary_targets),
        measures=measures,
        sliding=_sliding(cohort.spec, measures),
    )


def _labels_digest(cohort: Cohort) -> str:
    digest = hashlib.sha256()
    for name in cohort.targets:  # in the order of the spec, which is that of the stored replicates
        digest.update(name.encode() + cohort.targets[name].astype("<f8").tobytes())
    return digest.hexdigest()


def _target_plan(cohort: Cohort, rows: Rows, whole: PatientBootstrap, target: BinaryTarget) -> TargetPlan:
    labels = cohort.targets[target.name][rows]
    labelled = np.flatnonzero(~np.isnan(labels))
    patients = cohort.patients[rows[labelled]]
    _, place, count = np.unique(patients.astype(str), return_inverse=True, return_counts=True)
    first = np.flatnonzero(cohort.first_images[rows[labelled]])
    val = cohort.targets[target.name][cohort.rows("val")]
    val_rows = np.flatnonzero(~np.isnan(val))
    return TargetPlan(
        target=target,
        rows=labelled,
        labels=labels[labelled],
        patients=patients,
        bootstrap=whole.select(labelled),
        patient_weight=1.0 / count[place],
        first=first,
        first_bootstrap=whole.select(labelled[first]),
        cells=_cells(cohort, rows, labelled, labels[labelled], patients, whole),
        folds=cohort.split.folds[rows[labelled]],
        val_rows=val_rows,
        val_labels=val[val_rows],
        reference=_reference(cohort.targets[target.name], rows),
    )


def _reference(labels: npt.NDArray[np.float64], rows: Rows) -> float | None:
    """Prevalence among the images outside `rows`, among all where there are none."""
    other = np.delete(labels, rows) if len(rows) < len(labels) else labels
    known = other[~np.isnan(other)]
    return float(known.mean()) if len(known) else None


def _cells(
    cohort: Cohort,
    rows: Rows,
    labelled: Rows,
    labels: npt.NDArray[np.float64],
    patients: npt.NDArray[np.object_],
    whole: PatientBootstrap,
) -> tuple[Cell, ...]:
    cells = []
    for division in cohort.subgroups:
        codes = division.codes[rows[labelled]]
        members = [np.flatnonzero(codes == level) for level in range(len(division.levels))]
        reasons = [
            _too_small(labels[m], patients[m]) if (division.codes == level).any() else NO_ROW
            for level, m in enumerate(members)
        ]
        if cohort.spec.smallest_cell:
            _suppress_until_safe(reasons, members, np.flatnonzero(codes < 0), labels, patients)
        for level, inside, reason in zip(division.levels, members, reasons, strict=True):
            rest = np.setdiff1d(np.arange(len(labelled)), inside, assume_unique=True)
            rest_reason = "no other images" if not len(rest) else _too_small(labels[rest], patients[rest])
            shown = not reason and not rest_reason
            cells.append(
                Cell(
                    division=division.name,
                    division_label=division.label,
                    level=level,
                    inside=inside,
                    bootstrap=None if reason else whole.select(labelled[inside]),
                    reason=reason,
                    rest=rest,
                    rest_bootstrap=whole.select(labelled[rest]) if shown else None,
                    rest_reason=rest_reason,
                )
            )
    return tuple(cells)


NO_ROW = "no row of the cohort's table is in this subgroup"


def _too_small(labels: npt.NDArray[np.float64], patients: npt.NDArray[np.object_]) -> str:
    counts = {name: len(set(patients[labels == value])) for name, value in (("positive", 1), ("negative", 0))}
    small = [name for name, count in counts.items() if count < FEWEST_PATIENTS]
    return f"fewer than {FEWEST_PATIENTS} {' and '.join(small)} patients" if small else ""


def _suppress_until_safe(
    reasons: list[str],
    members: list[Rows],
    rest: Rows,
    labels: npt.NDArray[np.float64],
    patients: npt.NDArray[np.object_],
) -> None:
    """Suppress the smallest subgroups until the suppressed images together are large enough to be safe.

    Otherwise a suppressed subgroup could be computed as the total minus the subgroups shown. `rest` are the
    images in no subgroup.
    """
    while True:
        hidden = np.concatenate([rest, *(m for m, reason in zip(members, reasons, strict=True) if reason)])
        shown = [i for i, reason in enumerate(reasons) if not reason]
        if not len(hidden) or not shown or not _too_small(labels[hidden], patients[hidden]):
            return
        smallest = min(shown, key=lambda i: len(members[i]))
        reasons[smallest] = "hidden so that a smaller subgroup cannot be worked out from it"


def _measure_plan(
    cohort: Cohort, rows: Rows, whole: PatientBootstrap, target: ContinuousTarget
) -> MeasurePlan:
    truth = cohort.targets[target.name][rows]
    measured = np.flatnonzero(~np.isnan(truth))
    return MeasurePlan(target=target, rows=measured, truth=truth[measured], bootstrap=whole.select(measured))
