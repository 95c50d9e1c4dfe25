"""What a baseline is handed and what it hands back.

A baseline sees no `Cohort`: it is handed views that hold copies of what it may know. The view of the test
images has no labels, and its table has only the columns that the cohort's spec declares as model inputs.
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
    """Reads images by their position in the view that it belongs to."""

    def read(self, rows: npt.NDArray[np.intp], height: int, width: int) -> Pixels:
        """(len(rows), height, width) grey values of the images at `rows`."""

    def __len__(self) -> int: ...

    def decoded(self, height: int, width: int) -> DecodedImages | None:
        """The images of the view without decoding, where they were decoded to this size before."""


class DecodedImages(Protocol):
    """Decoded images that are read as they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> Pixels:
        """(len(rows), height, width) a copy of the images at `rows`."""


@dataclass(frozen=True)
class UnlabelledImages:
    """Images without labels.

    Attributes:
        images: (n,) image ids.
        patients: (n,) patient ids.
        inputs: (n rows) the spec's model inputs, all text, columns by input name.
        source: Reads the pixels; None for a baseline that declared no need of them.
    """

    images: Strings
    patients: Strings
    inputs: pd.DataFrame
    source: PixelSource | None

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, height: int, width: int, batch: int = 256) -> Iterator[Pixels]:
        """Batches (≤ batch, height, width) of 8-bit grey values, in the order of the view.

        Raises:
            BenchError: An image is missing or damaged (``images-unreadable``, exit 3).
            LookupError: The baseline did not declare ``needs_images``.
        """
        if self.source is None:
            raise LookupError("pixels asked for by a baseline without needs_images")
        for start in range(0, len(self), batch):
            yield self.source.read(np.arange(start, min(start + batch, len(self))), height, width)


@dataclass(frozen=True)
class LabelledImages(UnlabelledImages):
    """Images with labels.

    Attributes:
        labels: Target → (n,) float64 label or measurement; NaN where excluded.
    """

    labels: dict[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True)
class Choices:
    """What a user may choose of a run, beside its seed.

    Attributes:
        recipe: A recipe's file in place of the baseline's own.
        settings: Keys of the recipe and their values in place of those that it has.
        encoder: An encoder's description, for a baseline that needs one.
    """

    recipe: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    encoder: Path | None = None


@dataclass(frozen=True)
class TrainingTask:
    """One training: what to learn from, what to predict, and where to work.

    Attributes:
        cohort: Id of the cohort.
        targets: Binary targets, in the order of the spec; a baseline predicts each.
        measurements: Continuous targets; a baseline may predict them too.
        headline: The binary target that the board ranks by.
        rules: How binary targets follow from measurements, as the spec says; columns are measurement names.
        train: Images to fit on.
        val: Images of other patients, for choices such as when to stop.
        test: Images of yet other patients, to be predicted.
        seed: The only source of randomness.
        quick: Whether a weaker model in less time is wanted.
        folder: The run's own folder, which exists.
        fold: The fold that is predicted; None for the holdout's test images.
        choices: What the user chose beside.
        progress: To be told how far the training is.
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
    """What a baseline hands back.

    Attributes:
        manifest: What it says about itself.
        predictions: Target → (n,) for the test images, in the order of ``task.test``.
        model: The same predictor as one ONNX file, where the baseline is a network.
    """

    manifest: Manifest
    predictions: dict[str, Floats]
    model: Path | None = None


@dataclass(frozen=True)
class Baseline:
    """A baseline, as its module declares it.

    Attributes:
        name: Its slug.
        summary: One line for `bench baseline list`.
        run: Trains and predicts.
        needs_images: Whether it reads pixels.
        needs_inputs: Inputs that the cohort's spec must declare.
        needs_inputs_beside: It must declare some input other than these, where there are any here.
        needs_packages: Importable packages beyond the harness's own.
        needs_rule: Whether a label rule must lead from the cohort's measurements to its headline target.
        needs_encoder: Whether it needs an encoder from its user.
        has_recipe: Whether it is trained by a recipe, so that `Choices.recipe` and `settings` concern it.
        side: Side in pixels of the square images that it reads, given whether the quick form is wanted and
            what was chosen; such images may be decoded beforehand. None where it reads no such images.
        check: Refuses what was chosen, before anything is read, where it cannot be run here.
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
