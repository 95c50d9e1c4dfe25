"""A cohort in CheXchoNet's layout with every trap of the release, small enough to make in a moment."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bench.cohort.cohort import Cohort

SIDE = 16
TARGETS = ("composite_slvh_dlv", "slvh", "dlv")
MANIFEST = """\
name = "A model"
team = "A group"
date = 2026-01-01
inputs = ["image"]
"""
REPORTED = MANIFEST + (
    'kind = "reported"\n[reported]\ncitation = "A 2024"\nsplit = "own"\ncaveat = "none"\n'
    "metrics = { macro = { auroc = 0.8 } }\n"
)


def patient_id(k: int) -> str:
    """32 hexadecimal digits; every tenth id has digits only, every tenth reads like a float."""
    if k % 10 == 0:
        return f"{k:032d}"
    if k % 10 == 1:
        return f"{k:028d}e{k % 100:03d}"
    return hashlib.sha256(f"patient {k}".encode()).hexdigest()[:32]


def cohort_table(patients: int = 120, seed: int = 0) -> pd.DataFrame:
    """The 18 columns of ``metadata.csv``, rows shuffled, labels by the thresholds of the release."""
    random = np.random.default_rng(seed)
    rows = []
    for k in range(patients):
        sex = "F" if random.random() < 0.52 else "M"
        age = int(np.clip(random.normal(62, 16), 18, 90))
        ivsd, lvpwd = random.normal(1.25, 0.3), random.normal(1.15, 0.25)
        lvidd = random.normal(4.9, 0.8)
        if k % 40 == 7:
            lvpwd, lvidd, age = 0.0, 0.0, 90  # zeros of the release; ages are top-coded
        wall, cavity = (1.4, 5.3) if sex == "F" else (1.5, 5.9)
        slvh, dlv = int(max(ivsd, lvpwd) > wall), int(lvidd > cavity)
        days = 0.0
        for _ in range(1 + random.poisson(2)):
            days += random.exponential(50)
            name = f"{patient_id(k)}_{random.integers(0, 2**32):08x}.jpg"
            rows.append(
                {
                    "patient_id": patient_id(k),
                    "cxr_filename": name,
                    "cxr_time_offset": f"{int(days)} days {int(24 * days % 24):02d}:20:05.326807",
                    "cxr_year": str(random.integers(2012, 2019)),
                    "cxr_path": f"./cxrs/{name}",
                    "cxr_pixel_spacing_x": "0.194556",
                    "cxr_pixel_spacing_y": "0.194556",
                    "age": str(age),
                    "sex": sex,
                    "ivsd": f"{ivsd:.6f}",
                    "lvpwd": f"{lvpwd:.6f}",
                    "lvidd": f"{lvidd:.6f}",
                    "slvh": str(slvh),
                    "dlv": str(dlv),
                    "composite_slvh_dlv": str(int(slvh or dlv)),
                    "heart_transplant": str(int(k % 9 == 0)),
                    "lung_transplant": str(int(k % 8 == 0)),
                    "pacemaker_or_icd": str(int(k % 14 == 0)),
                }
            )
    table = pd.DataFrame(rows)
    return table.iloc[random.permutation(len(table))].reset_index(drop=True)


def write_cohort(folder: Path, table: pd.DataFrame | None = None, *, images: bool = True) -> pd.DataFrame:
    """Write ``metadata.csv`` and, in ``images/``, a small grey JPEG of its own for each row."""
    table = cohort_table() if table is None else table
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "metadata.csv", index=False)
    if images:
        (folder / "images").mkdir()
        for k, name in enumerate(table["cxr_filename"]):
            pixels = np.random.default_rng(k).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name, quality=100)
    return table


def predictions(cohort: Cohort, seed: int = 0) -> pd.DataFrame:
    """A correct predictions file: ids, then a noisy probability for each binary target of the test images."""
    random = np.random.default_rng(seed)
    rows = cohort.rows("test")
    frame = pd.DataFrame({cohort.spec.columns.image: cohort.images[rows]})
    for target in cohort.spec.binary_targets:
        y = np.nan_to_num(cohort.targets[target.name][rows])
        frame[target.name] = 1 / (1 + np.exp(-(y + random.normal(-0.5, 1, len(rows)))))
    return frame
