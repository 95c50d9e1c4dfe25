"""The demo cohort cut into five hospitals with known shifts, and what each of them publishes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.actions.score import score
from bench.actions.sites import make_site_key, write_aggregate
from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import AllTest, load_spec
from bench.cohort.synthetic.write import TABLE, write_demo
from bench.workspace import Workspace, create_workspace
from tests.scoring.conftest import store_entry

SITES = ("north", "south", "east", "west", "centre")
PREVALENCE, MISCALIBRATED, SCANNER = "south", "east", "west"
"""It has half as many patients without a finding; log odds are 1 too high; a scanner adds noise."""
STRENGTHS = {"strong": 2.5, "medium": 1.6, "weak": 0.6}
TARGETS = ("composite_slvh_dlv", "slvh", "dlv")


@dataclass(frozen=True)
class Hospital:
    """One hospital with its data, its store, its key and the file that it publishes."""

    name: str
    cohort: Cohort
    values: dict[str, dict[str, np.ndarray]]
    space: Workspace
    key: Path
    line: str
    file: Path


def predicted(cohort: Cohort, site: str) -> dict[str, dict[str, np.ndarray]]:
    """Entry → target → predictions, of one latent noise for each image so that entries are correlated."""
    random = np.random.default_rng(SITES.index(site))
    found: dict[str, dict[str, np.ndarray]] = {slug: {} for slug in STRENGTHS}
    for target in TARGETS:
        shared = random.normal(size=len(cohort))
        for slug, strength in STRENGTHS.items():
            noise = 0.8 * shared + 0.6 * random.normal(size=len(cohort))
            noise = noise + (1.5 * random.normal(size=len(cohort)) if site == SCANNER else 0)
            log_odds = strength * cohort.targets[target] + noise - 2 + (site == MISCALIBRATED)
            found[slug][target] = 1 / (1 + np.exp(-log_odds))
    return found


def hospital(root: Path, site: str, table: pd.DataFrame) -> Hospital:
    """A hospital with these patients, all of them test patients."""
    data = root / site / "data"
    data.mkdir(parents=True)
    table.to_csv(data / TABLE, index=False)
    demo = load_spec("demo")
    spec = demo.model_copy(update={"split": AllTest(rule="all-test"), "smallest_cell": 10})
    cohort = load_cohort(spec, data)
    space = create_workspace(root / site / "board", "demo", {"demo": data})
    values = predicted(cohort, site)
    for slug, by_target in values.items():
        store_entry(cohort, space.submissions("demo"), slug, by_target)
    score(replicates=100, jobs=1, cohort=cohort, workspace=space)
    key, file = root / site / "key.pem", root / f"{site}.json"
    line = make_site_key(key, site)
    write_aggregate(file, site=site, key=key, cohort=cohort, workspace=space)
    return Hospital(site, cohort, values, space, key, line, file)


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> list[Hospital]:
    pytest.importorskip("cryptography")
    root = tmp_path_factory.mktemp("hospitals")
    write_demo(root / "whole", patients=2400, seed=11, images=False)
    table = pd.read_csv(root / "whole" / TABLE, dtype=str, keep_default_na=False)
    column = "patient_id"
    names = np.sort(table[column].unique())
    place = dict(zip(names, np.arange(len(names)) % len(SITES), strict=True))
    of_site = table[column].map(place)
    positive = table.groupby(column)[list(TARGETS)].transform("max").astype(float).max(axis=1) == 1
    fourth = table[column].map(dict(zip(names, np.arange(len(names)) // len(SITES), strict=True))) % 4
    made = []
    for i, site in enumerate(SITES):
        keep = (of_site == i) & (positive | (fourth < (1 if site == PREVALENCE else 2)))
        made.append(hospital(root, site, table[keep]))
    return made


@pytest.fixture(scope="session")
def keys(hospitals: list[Hospital], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "sites.toml"
    path.write_text("[sites]\n" + "\n".join(hospital.line for hospital in hospitals) + "\n")
    return path
