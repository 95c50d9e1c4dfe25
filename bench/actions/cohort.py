"""Cohorts for training code: tables of images, folds, few-shot subsets and a PyTorch dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import ValidationError

from bench.actions.context import CohortChoice, WorkspaceChoice, open_cohort, open_workspace_or_none
from bench.choices import LabelMode
from bench.cohort.cohort import Cohort
from bench.cohort.frames import cohort_frame, few_shot_rows
from bench.cohort.image_cache import SIDE, build_cache
from bench.cohort.split import FOLDS, PARTS, Part
from bench.display import Table
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.extras import require
from bench.scoring.attempts import record_label_reading
from bench.submission.manifest import ImageInput
from bench.workspace import Workspace

if TYPE_CHECKING:
    from bench.torch_dataset import ImageDataset, Transform

PartOrTable = Part | pd.DataFrame
"""A part of the split, or a table of `LoadedCohort.frame`, `folds` or `few_shot`, or rows of one."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold of the cv5 track.

    Attributes:
        number: 0 to 4.
        train: Images of the other folds, with targets.
        test: Images of this fold, without targets: what the model of this fold predicts.
    """

    number: int
    train: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True, repr=False)
class LoadedCohort(Cohort):
    """A cohort with what training code needs; every function of `bench` that takes a cohort takes it.

    Attributes:
        workspace: The workspace it was loaded in; None outside of one.
    """

    workspace: Workspace | None = None

    def __repr__(self) -> str:
        counts = ", ".join(f"{part} {len(self.rows(part)):,}" for part in PARTS)
        return f"<LoadedCohort {self.spec.id}: {len(self):,} images ({counts})>"

    def _repr_html_(self) -> str:
        rows = tuple(
            (
                part,
                f"{len(self.rows(part)):,}",
                f"{len(np.unique(self.patients[self.rows(part)].astype(str))):,}",
            )
            for part in PARTS
        )
        return Table(self.spec.title, ("part", "images", "patients"), rows).html()

    def frame(self, part: Part | None = None, *, labels: bool = False) -> pd.DataFrame:
        """Return the images of a part: ids, path, split, fold, targets and inputs.

        Args:
            part: ``train``, ``val`` or ``test``; None for all images.
            labels: Show the targets of test images too. This is written to the workspace's ledger of scored
                attempts, since whoever reads test labels can choose a model by them.

        Returns:
            A row for each image, by ascending id: ``image_id``, ``patient_id``, ``path`` (None where the file
            is absent), ``split``, ``fold``, a column for each target and one for each input of the spec.
            Targets are float, NaN where excluded from scoring; ``frame("test")`` has none, and the test rows
            of ``frame()`` have NaN. ``age`` is in years and ``sex`` 1 for male and 0 for female, NaN where
            blank; other inputs are text.

        Raises:
            BenchError: Test labels are read outside of a workspace, which has the ledger
                (``workspace-missing``), or those of a cohort whose labels are private
                (``test-labels-private``).
            ValueError: There is no such part.
        """
        if part not in (None, *PARTS):
            raise ValueError(f"part must be one of {', '.join(PARTS)}, or None; it is {part!r}")
        rows = np.arange(len(self)) if part is None else self.rows(part)
        is_test = self.split.parts[rows] == "test"
        if labels and is_test.any():
            self._record_label_reading()
        hidden = part == "test" and not labels
        return cohort_frame(self, rows, labelled=None if hidden else ~is_test | labels)

    def folds(self) -> Iterator[Fold]:
        """Yield the five folds of the cv5 track, whose models together predict every image once.

        The track trains on the labels of all other folds, test images included: use its models for cv5
        entries only, and `frame` for entries of the holdout track.

        Raises:
            BenchError: The labels of the cohort are private (``test-labels-private``).
        """
        self._refuse_private()
        for number in range(FOLDS):
            inside = self.split.folds == number
            train, test = np.flatnonzero(~inside), np.flatnonzero(inside)
            yield Fold(
                number,
                cohort_frame(self, train, labelled=np.ones(len(train), bool)),
                cohort_frame(self, test),
            )

    def few_shot(
        self,
        part: Part = "train",
        *,
        patients: int | None = None,
        fraction: float | None = None,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Return the images of some patients of a part, the same on every machine.

        Subsets of one seed are nested: who is among 10 patients is among 100 and in every larger fraction.

        Args:
            part: The part to choose from.
            patients: Number of patients.
            fraction: Share of the part's patients instead, such as 0.01; rounded up.
            seed: Draw; other draws choose other patients.

        Returns:
            Rows of `frame` of the part, with index 0 to n - 1.

        Raises:
            BenchError: More patients than the part has, or none (``few-shot-size``).
            ValueError: Not exactly one of `patients` and `fraction` is given, or there is no such part.
        """
        frame = self.frame(part)
        rows = self.rows(part)
        chosen = few_shot_rows(self, rows, patients=patients, fraction=fraction, seed=seed)
        return frame[np.isin(rows, chosen)].reset_index(drop=True)

    def torch_dataset(
        self,
        images: PartOrTable,
        size: int | tuple[int, int] = SIDE,
        *,
        transform: Transform | None = None,
        channels: Literal[1, 3] = 1,
        resize: Literal["bilinear", "bicubic", "area"] = "bilinear",
        antialias: bool = True,
        pixel_range: Literal["image", "full"] | tuple[float, float] = "image",
        cache: bool | str | Path = True,
        jobs: int = 1,
    ) -> ImageDataset:
        """Return a PyTorch dataset of (image, targets, inputs), by the image rule of submitted models.

        A manifest states the same rule in its table ``[model.image]``, so that a submitted model sees the
        pixels that it was trained on.

        Args:
            images: A part, or a table of images.
            size: Side of the images in pixels, or height and width, as in the manifest.
            transform: Applied to each image tensor.
            channels: 1, or 3 for the same image three times.
            resize: Interpolation, as `bench.cohort.decode.ImageRule` says; ``resize`` in the manifest.
            antialias: Whether its kernel is widened where an image is reduced; ``antialias`` there.
            pixel_range: Values of deeper images that become 0 and 255; ``range`` there.
            cache: Decode all images of the cohort once into the workspace's cache, and read them from there;
                a folder for another cache; False to decode each image when it is read, as without workspace.
            jobs: Processes that decode. More than one need a script with ``if __name__ == "__main__":``.

        Returns:
            A dataset of float32 tensors: image (channels, height, width) in [0, 1] before `transform`;
            targets of the table in the order of ``target_names``, NaN where excluded, none for test images;
            inputs ``age`` and ``sex`` in the order of ``input_names``.

        Raises:
            BenchError: torch is not installed (``extra-missing``), the table has images that the cohort does
                not have (``frame-unknown``), or images are missing or damaged (``images-unreadable``).
            ValueError: Size, channels or the image rule are not possible.
        """
        declared = _image_input(
            size, channels=channels, resize=resize, antialias=antialias, range=pixel_range
        )
        require("torch", "`torch_dataset`")
        from bench.torch_dataset import ImageDataset

        table = images if isinstance(images, pd.DataFrame) else self.frame(images)
        rows = self._rows_of(table)
        folder = Path(cache) if isinstance(cache, str | Path) else None
        if cache is True and self.workspace:
            folder = self.workspace.cache
        pixels = None
        if folder:
            height, width = declared.height, declared.width
            pixels = build_cache(self, folder, height=height, width=width, rule=declared.rule, jobs=jobs).path
        return ImageDataset(self, table, rows, declared=declared, transform=transform, pixels=pixels)

    def _rows_of(self, table: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.intp]]:
        if "image_id" not in table:
            raise _unknown_images("The table has no column `image_id`.", self)
        index = pd.Index(self.images)
        rows = index.get_indexer(pd.Index(table["image_id"].astype(object)))
        if absent := int((rows < 0).sum()):
            raise _unknown_images(f"{absent:,} of {len(rows):,} images are not in the cohort.", self)
        return rows.astype(np.intp)

    def _refuse_private(self) -> None:
        if self.spec.labels is LabelMode.PRIVATE:
            message = f"The labels of {self.spec.id} are private: test labels are read by scoring only."
            raise BenchError(Problem("test-labels-private", message, where=f"cohort {self.spec.id}"))

    def _record_label_reading(self) -> None:
        self._refuse_private()
        if self.workspace is None:
            message = "Test labels are read in a workspace only: its ledger records who may have seen them."
            remedy = "Create a workspace (`bench init DIR`) and name it: load_cohort(..., workspace=DIR)."
            raise BenchError(Problem("workspace-missing", message, remedy=remedy), EXIT_ENVIRONMENT)
        folder = self.workspace.submissions(self.spec.id)
        folder.mkdir(parents=True, exist_ok=True)
        record_label_reading(folder, self.split.fingerprint, len(self.rows("test")))


def load_cohort(
    cohort: CohortChoice | None = None,
    data: str | Path | None = None,
    *,
    workspace: WorkspaceChoice | None = None,
) -> LoadedCohort:
    """Load a cohort's table and split for training code; images are not read.

    Args:
        cohort: Id of a built-in cohort, or path of a spec in TOML; default: the workspace's.
        data: Folder with the cohort's files; default: what the workspace says.
        workspace: The workspace; default: the one that holds the current folder, if any.

    Raises:
        BenchError: The cohort is unknown, its files are missing, or its table is not valid; every fault is
            listed.
    """
    space = open_workspace_or_none(workspace, cohort)
    opened = open_cohort(cohort, data, space)
    values = {field.name: getattr(opened, field.name) for field in fields(Cohort)}
    return LoadedCohort(**values, workspace=space)


def _image_input(size: int | tuple[int, int], **declared: Any) -> ImageInput:
    """Return images as a manifest would declare them.

    Raises:
        ValueError: A manifest could not declare them.
    """
    height, width = size if isinstance(size, tuple) and len(size) == 2 else (size, size)
    try:
        return ImageInput.model_validate({"name": "image", "height": height, "width": width, **declared})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        names = {"height": "size", "width": "size", "range": "pixel_range"}
        where = "".join(f"{names.get(str(part), part)}: " for part in fault["loc"][:1])
        raise ValueError(f"{where}{fault['msg'].removeprefix('Value error, ')}") from error


def _unknown_images(message: str, cohort: Cohort) -> BenchError:
    return BenchError(Problem("frame-unknown", message, where=f"cohort {cohort.spec.id}"))
