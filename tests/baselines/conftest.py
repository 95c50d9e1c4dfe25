"""A tiny cohort: its label shows in the image, leans on age, and is planted where nobody may look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import CohortSpec
from bench.documents import parse_toml

SPEC = """
schema = "cohort-spec/1"
id = "tiny"
version = "1"
title = "Tiny"
headline = "large"

[files]
table = "metadata.csv"
images = "images"

[columns]
image = "image"
patient = "patient"
inputs = { age = "age", sex = "sex", year = "year", device = "device" }

[split]
rule = "hash"
salt = "tiny"
test = 0.25
val = 0.2

[[targets]]
name = "large"
label = "Large"
source = "large"

[[targets]]
name = "rare"
label = "Rare"
source = "rare"
blank = "exclude"

[[targets]]
name = "width"
kind = "continuous"
label = "Width"
source = "width"
unit = "cm"
plausible = [1.0, 20.0]

[[label_rules]]
target = "large"
any_of = [{ column = "width", male = 6.0, female = 5.0 }]
"""
PLANTED = "PLANTED-LABEL-"
SIDE = 48


def write_tiny(folder: Path, patients: int = 80, seed: int = 5, missing_ages: bool = True) -> None:
    """Write the files of the tiny cohort: two images a patient."""
    random = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        age, sex = int(random.integers(20, 90)), random.choice(["M", "F"])
        width = 4.5 + (age - 55) / 40 + (sex == "M") * 0.8 + random.normal(0, 1.2)
        large = int(width > (6.0 if sex == "M" else 5.0))
        for k in range(2):
            rows.append(
                {
                    "image": f"p{patient:03d}_{k}.png",
                    "patient": f"p{patient:03d}",
                    "age": "" if missing_ages and patient % 11 == 0 else str(age),
                    "sex": sex,
                    "year": str(2012 + patient % 7),
                    "device": str(int(patient % 9 == 0)),
                    "large": str(large),
                    "rare": "" if patient % 5 == 0 else str(int(patient % 7 == 0)),
                    "width": f"{width:.3f}",
                    "planted": f"{PLANTED}{large}",
                }
            )
    table = pd.DataFrame(rows)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name, width in zip(table["image"], table["width"].astype(float), strict=True):
        Image.fromarray(_drawn(width, random)).save(folder / "images" / name)
    table.to_csv(folder / "metadata.csv", index=False)


def _drawn(width: float, random: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    heart = (x / (2.2 * max(width, 0.5))) ** 2 + (y / 12) ** 2 < 1
    return np.clip(60 + 120 * heart + random.normal(0, 12, heart.shape), 0, 255).astype(np.uint8)


def spec_of(changes: Callable[[str], str] = lambda text: text) -> CohortSpec:
    """The spec of the tiny cohort, after `changes` of its text."""
    return parse_toml(CohortSpec, changes(SPEC), "cohort-spec", "tiny")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Cohort:
    return load_cohort(spec_of(), tiny_folder)


ENCODER_SIDE, ENCODER_WIDTH = 24, 36
ENCODER = f"""
schema = "encoder/1"
name = "Pooled pixels"
file = "encoder.onnx"
features = "features"
pretrained_weights = "none: means of four by four pixels"
external_data = "none"

[image]
name = "image"
height = {ENCODER_SIDE}
width = {ENCODER_SIDE}
mean = [0.5]
std = [0.25]
"""


def write_encoder(folder: Path, batch: str | int = "batch", side: int = ENCODER_SIDE) -> Path:
    """Write an encoder that pools pixels, ``encoder.onnx``, and its description, which is returned."""
    from onnx import TensorProto, checker, helper

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 1, side, side])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, (side // 4) ** 2])
    pool = helper.make_node("AveragePool", ["image"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4])
    flat = helper.make_node("Flatten", ["pooled"], ["features"])
    model = helper.make_model(
        helper.make_graph([pool, flat], "pooled", [image], [features]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    checker.check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "encoder.onnx").write_bytes(model.SerializeToString())
    (folder / "encoder.toml").write_text(ENCODER)
    return folder / "encoder.toml"
