"""A synthetic cohort without images, and predictions of known quality for its test images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.cohort.synthetic.write import write_demo


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder, patients=1500, seed=7, images=False)
    return load_cohort(load_spec("demo"), folder)


@pytest.fixture(scope="session")
def private(cohort: Cohort) -> Cohort:
    """The same cohort as if its labels were not public."""
    from dataclasses import replace

    return replace(cohort, spec=cohort.spec.model_copy(update={"smallest_cell": 10}))


@pytest.fixture(scope="session")
def predictions(cohort: Cohort) -> dict[str, np.ndarray]:
    return noisy(cohort, strength=1.5, seed=1)


def noisy(cohort: Cohort, strength: float, seed: int) -> dict[str, np.ndarray]:
    """Predictions that follow the labels with noise, shared within a patient to half."""
    rng = np.random.default_rng(seed)
    test = cohort.rows("test")
    _, patient = np.unique(cohort.patients[test].astype(str), return_inverse=True)
    found = {}
    for target in ("composite_slvh_dlv", "slvh", "dlv"):
        noise = rng.normal(size=patient.max() + 1)[patient] + rng.normal(size=len(test))
        logit = strength * cohort.targets[target][test] + noise - 2
        found[target] = 1 / (1 + np.exp(-logit))
    for target in ("ivsd", "lvpwd", "lvidd"):
        truth = np.nan_to_num(cohort.targets[target][test], nan=1.0)
        found[target] = truth + rng.normal(scale=0.2, size=len(test))
    return found


def store_entry(cohort: Cohort, folder: Path, slug: str, values: dict[str, np.ndarray], **manifest: object):
    """A stored submission of these predictions."""
    import datetime

    from bench.submission.accept import stamp
    from bench.submission.manifest import Manifest
    from bench.submission.packed import pack
    from bench.submission.store import store

    said = Manifest.model_validate(
        {"name": slug, "team": "T", "date": datetime.date(2026, 1, 2), "inputs": ["image"], **manifest}
    )
    return store(folder, slug, said, pack(values, stamp(cohort, said.track, "0" * 64)))
