"""The images that a model is timed on, and what was predicted for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.cohort.cohort import Cohort
from bench.cohort.images import ImageFolders, read_batches
from bench.errors import BenchError, Problem
from bench.metrics.validation import Floats
from bench.runtime.inputs import image_tensor, table_inputs
from bench.submission.check_predictions import covered_rows
from bench.submission.manifest import Manifest, ModelInputs

CALIBRATION_IMAGES = 128
ROTATED_BYTES = 256 * 2**20  # of images that take their turn in the timed runs
FILES = 32  # images that go in as files where the whole pipeline is timed
_READ_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class TimedInputs:
    """Inputs of the timed sessions.

    Attributes:
        arrays: Input name → (images, …) float32.
        kind: Whether they are the cohort's images, or random pixels because those are not at hand.
        stored: Target → (images,) stored predictions; None where there are none, or the pixels are random.
        labels: Target → (images,) labels of the binary targets.
        spans: Target → range of the stored predictions, for targets whose scores are no probabilities.
        files: The files of the first images, (bytes,) uint8 each; none with random pixels.
    """

    arrays: dict[str, npt.NDArray[np.float32]]
    kind: Literal["cohort images", "random pixels"]
    stored: dict[str, Floats] | None
    labels: dict[str, Floats]
    spans: dict[str, float]
    files: tuple[npt.NDArray[np.uint8], ...] = ()

    @property
    def images(self) -> int:
        """Number of images."""
        return len(next(iter(self.arrays.values())))


def timed_inputs(
    manifest: Manifest,
    cohort: Cohort,
    stored: dict[str, Floats] | None,
    images: int,
    rotated_bytes: int = 0,
) -> TimedInputs:
    """Test images spread evenly over the test set, with their stored predictions.

    After those that are wanted come others, as many as fit, in an order of their own.

    Args:
        manifest: With the table ``[model]``.
        cohort: Its test images are used.
        stored: Target → (images of the manifest's track,) predictions in canonical order.
        images: How many are wanted; all, if there are fewer.
        rotated_bytes: What all images together may take as float32, where that is more.
    """
    model = manifest.model
    assert model is not None
    test = cohort.rows("test")
    chosen = np.unique(np.linspace(0, len(test) - 1, min(images, len(test))).round().astype(np.intp))
    if more := min(rotated_bytes // _bytes_per_image(model), len(test)) - len(chosen):
        others = np.setdiff1d(np.arange(len(test)), chosen)
        chosen = np.concatenate([chosen, np.random.default_rng(0).permutation(others)[: max(0, more)]])
    rows = test[chosen]
    try:
        pixels = np.concatenate(
            list(
                read_batches(
                    cohort, rows, model.image.height, model.image.width, _READ_AT_ONCE, model.image.rule
                )
            )
        )
    except BenchError as error:
        if error.problems[0].code != "images-folder-missing":
            raise
        return _random(model, len(rows))
    arrays = {model.image.name: image_tensor(pixels, model.image), **table_inputs(cohort, rows, model)}
    place = np.searchsorted(covered_rows(cohort, manifest.track), rows)
    here = None if stored is None else {t: np.asarray(stored[t])[place] for t in model.outputs if t in stored}
    binary = {target.name for target in cohort.spec.binary_targets}
    return TimedInputs(
        arrays=arrays,
        kind="cohort images",
        stored=here,
        labels={target: cohort.targets[target][rows] for target in binary},
        spans={
            target: float(np.ptp(values)) or 1.0
            for target, values in (stored or {}).items()
            if target not in binary or manifest.scores == "uncalibrated"
        },
        files=_files(cohort, rows[:FILES]),
    )


def _files(cohort: Cohort, rows: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.uint8], ...]:
    """The bytes of the image files at `rows`, which have been decoded before."""
    folders = ImageFolders(cohort)
    paths = [folders.path(cohort.images[row]) for row in rows]
    return tuple(np.fromfile(path, np.uint8) for path in paths if path is not None)


def calibration_inputs(
    manifest: Manifest, cohort: Cohort, images: int = CALIBRATION_IMAGES
) -> dict[str, npt.NDArray[np.float32]]:
    """Input name → (images, …) of training images, spread evenly; never a test image.

    Raises:
        BenchError: The cohort has no training images (``precision-calibration``), or none at hand (exit 3).
    """
    model = manifest.model
    assert model is not None
    train = cohort.rows("train")
    if not len(train):
        message = f"int8 is calibrated on training images, and cohort {cohort.spec.id} has none."
        raise BenchError(Problem("precision-calibration", message))
    rows = train[np.unique(np.linspace(0, len(train) - 1, min(images, len(train))).round().astype(np.intp))]
    pixels = np.concatenate(
        list(
            read_batches(cohort, rows, model.image.height, model.image.width, _READ_AT_ONCE, model.image.rule)
        )
    )
    return {model.image.name: image_tensor(pixels, model.image), **table_inputs(cohort, rows, model)}


def _bytes_per_image(model: ModelInputs) -> int:
    return 4 * model.image.channels * model.image.height * model.image.width


def _random(model: ModelInputs, images: int) -> TimedInputs:
    generator = np.random.default_rng(0)
    shape = (images, model.image.height, model.image.width)
    pixels = generator.integers(0, 256, shape, dtype=np.uint8)
    arrays = {model.image.name: image_tensor(pixels, model.image)}
    arrays |= {n: np.full((images, 1), v, np.float32) for n, v in ((model.age, 60.0), (model.sex, 1.0)) if n}
    return TimedInputs(arrays, "random pixels", None, {}, {})
