"""Embeddings as an entry: the same heads for every encoder, fitted on train, penalties chosen on val."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from pathlib import Path

import numpy as np

from baselines.probe.head import ScaledFeatures, fit_probe, fit_ridge
from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.frames import few_shot_rows
from bench.cohort.split import PARTS, Part
from bench.environment import usable_cores
from bench.errors import BenchError, Problem
from bench.metrics.validation import Floats
from bench.progress import Progress
from bench.submission.accept import (
    Accepted,
    FoundManifest,
    accept_predictions,
    refuse_reported,
    stamp,
    with_val,
)
from bench.submission.manifest import EmbeddingRecord
from bench.submission.packed import DRAWS, FRACTIONS, draw_column, pack
from bench.submission.read_embeddings import Embeddings, Matrix, read_embeddings
from bench.submission.tables import PredictionTable, prediction_table

REFIT_TOLERANCE = 1e-8
"""Tolerance of the chosen logistic regression, in scikit-learn's terms: its probabilities are then the
same to 1e-6 whatever the start."""


@dataclass(frozen=True, slots=True)
class HeadPredictions:
    """Predictions of the heads of all targets.

    Attributes:
        val: Target → (val images,) predictions in canonical order.
        test: Target → (test images,) the same.
        strength: Target → inverse penalty of its logistic regression, penalty of its ridge regression.
    """

    val: dict[str, Floats]
    test: dict[str, Floats]
    strength: dict[str, float]


def fit_heads(embeddings: Embeddings, cohort: Cohort, progress: Progress | None = None) -> HeadPredictions:
    """Fit a head for each target: logistic regression, or ridge regression of a measurement.

    Features are scaled by their mean and standard deviation on train; there are no class weights. The
    penalty is that of the least log loss, or least squared error, on val.

    Args:
        embeddings: Of all images.
        cohort: Gives the labels of train and val; those of test are not looked at.
        progress: Called with (heads fitted, heads in total).
    """
    val, test = embeddings.parts["val"], embeddings.parts["test"]
    train = ScaledFeatures(embeddings.parts["train"])
    measurements = {target.name for target in cohort.spec.continuous_targets}
    names = [target.name for target in cohort.spec.targets]
    predicted = HeadPredictions({}, {}, {})
    for done, name in enumerate(names):
        labels, val_labels = (cohort.targets[name][cohort.rows(part)] for part in ("train", "val"))
        predict, strength = _fit_head(name in measurements, train, labels, val, val_labels)
        predicted.val[name], predicted.test[name] = predict(val), predict(test)
        if strength is not None:
            predicted.strength[name] = strength
        if progress:
            progress(done + 1, len(names))
    return predicted


def label_efficiency(
    embeddings: Embeddings, cohort: Cohort, progress: Progress | None = None
) -> dict[str, Floats]:
    """Fit the logistic regressions on nested shares of the train patients, three draws each.

    The penalty is chosen on all val images, as for the whole. Patients are chosen by `few_shot_rows`. Each
    core fits one head at a time: products of few rows take longer with more threads.

    Returns:
        `draw_column` → (test images,) predictions in canonical order.
    """
    from threadpoolctl import threadpool_limits

    rows = cohort.rows("train")
    val, test = embeddings.parts["val"], embeddings.parts["test"]
    names = [target.name for target in cohort.spec.binary_targets]

    def fitted(subset: tuple[float, int, str]) -> Floats:
        fraction, draw, name = subset
        chosen = few_shot_rows(cohort, rows, fraction=fraction, seed=draw)
        train, labels = embeddings.parts["train"][np.searchsorted(rows, chosen)], cohort.targets[name]
        predict, _ = _fit_head(False, train, labels[chosen], val, labels[cohort.rows("val")])
        return predict(test)

    columns = {}
    subsets = [(fraction, draw, name) for fraction in FRACTIONS for draw in range(DRAWS) for name in names]
    # Filters of warnings belong to the process; this context puts back what the threads leave.
    with warnings.catch_warnings(), threadpool_limits(1), ThreadPoolExecutor(usable_cores()) as pool:
        for done, (subset, values) in enumerate(zip(subsets, pool.map(fitted, subsets), strict=True)):
            fraction, draw, name = subset
            columns[draw_column(name, fraction, draw)] = values
            if progress:
                progress(done + 1, len(subsets))
    return columns


def _fit_head(
    measured: bool, train: Matrix | ScaledFeatures, labels: Floats, val: Matrix, val_labels: Floats
) -> tuple[Callable[[Matrix], Floats], float | None]:
    """Return how the head of one target predicts, and the penalty that val chose."""
    if measured:
        ridge = fit_ridge(train, labels, val, val_labels)
        return ridge.predict, ridge.strength
    probe = fit_probe(train, labels, val, val_labels, refit_tolerance=REFIT_TOLERANCE)
    return probe.probabilities, probe.strength


def accept_embeddings(
    folder: Path, cohort: Cohort, described: FoundManifest, progress: Progress | None = None
) -> Accepted:
    """Read embeddings, fit the heads, and check their predictions as those of anyone.

    Raises:
        BenchError: Every fault of the embeddings; or the manifest names the cv5 track, or is that of a
            reported entry (``manifest-invalid``).
    """
    refuse_reported(described.manifest, described.file)
    if described.manifest.track != Track.HOLDOUT:
        message = "track: the head of embeddings is fitted on train; its entry is of the track `holdout`."
        raise BenchError(Problem("manifest-invalid", message, described.file))
    embeddings = read_embeddings(folder, cohort)
    heads = fit_heads(embeddings, cohort, progress)
    record = embeddings.record.model_copy(update={"strength": heads.strength})
    manifest = described.manifest.model_copy(update={"embeddings": record, "scores": "probability"})
    table = _tables(folder, cohort, record)
    accepted = accept_predictions(table("test", heads.test), cohort, manifest, manifest_file=described.file)
    fewer = label_efficiency(embeddings, cohort)
    packed = pack(fewer, stamp(cohort, Track.HOLDOUT, _source(record)))
    accepted = replace_fields(accepted, packed_efficiency=packed)
    return with_val(accepted, table("val", heads.val), cohort) if len(cohort.rows("val")) else accepted


def _source(record: EmbeddingRecord) -> str:
    """Return the hash of the hashes of all parts."""
    return hashlib.sha256("".join(record.sha256[part] for part in PARTS).encode()).hexdigest()


def _tables(
    folder: Path, cohort: Cohort, record: EmbeddingRecord
) -> Callable[[Part, dict[str, Floats]], PredictionTable]:
    """Make tables of predictions, whose source is the embeddings of all parts."""
    column = cohort.spec.columns.image
    source = _source(record)

    def table(part: Part, values: dict[str, Floats]) -> PredictionTable:
        columns = {column: cohort.images[cohort.rows(part)], **values}
        return replace_fields(prediction_table(columns, (column,), f"{folder} ({part})"), sha256=source)

    return table
