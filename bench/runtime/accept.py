"""From an ONNX file to a submission: checked, run on the track's images, packed like any predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.cohort.cohort import Cohort
from bench.errors import BenchError, Problem, raise_errors
from bench.files import sha256_file
from bench.runtime.check import check_confined
from bench.runtime.predict import Progress, predict
from bench.submission.accept import Accepted, refuse_reported, stamp
from bench.submission.check_predictions import covered_rows, judge
from bench.submission.manifest import MANIFEST, Manifest
from bench.submission.packed import pack


def accept_model(
    path: Path,
    cohort: Cohort,
    manifest: Manifest,
    *,
    manifest_file: str = MANIFEST,
    progress: Progress | None = None,
) -> Accepted:
    """Checks a model without running it, then runs it in a process of its own; on val images too.

    Raises:
        BenchError: Every fault of the file, or how the run ended; or the manifest says ``cv5``, whose
            predictions are by five models (``manifest-invalid``).
    """
    refuse_reported(manifest, manifest_file)
    if manifest.track == "cv5":
        message = 'track: "cv5" asks for predictions by five models, each of its own fold; this is one model.'
        raise BenchError(Problem("manifest-invalid", message, where=manifest_file))
    problems: list[Problem] = check_confined(path, manifest, cohort.spec, manifest_file=manifest_file)
    raise_errors(problems)
    rows = covered_rows(cohort, "holdout")
    val = cohort.rows("val")
    both = predict(path, manifest, cohort, np.concatenate([rows, val]), progress=progress, remarks=problems)
    values = {name: column[: len(rows)] for name, column in both.items()}
    for target in cohort.spec.binary_targets:
        if target.name in values:
            labels = cohort.targets[target.name][rows]
            problems += judge(target, values[target.name], labels, str(path))
    raise_errors(problems)
    sha256 = sha256_file(path)
    packed = pack(values, stamp(cohort, manifest.track, sha256, model_sha256=sha256))
    on_val = {name: column[len(rows) :] for name, column in both.items()}
    packed_val = pack(on_val, stamp(cohort, "val", sha256, model_sha256=sha256)) if len(val) else None
    return Accepted(manifest, packed, values, tuple(problems), packed_val)
