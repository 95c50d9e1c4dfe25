"""Linking 28 million rows of measurements, as MIMIC-IV-ECHO has: time and memory, each in a fresh process."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest

from bench.cohort.synthetic.mimic import FIRST_SUBJECT

pytestmark = pytest.mark.perf
STUDIES, ROWS_PER_STUDY = 206_488, 136
PATIENTS, IMAGES = 91_372, 377_110
SECONDS, MEBIBYTES = 90, 1024

RUN = """
import json, resource, sys, time
from pathlib import Path
started = time.monotonic()
from bench.cohort.link.mimic import link_mimic
root = Path(sys.argv[1])
done = link_mimic(root / "cxr", root / "echo", root / "iv", root / "out")
print(json.dumps({
    "seconds": time.monotonic() - started,
    "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "rows": done.report.echo_rows,
    "images": done.report.flow[0].images,
    "linked": done.report.flow[-1].images,
}))
"""


def words(codes: np.ndarray, of_code: list[str]) -> pa.StringArray:
    """Return the text of each code."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), of_code).cast(pa.string())


def write_measurements(path: Path) -> None:
    """Write the table of the published size: 136 rows a study, three of them wall and diameter."""
    names = ["septal_thickness", "inf_lat_thickness", "lvedd", *(f"measurement_{k}" for k in range(183))]
    described = [f"{name}, as described" for name in names]
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    with gzip.open(path, "wb", compresslevel=1) as sink:
        for start in range(0, STUDIES, 4_000):
            study = np.repeat(np.arange(start, min(STUDIES, start + 4_000)), ROWS_PER_STUDY)
            kind = np.resize(np.arange(ROWS_PER_STUDY), len(study))
            moment = np.datetime64("2110-01-01T08:00:00") + (study * 7_919 % 9_000) * np.timedelta64(
                86_400, "s"
            )
            value = np.where(kind == 2, rng.uniform(3.5, 6.5, len(study)), rng.uniform(0.7, 1.8, len(study)))
            table = pa.table(
                {
                    "subject_id": FIRST_SUBJECT + study % PATIENTS,
                    "measurement_id": study + 7_000_000,
                    "measurement_datetime": pc.strftime(pa.array(moment), "%Y-%m-%d %H:%M:%S"),
                    "test_type": words(study % 8 == 7, ["tte", "stress"]),
                    "measurement": words(kind, names),
                    "measurement_description": words(kind, described),
                    "result": np.round(value, 2),
                    "unit": words(kind % 2, ["", "cm"]),
                }
            )
            writer = writer or pyarrow.csv.CSVWriter(sink, table.schema)
            writer.write_table(table)
        writer.close()


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three releases of the published sizes, made once: in BENCH_MIMIC_SIZED where that is set."""
    root = Path(os.environ.get("BENCH_MIMIC_SIZED") or tmp_path_factory.mktemp("mimic"))
    if (root / "made").exists():
        return root
    write_measurements(root / "echo" / "structured-measurement.csv.gz")
    k = np.arange(IMAGES)
    subject = FIRST_SUBJECT + k % 65_379
    day = pd.Timestamp("2110-01-01") + pd.to_timedelta(k * 7_919 % 9_000, unit="D")
    images = {
        "dicom_id": [f"{i:08x}-{i:08x}" for i in k],
        "subject_id": subject,
        "study_id": 50_000_000 + k // 2,
    }
    about = {"ViewPosition": np.resize(["AP", "PA", "LATERAL"], IMAGES), "StudyDate": day.strftime("%Y%m%d")}
    (root / "cxr").mkdir()
    (root / "iv" / "hosp").mkdir(parents=True)
    for name, frame in {
        "cxr/mimic-cxr-2.0.0-metadata.csv.gz": images | about | {"StudyTime": "93000.5", "Rows": 2544},
        "cxr/mimic-cxr-2.0.0-split.csv.gz": images | {"split": "train"},
        "iv/hosp/patients.csv.gz": {
            "subject_id": FIRST_SUBJECT + np.arange(364_627),
            "gender": "F",
            "anchor_age": 60,
            "anchor_year": 2115,
        },
        "iv/hosp/admissions.csv.gz": {
            "subject_id": FIRST_SUBJECT + np.arange(546_028) % 223_452,
            "admittime": "2115-01-01 00:00:00",
            "race": "WHITE",
        },
    }.items():
        pd.DataFrame(frame).to_csv(root / name, index=False)
    (root / "made").touch()
    return root


def test_the_whole_of_mimic_is_linked_within_ninety_seconds_and_a_gibibyte(releases: Path) -> None:
    done = subprocess.run([sys.executable, "-c", RUN, releases], capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    print(document)
    assert (document["rows"], document["images"]) == (STUDIES * ROWS_PER_STUDY, IMAGES)
    assert document["linked"] > 10_000
    assert document["seconds"] <= SECONDS
    assert document["mebibytes"] <= MEBIBYTES
