"""A correct submission without values: predictions to fill in, and a manifest with every key explained."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import tomlkit

from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.spec import CohortSpec
from bench.errors import BenchError, Problem
from bench.files import write_atomic
from bench.submission.check_predictions import covered_rows
from bench.submission.manifest import PLACEHOLDERS, ModelInputs
from bench.workspace import MANIFEST as MANIFEST_FILE
from bench.workspace import PREDICTIONS_CSV

MANIFEST = """\
# What the board says about your entry. Unknown keys are refused.
name = "{name}"
team = "{team}"
date = {date}
kind = "model"                    # model, ensemble, baseline
description = ""
inputs = ["image"]                # what the model sees: image{inputs}
training_data = {training}
external_data = "none"
pretrained_weights = "none"       # for example ImageNet
# parameters = 7000000
licence = "not stated"
scores = "probability"            # or "uncalibrated": any finite score, no calibration figures
track = "{track}"                 # or "cv5": out-of-fold predictions for all images

[links]
# code = "https://example.org/code"
# paper = "https://example.org/paper"

{model}"""

MODEL = """\
# Only for `bench submit --model MODEL.onnx`:
# [model.image]
# name = "image"                  # ONNX input, float32 (N, channels, height, width)
# height = 224
# width = 224
# channels = 1                    # or 3: the grey image repeated
# resize = "bilinear"             # or "bicubic", "area"; the whole image, nothing cropped
# antialias = true                # as Pillow; false: as torch.nn.functional.interpolate and OpenCV
# range = "image"                 # 16-bit images: own smallest to largest; "full": 0 to 65535; [low, high]
# scale = 255.0                   # x = (pixel / scale - mean) / std
# mean = [0.0]
# std = [1.0]
#
# [model]
# age = "age"                     # ONNX input, float32 (N, 1), years; leave out if unused
# sex = "sex"                     # ONNX input, float32 (N, 1), male 1
# activation = "none"             # or "sigmoid" where the outputs are logits
#
# [model.outputs]                 # target = "output name", or "output name:column"
# {headline} = "probabilities:0"
"""


def write_template(cohort: Cohort, folder: Path, *, images: str = "test") -> list[Path]:
    """Write ``predictions.csv`` (ids, then empty targets) and ``submission.toml`` to `folder`.

    Args:
        cohort: The cohort.
        folder: Made where it is absent.
        images: ``test``, ``val`` for the file of `bench submit --val`, or ``all`` for the cv5 track.

    Raises:
        BenchError: One of the files is there already (``file-exists``).
    """
    spec = cohort.spec
    rows = (
        slice(None) if images == "all" else covered_rows(cohort, "val" if images == "val" else Track.HOLDOUT)
    )
    frame = pd.DataFrame({spec.columns.image: cohort.images[rows]})
    for target in spec.binary_targets:
        frame[target.name] = ""
    text = _manifest(spec, "cv5" if images == "all" else "holdout")
    files = {
        folder / PREDICTIONS_CSV: frame.to_csv(index=False).encode(),
        folder / MANIFEST_FILE: text.encode(),
    }
    present = [path for path in files if path.exists()]
    # One of the two as it would be written is what a run that died left: this one finishes it.
    if len(present) == len(files) or any(path.read_bytes() != files[path] for path in present):
        message = f"{' and '.join(path.name for path in present)} would be overwritten."
        raise BenchError(Problem("file-exists", message, where=str(folder)))
    if not (folder / ".gitignore").exists():  # before the ids are there
        write_atomic(folder / ".gitignore", b"# The predictions file names images of the cohort.\n*\n")
    for path, data in files.items():
        if path not in present:
            write_atomic(path, data)
    return list(files)


def model_template(spec: CohortSpec, interface: ModelInputs, notes: Iterable[str] = ()) -> str:
    """Make a manifest whose table ``[model]`` is filled in.

    Args:
        spec: The cohort.
        interface: What the table says.
        notes: Sentences about what was guessed, written as comments.
    """
    taken = [field for field in ("age", "sex") if getattr(interface, field)]
    table = tomlkit.dumps({"model": interface.model_dump(mode="json", exclude_none=True)})
    comments = "".join(f"# {''.join(c if c.isprintable() else '?' for c in note)}\n" for note in notes)
    head = (
        "# Drafted from the ONNX file; check each line, then `bench submit --dry-run --model MODEL.onnx`.\n"
    )
    text = _manifest(spec, "holdout", head + comments + table)
    return text.replace('inputs = ["image"]', f"inputs = {json.dumps(['image', *taken])}", 1)


def write_model_template(
    spec: CohortSpec, folder: Path, interface: ModelInputs, notes: Iterable[str]
) -> Path:
    """Write the text of `model_template` to ``submission.toml`` in `folder`, which is made where absent.

    Raises:
        BenchError: The file is there already (``file-exists``).
    """
    path = folder / MANIFEST_FILE
    if path.exists():
        raise BenchError(Problem("file-exists", f"{path.name} would be overwritten.", str(folder)))
    write_atomic(path, model_template(spec, interface, notes).encode())
    return path


def _manifest(spec: CohortSpec, track: str, model: str = "") -> str:
    return MANIFEST.format(
        **PLACEHOLDERS,
        date=datetime.date.today(),
        training=json.dumps(f"{spec.title[:180]}, train split", ensure_ascii=False),
        inputs="".join(f", {name}" for name in spec.columns.inputs),
        track=track,
        model=model or MODEL.format(headline=spec.headline),
    )
