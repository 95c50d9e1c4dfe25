"""Writing of the synthetic cohort to a folder with the layout of CheXchoNet.

```
metadata.csv      eighteen columns, one row per image
images/*.jpg      224 by 224, 8-bit grey
SHA256SUMS.txt    as `sha256sum -c` reads it
SYNTHETIC.txt     says that no patient is real
```
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from bench.cohort.synthetic import aggregates as figures
from bench.cohort.synthetic.anatomy import Subject
from bench.cohort.synthetic.drawing import demo_jpeg
from bench.cohort.synthetic.patients import Patients, invent_patients
from bench.cohort.synthetic.table import demo_table, table_of
from bench.environment import process_pool
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.files import sha256_bytes, write_atomic
from bench.progress import Progress

__all__ = ["DemoSummary", "demo_table", "write_demo"]

DEFAULT_PATIENTS: Final = 3_000
DEFAULT_SEED: Final = 20_240_320
RECIPE: Final = 2  # raised when the same seed would give another table or other images
MARKER: Final = "SYNTHETIC.txt"
TABLE: Final = "metadata.csv"
SUMS: Final = "SHA256SUMS.txt"
IMAGES: Final = "images"
CHUNK: Final = 50

MARKER_TEXT: Final = """\
This cohort is synthetic. No patient in it is real, no image shows a person, and no label was read from
an echocardiogram. Names, numbers and drawings were made by a program from published totals of CheXchoNet,
so that software can be tried out without the data. Three effects are planted: the risk rises with age,
pacemakers are frequent, and a patient with a pacemaker has a wide silhouette whatever the size of the heart.
Nothing medical can be learnt from it.

recipe {recipe}
seed {seed}
patients {patients}
"""


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """Result of `write_demo`.

    Attributes:
        folder: Folder of the cohort.
        patients: Number of patients.
        images: Number of rows of the table.
        drawn: Images drawn by this call.
        kept: Complete images from an earlier call.
        positives: Target → number of positive images.
    """

    folder: Path
    patients: int
    images: int
    drawn: int
    kept: int
    positives: dict[str, int]


def write_demo(
    folder: str | Path,
    *,
    patients: int = DEFAULT_PATIENTS,
    seed: int = DEFAULT_SEED,
    images: bool = True,
    jobs: int = 1,
    progress: Progress | None = None,
) -> DemoSummary:
    """Write the synthetic cohort, or complete one whose writing was interrupted.

    The table is written last, so that a folder with a table is complete.

    Args:
        folder: New, empty, or written by this function before.
        patients: From 1 to CheXchoNet's 24,689.
        seed: Seed of every random number; equal seeds give equal tables byte for byte.
        images: Whether to draw the images; otherwise images of an earlier call are removed.
        jobs: Number of processes.
        progress: Called with (images done, total images).

    Raises:
        BenchError: The number of patients or jobs is out of range (``demo-argument``), `folder` holds other
            files (``demo-folder``), or cannot be written to (``demo-write``, exit code 3).
    """
    folder = Path(folder)
    _check_arguments(patients, seed, jobs)
    check_folder(folder)
    cohort = invent_patients(patients, seed)
    table = table_of(cohort, seed)
    try:
        new_images, kept = _write(folder, cohort, table, seed, images, jobs, progress)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BenchError(
            Problem("demo-write", f"The synthetic cohort could not be written: {reason}.", where=str(folder)),
            EXIT_ENVIRONMENT,
        ) from error
    positives = {name: int(table[name].sum()) for name in ("slvh", "dlv", "composite_slvh_dlv")}
    return DemoSummary(folder, patients, len(table), new_images, kept, positives)


def _check_arguments(patients: int, seed: int, jobs: int) -> None:
    faults = []
    if not 1 <= patients <= figures.PATIENTS:
        faults.append(f"{patients} patients: between 1 and {figures.PATIENTS} can be made.")
    if seed < 0:
        faults.append(f"Seed {seed} is negative.")
    if jobs < 1:
        faults.append(f"{jobs} jobs: at least 1 is needed.")
    if faults:
        raise BenchError(Problem("demo-argument", fault) for fault in faults)


def check_folder(folder: Path) -> None:
    """Refuse a folder with other files, which may be a real cohort."""
    if folder.exists() and not folder.is_dir():
        raise BenchError(Problem("demo-folder", "There is a file of this name.", where=str(folder)))
    if folder.is_dir() and not (folder / MARKER).is_file() and (entries := len(list(folder.iterdir()))):
        message = f"The folder holds {entries} files or folders and no {MARKER}."
        raise BenchError(Problem("demo-folder", message, where=str(folder)))


def demo_marker(patients: int, seed: int) -> bytes:
    """Return the content of ``SYNTHETIC.txt`` of a synthetic cohort."""
    return MARKER_TEXT.format(recipe=RECIPE, seed=seed, patients=patients).encode()


def refuse_other_cohort(folder: Path, marker: bytes, images: bool) -> None:
    """Refuse a folder with synthetic files of another layout, size or seed than `marker` states.

    Entries that are stored for them would no longer fit.

    Args:
        folder: The folder to write to.
        marker: What its ``SYNTHETIC.txt`` is going to hold.
        images: Whether images are drawn; otherwise a folder that holds images is refused too.

    Raises:
        BenchError: ``demo-other``.
    """
    path = folder / MARKER
    before = _stated(path.read_bytes()) if path.is_file() else None
    if before is not None and before != _stated(marker):
        message = f"The folder holds {' '.join(before)}; this would write {' '.join(_stated(marker))}."
        raise BenchError(Problem("demo-other", message, where=str(folder)))
    drawn = folder / IMAGES
    if not images and drawn.is_dir() and (count := sum(1 for _ in drawn.iterdir())):
        noun = "image" if count == 1 else "images"
        message = f"The folder holds {count:,} {noun}, which `--no-images` would remove."
        raise BenchError(Problem("demo-other", message, where=str(drawn)))


def _stated(marker: bytes) -> tuple[str, ...]:
    """Describe a marker: layout, number of patients and seed, in words."""
    text = marker.decode("utf-8", "replace")
    layout = "files in MIMIC's layout" if "layout of MIMIC" in text else "a synthetic cohort"
    numbers = dict(
        line.split(" ", 1) for line in text.splitlines() if re.match(r"(seed|patients) \d+$", line)
    )
    patients = f"of {int(numbers['patients']):,} patients" if "patients" in numbers else ""
    seed = f"(seed {numbers['seed']})" if "seed" in numbers else ""
    return tuple(word for word in (layout, patients, seed) if word)


def _write(
    folder: Path,
    cohort: Patients,
    table: pd.DataFrame,
    seed: int,
    images: bool,
    jobs: int,
    progress: Progress | None,
) -> tuple[int, int]:
    marker = demo_marker(int(cohort.patient[-1]) + 1, seed)
    _clear(folder, marker, set(table["cxr_filename"]) if images else set())
    write_atomic(folder / MARKER, marker)
    sums: dict[str, str] = {}
    new_images = 0
    if images:
        (folder / IMAGES).mkdir(exist_ok=True)
        sums, new_images = draw_all(folder / IMAGES, subjects_of(cohort, table), seed, jobs, progress)
    csv = table.to_csv(index=False, lineterminator="\n").encode()
    lines = [f"{sha256_bytes(csv)}  {TABLE}"]
    lines += [f"{sums[name]}  {IMAGES}/{name}" for name in sorted(sums)]
    write_atomic(folder / SUMS, "".join(line + "\n" for line in lines).encode())
    write_atomic(folder / TABLE, csv)
    return new_images, len(sums) - new_images


def _clear(folder: Path, marker: bytes, expected_images: set[str]) -> None:
    """Remove files of an earlier call that this one will not write: its table, images of another seed."""
    if not (folder / MARKER).is_file():
        return
    same_recipe = _identity((folder / MARKER).read_bytes()) == _identity(marker)
    for path in (folder / TABLE, folder / SUMS):
        path.unlink(missing_ok=True)
    if (folder / IMAGES).is_dir():
        for path in (folder / IMAGES).iterdir():
            if not (same_recipe and path.name in expected_images):
                path.unlink()


def _identity(marker: bytes) -> list[bytes]:
    """Return the recipe and seed lines of a marker, which determine the images."""
    return [line for line in marker.splitlines() if line.startswith((b"recipe ", b"seed "))]


def subjects_of(cohort: Patients, table: pd.DataFrame) -> list[Subject]:
    """Return what the drawings need of each image, in the order of the table."""
    columns = zip(
        table["patient_id"],
        table["cxr_filename"],
        cohort.female.tolist(),
        cohort.age.tolist(),
        cohort.cm["ivsd"].tolist(),
        cohort.cm["lvpwd"].tolist(),
        cohort.cm["lvidd"].tolist(),
        cohort.heart_transplant.tolist(),
        cohort.lung_transplant.tolist(),
        cohort.device.tolist(),
        strict=True,
    )
    return [
        Subject(patient, image, female, age, {"ivsd": ivsd, "lvpwd": lvpwd, "lvidd": lvidd}, *flags)
        for patient, image, female, age, ivsd, lvpwd, lvidd, *flags in columns
    ]


def draw_all(
    folder: Path, subjects: list[Subject], seed: int, jobs: int, progress: Progress | None
) -> tuple[dict[str, str], int]:
    """Draw missing images; return name → hash of every image, and the number drawn."""
    chunks = [subjects[i : i + CHUNK] for i in range(0, len(subjects), CHUNK)]
    sums: dict[str, str] = {}
    new_images = 0
    for hashes, fresh in _run(folder, chunks, seed, min(jobs, len(chunks))):
        sums.update(hashes)
        new_images += fresh
        if progress is not None:
            progress(len(sums), len(subjects))
    return sums, new_images


def _run(
    folder: Path, chunks: list[list[Subject]], seed: int, jobs: int
) -> Iterator[tuple[dict[str, str], int]]:
    if jobs == 1:
        for chunk in chunks:
            yield _draw_chunk(folder, chunk, seed)
        return
    with process_pool(jobs) as pool:
        futures = [pool.submit(_draw_chunk, folder, chunk, seed) for chunk in chunks]
        for future in as_completed(futures):
            yield future.result()


def _draw_chunk(folder: Path, subjects: list[Subject], seed: int) -> tuple[dict[str, str], int]:
    """Draw the missing images of a chunk; return name → hash of every image, and the number drawn."""
    sums: dict[str, str] = {}
    new_images = 0
    for subject in subjects:
        path = folder / subject.image
        data = path.read_bytes() if path.is_file() else b""
        if not _is_whole_jpeg(data):
            data = demo_jpeg(subject, seed)
            _write_image(path, data)
            new_images += 1
        sums[subject.image] = hashlib.sha256(data).hexdigest()
    return sums, new_images


def _is_whole_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")


def _write_image(path: Path, data: bytes) -> None:
    """Write an image atomically without flushing it to the disk; an incomplete one is drawn again."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(path)
