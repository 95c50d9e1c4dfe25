"""Interface of a baseline: its training task and its result.

A baseline receives views with copies of the data instead of the `Cohort`. The view of the test images has no
labels, and its table has only the columns that the cohort's spec declares as model inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from bench.metrics.validation import Floats
from bench.progress import StageProgress, silent

if TYPE_CHECKING:
    import pandas as pd

    from bench.cohort.spec import LabelRule
    from bench.cohort.split import Strings
    from bench.submission.manifest import Manifest

Pixels = npt.NDArray[np.uint8]


class PixelSource(Protocol):
    """Reader of images by their position in a view."""

    def read(self, rows: npt.NDArray[np.intp], height: int, width: int) -> Pixels:
        """Return grey values (len(rows), height, width) of the images at `rows`."""

    def __len__(self) -> int: ...

    def decoded(self, height: int, width: int) -> DecodedImages | None:
        """Return the images of the view from a cache of this size; None without one."""


class DecodedImages(Protocol):
    """Decoded images, read on access."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> Pixels:
        """Return a copy (len(rows), height, width) of the images at `rows`."""


@dataclass(frozen=True)
class UnlabelledImages:
    """Images without labels.

    Attributes:
        images: (n,) image ids.
        patients: (n,) patient ids.
        inputs: Model inputs of the spec, n rows of text, columns by input name.
        source: Reader of the pixels; None without ``needs_images``.
    """

    images: Strings
    patients: Strings
    inputs: pd.DataFrame
    source: PixelSource | None

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, height: int, width: int, batch: int = 256) -> Iterator[Pixels]:
        """Yield batches (≤ batch, height, width) of 8-bit grey values, in the order of the view.

        Raises:
            BenchError: An image is missing or damaged (``images-unreadable``, exit 3).
            LookupError: The baseline did not declare ``needs_images``.
        """
        if self.source is None:
            raise LookupError("a baseline without needs_images cannot read pixels")
        for start in range(0, len(self), batch):
            yield self.source.read(np.arange(start, min(start + batch, len(self))), height, width)


@dataclass(frozen=True)
class LabelledImages(UnlabelledImages):
    """Images with labels.

    Attributes:
        labels: Target → (n,) float64 label or measurement; NaN if excluded.
    """

    labels: dict[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True)
class Choices:
    """User options of a run, besides its seed.

    Attributes:
        recipe: Recipe file that replaces the baseline's own.
        settings: Keys and values that override the recipe.
        encoder: Description of an encoder, for a baseline that needs one.
    """

    recipe: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    encoder: Path | None = None


@dataclass(frozen=True)
class TrainingTask:
    """Data, options and working folder of one training.

    Attributes:
        cohort: Id of the cohort.
        targets: Binary targets, in the order of the spec; a baseline predicts each.
        measurements: Continuous targets; a baseline may predict them too.
        headline: The binary target that the board ranks by.
        rules: Label rules that derive binary targets from measurements; columns are measurement names.
        train: Images to fit on.
        val: Images of other patients, for choices such as early stopping.
        test: Images of further patients, to predict.
        seed: Seed of all random numbers.
        quick: Whether to train a weaker model in less time.
        folder: Existing folder of the run.
        fold: Fold to predict; None for the test images of the holdout track.
        choices: User options.
        progress: Progress callback.
    """

    cohort: str
    targets: tuple[str, ...]
    measurements: tuple[str, ...]
    headline: str
    rules: tuple[LabelRule, ...]
    train: LabelledImages
    val: LabelledImages
    test: UnlabelledImages
    seed: int
    quick: bool
    folder: Path
    fold: int | None = None
    choices: Choices = Choices()
    progress: StageProgress = silent


@dataclass(frozen=True)
class Result:
    """Result of a baseline.

    Attributes:
        manifest: Manifest of the submission.
        predictions: Target → (n,) predictions for the test images, in the order of ``task.test``.
        model: The same predictor as an ONNX file; None if there is none.
    """

    manifest: Manifest
    predictions: dict[str, Floats]
    model: Path | None = None


@dataclass(frozen=True)
class Baseline:
    """Declaration of a baseline.

    Attributes:
        name: Its slug.
        summary: One line for `bench baseline list`.
        run: Function that trains and predicts.
        needs_images: Whether it reads pixels.
        needs_inputs: Inputs that the cohort's spec must declare.
        needs_inputs_beside: If not empty, the spec must declare some input other than these.
        needs_packages: Packages that must be importable, beyond those of the harness.
        needs_rule: Whether label rules must derive the headline target from measurements.
        needs_encoder: Whether the user must give an encoder.
        has_recipe: Whether it is trained by a recipe, so that `Choices.recipe` and `settings` apply.
        side: Function of (quick, choices) that returns the side in pixels of the square images it reads, so
            that they can be decoded in advance; None if it reads none.
        check: Function of (quick, choices) that raises `BenchError` if the options cannot be run here.
        quick: Whether `bench demo` runs it.
    """

    name: str
    summary: str
    run: Callable[[TrainingTask], Result]
    needs_images: bool = False
    needs_inputs: tuple[str, ...] = ()
    needs_inputs_beside: tuple[str, ...] = ()
    needs_packages: tuple[str, ...] = ()
    needs_rule: bool = False
    needs_encoder: bool = False
    has_recipe: bool = False
    side: Callable[[bool, Choices], int] | None = None
    check: Callable[[bool, Choices], None] | None = None
    quick: bool = False
