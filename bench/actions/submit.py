"""Submit: check, pack and store predictions, or run a model and store what it predicts."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

import pandas as pd

from bench.actions.context import (
    CohortChoice,
    WorkspaceChoice,
    choose_spec,
    open_cohort,
    open_workspace,
    open_workspace_or_none,
    with_problems,
)
from bench.choices import LabelMode
from bench.cohort.cohort import Cohort
from bench.documents import parse
from bench.errors import BenchError, Problem, collecting, raise_errors
from bench.files import locked, sha256_bytes, sha256_file, write_atomic
from bench.progress import Progress
from bench.sandbox.reader import start_reader
from bench.scoring.attempts import count_attempt
from bench.submission.accept import (
    Accepted,
    FoundManifest,
    accept_predictions,
    accept_runs,
    equal_entries,
    find_manifest,
    placeholders,
    require_file,
    with_secret_hashes,
    with_val,
)
from bench.submission.check_predictions import id_columns
from bench.submission.manifest import Manifest
from bench.submission.registration import Registration, refuse_other_model
from bench.submission.registration import register as store_registration
from bench.submission.sealed import seal
from bench.submission.store import (
    check_free,
    check_slug,
    keep_model,
    refuse_renaming,
    slug_of_name,
    store,
)
from bench.submission.tables import ArrayTable, PredictionTable, prediction_table
from bench.workspace import (
    LABEL_EFFICIENCY,
    MANIFEST,
    PREDICTIONS,
    RUNS,
    VAL_PREDICTIONS,
    Workspace,
    ignore_kept_back,
)

PredictionsChoice = str | Path | ArrayTable
"""Predictions: path of a CSV or Parquet file, a DataFrame, or (n,) arrays by column with the image ids."""

ManifestChoice = str | Path | Manifest | Mapping[str, Any]
"""A manifest: path of its TOML file, or its keys and values."""


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """A checked submission and where it was stored.

    Attributes:
        slug: Name of the entry; empty in a dry run without one.
        cohort: Id of the cohort.
        synthetic: Whether the cohort is synthetic.
        targets: Predicted targets, in alphabetical order.
        images: Number of predicted images of the entry's track.
        has_val: Whether predictions of the val images are stored with it.
        runs: Number of runs; 1 unless several sets of predictions were given.
        folder: Its folder in the store; None in a dry run.
        notices: Warnings and notices about the submission.
    """

    slug: str
    cohort: str
    synthetic: bool
    targets: tuple[str, ...]
    images: int
    has_val: bool
    runs: int
    folder: Path | None
    notices: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """What an entry is made of: predictions of one or several runs, a model, or embeddings.

    Attributes:
        runs: Predictions of each run; empty for a model and embeddings.
        model: An ONNX file.
        embeddings: A folder with embeddings.
        val: Predictions of the val images.
    """

    runs: tuple[PredictionsChoice, ...]
    model: Path | None
    embeddings: Path | None
    val: PredictionsChoice | None

    @classmethod
    def of(
        cls,
        predictions: PredictionsChoice | Sequence[PredictionsChoice] | None,
        model: str | Path | None,
        embeddings: str | Path | None,
        val: PredictionsChoice | None,
    ) -> _Source:
        """Return the one source that was given.

        Raises:
            ValueError: Not exactly one was given, `val` without predictions, or a list as `val`.
        """
        if sum(source is not None for source in (predictions, model, embeddings)) != 1:
            raise ValueError("give either predictions, a model or embeddings")
        runs = _runs(predictions)
        if val is not None and not runs:
            raise ValueError("a model and embeddings give the predictions of the val images: leave val out")
        if isinstance(val, list | tuple):
            raise ValueError("val takes the predictions of the first run alone, not a list")
        return cls(
            runs,
            None if model is None else Path(model),
            None if embeddings is None else Path(embeddings),
            val,
        )

    @property
    def beside(self) -> Path | None:
        """The file that the manifest lies beside, in a folder of embeddings its own; None in memory."""
        if self.embeddings is not None:
            return self.embeddings / MANIFEST
        return self.model if self.model is not None else _file(self.runs[0])

    def require_files(self) -> None:
        """Refuse files that are not there, and folders of predictions, before anything slow is done."""
        tables = list(filter(None, [*map(_file, self.runs), _file(self.val)]))
        named = [
            *((file, "predictions-unreadable") for file in tables),
            *((file, "model-unreadable") for file in [self.model] if file),
            *((file, "embeddings-unreadable") for file in [self.embeddings] if file),
        ]
        problems: list[Problem] = []
        for file, code in named:
            with collecting(problems):
                require_file(file, code)
                if file in tables and file.is_dir():
                    remedy = "Name the file itself; embeddings are given by their folder: `--embeddings DIR`."
                    raise BenchError(Problem(code, "It is a folder.", str(file), remedy))
        raise_errors(problems)
        if named:
            start_reader()

    def accept(
        self,
        cohort: Cohort,
        described: FoundManifest,
        progress: Progress | None,
        *,
        keep_in: Workspace | None,
        time_limit_s: float | None,
    ) -> Accepted:
        """Check the source, and compute the predictions of a model or of heads on embeddings.

        Args:
            cohort: What is predicted.
            described: The manifest.
            progress: As for `submit`.
            keep_in: Where a copy of the model is kept; None to keep none.
            time_limit_s: As for `submit`.
        """
        if self.model is not None:
            return _run_model(self.model, cohort, described, progress, keep_in, time_limit_s)
        if self.embeddings is not None:
            from bench.actions.embeddings import accept_embeddings

            return accept_embeddings(self.embeddings, cohort, described, progress)
        return _accept(self.runs, self.val, cohort, described)


def submit(
    predictions: PredictionsChoice | Sequence[PredictionsChoice] | None = None,
    *,
    name: str = "",
    slug: str = "",
    model: str | Path | None = None,
    embeddings: str | Path | None = None,
    manifest: ManifestChoice | None = None,
    val: PredictionsChoice | None = None,
    cohort: CohortChoice | None = None,
    data: str | Path | None = None,
    workspace: WorkspaceChoice | None = None,
    dry_run: bool = False,
    replace: bool = False,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
) -> SubmitResult:
    """Check and store an entry: predictions, or a model or embeddings that give them.

    Args:
        predictions: Predictions of the test images (all images for the cv5 track): one row an image, a column
            of image ids and a column for each target; binary targets as probabilities in [0, 1]. A list of
            several is one entry of several runs, such as training with several seeds: the mean of their
            AUROCs is ranked, and all other figures are those of the first run.
        name: Name shown on the board, in place of the manifest's.
        slug: Name of the entry in the store: lower-case letters, digits, hyphens; default: made from `name`.
            Not needed in a dry run.
        model: An ONNX file, instead of predictions.
        embeddings: A folder with an encoder's embeddings of all images, instead of predictions:
            for each of train, val and test ``PART.parquet``, or ``PART.npy`` and ``PART_ids.txt``. A logistic
            regression is fitted on train for each binary target, a ridge regression for each measurement.
        manifest: Description of the entry; default: ``submission.toml`` beside the file, else a bare one.
        val: Predictions of the val images, on which thresholds are chosen and a recalibration is fitted; of
            several runs those of the first.
        cohort: The cohort; default: the workspace's.
        data: Folder with the cohort's files; default: what the workspace says.
        workspace: The workspace; default: the one that holds the current folder.
        dry_run: Only check; store nothing.
        replace: Replace a stored entry of this slug, with its scorecard and timings.
        time_limit_s: Seconds that a model may run in all; by default 35, and 0.1 for each
            image; fewer on a synthetic cohort.
        progress: Called with (images done, images in total) while a model runs, with (targets done, targets
            in total) while heads are fitted on embeddings.

    Raises:
        ValueError: Not exactly one of `predictions`, `model` and `embeddings` is given, `val` is given
            without predictions or is a list, or both `slug` and `name` are missing.
        TypeError: The predictions are numbers without image ids.
        BenchError: Every fault of the submission, with code, place and remedy.
    """
    source = _Source.of(predictions, model, embeddings, val)
    slug = slug or slug_of_name(name) or name
    if not slug and not dry_run:
        raise ValueError("an entry needs a name or a slug, such as slug='my-model'")
    if slug:
        check_slug(slug)
    space = open_workspace_or_none(workspace, cohort) if dry_run else open_workspace(workspace, cohort)
    entries = space.submissions(choose_spec(cohort, workspace).id) if space else None
    if entries and not dry_run:
        refuse_renaming(entries)
        if not replace:
            check_free(entries, slug)
    source.require_files()
    if entries and slug:
        refuse_other_model(entries, slug, sha256_file(source.model) if source.model else "")
    described = _described(manifest, source.beside, slug or "dry-run")
    if described.manifest.embeddings and not source.embeddings:
        message = "embeddings: this table is written by `bench submit --embeddings`, not by hand."
        raise BenchError(Problem("manifest-invalid", message, described.file, "Leave the table out."))
    if name:
        described = _named(described, name)
    opened = open_cohort(cohort, data, workspace)
    notices = [*described.notices, *placeholders(described.manifest, described.file, "warning")]
    # A model is refused where no manifest describes it, so that the error comes with that warning.
    with with_problems(notices if source.model else ()):
        kept = None if dry_run else space
        accepted = source.accept(opened, described, progress, keep_in=kept, time_limit_s=time_limit_s)
        notices += accepted.notices
        if entries:
            notices += equal_entries(accepted, entries, opened, slug)
        if opened.spec.labels is LabelMode.PRIVATE:
            holder = space or open_workspace(workspace, cohort)
            accepted = with_secret_hashes(accepted, _secret(holder))
            _count_attempt(accepted, opened, holder, slug)
        folder = None
        if space and not dry_run:
            notices += _unsealed(opened, space)
            folder = _store(accepted, opened, space, slug, replace=replace)
    return SubmitResult(
        slug=slug,
        cohort=opened.spec.id,
        synthetic=opened.synthetic,
        targets=tuple(sorted(accepted.values)),
        images=len(next(iter(accepted.values.values()))),
        has_val=accepted.packed_val is not None,
        runs=accepted.runs,
        folder=folder,
        notices=tuple(notices),
    )


def register(
    slug: str,
    model: str | Path,
    plan: str | Path,
    *,
    cohort: CohortChoice | None = None,
    workspace: WorkspaceChoice | None = None,
) -> Registration:
    """Register a model and a plan before they are scored; another model is refused from then on.

    Args:
        slug: Name of the entry to come.
        model: The ONNX file.
        plan: Text that states what will be evaluated and how; only its hash is stored.
        cohort: The cohort; default: the workspace's.
        workspace: The workspace; default: the one that holds the current folder.

    Raises:
        BenchError: A file is missing, or the slug is in use or was scored (``registration-late``).
    """
    for path in (model, plan):
        require_file(Path(path), "model-unreadable")
    space = open_workspace(workspace, cohort)
    made = Registration(
        slug=slug,
        date=datetime.datetime.now(datetime.UTC).date(),
        model_sha256=sha256_file(Path(model)),
        plan_sha256=sha256_file(Path(plan)),
    )
    store_registration(space.submissions(choose_spec(cohort, space).id), made)
    return made


def _store(accepted: Accepted, cohort: Cohort, space: Workspace, slug: str, *, replace: bool) -> Path:
    """Store an entry, sealed where labels are shared, and return its folder."""
    ignore_kept_back(space, cohort.spec.id, cohort.spec.labels)
    return store(
        space.submissions(cohort.spec.id),
        slug,
        accepted.manifest,
        accepted.packed,
        val_predictions=accepted.packed_val,
        label_efficiency=accepted.packed_efficiency,
        runs=accepted.packed_runs,
        sealed=_sealed(accepted, space) if cohort.spec.labels is LabelMode.SHARED else {},
        replace=replace,
    ).folder


def _count_attempt(accepted: Accepted, cohort: Cohort, space: Workspace, slug: str) -> None:
    """Record a set of predictions, also of a dry run, and refuse it where the team has used its attempts."""
    manifest, sha256 = accepted.manifest, sha256_bytes(accepted.packed)
    count_attempt(space.submissions(cohort.spec.id), slug, manifest, sha256, cohort.spec.attempts_per_team)


def _secret(space: Workspace) -> bytes:
    """The secret that salts predictions of private test sets, made when first needed; never published."""
    with locked(space.secret.with_suffix(".lock")):
        if not space.secret.exists():
            write_atomic(space.secret, secrets.token_hex(32).encode())
        return space.secret.read_bytes()


def _sealed(accepted: Accepted, space: Workspace) -> dict[str, bytes]:
    """The encrypted predictions; nothing where the workspace has no public key."""
    if not space.key:
        return {}
    plain = {
        PREDICTIONS: accepted.packed,
        VAL_PREDICTIONS: accepted.packed_val,
        LABEL_EFFICIENCY: accepted.packed_efficiency,
        RUNS: accepted.packed_runs,
    }
    return seal({name: data for name, data in plain.items() if data is not None}, space.key)


def _unsealed(cohort: Cohort, space: Workspace) -> list[Problem]:
    """A warning where predictions should be sealed and the workspace has no public key."""
    if cohort.spec.labels is not LabelMode.SHARED or space.key:
        return []
    message = "The labels are shared, and bench.toml names no public key: the predictions are not sealed."
    return [Problem("not-sealed", message, str(space.marker), severity="warning")]


def _runs(
    predictions: PredictionsChoice | Sequence[PredictionsChoice] | None,
) -> tuple[PredictionsChoice, ...]:
    """The predictions of each run; none where no predictions are given.

    Raises:
        ValueError: The list of predictions is empty.
        TypeError: They are numbers without image ids.
    """
    if predictions is None:
        return ()
    if isinstance(predictions, str | Path | pd.DataFrame | Mapping):
        return (predictions,)
    runs = tuple(predictions)
    if not runs:
        raise ValueError("the list of predictions is empty")
    if not all(isinstance(run, str | Path | pd.DataFrame | Mapping) for run in runs):
        raise TypeError(
            "predictions are a file, a DataFrame or arrays by column, joined by image id and never by "
            "position: pass {'image_id': ids, 'slvh': values}, with a column for each target"
        )
    return runs


def _file(source: PredictionsChoice | None) -> Path | None:
    """The file of a source; None for one in memory."""
    return Path(source) if isinstance(source, str | Path) else None


def _described(manifest: ManifestChoice | None, file: Path | None, slug: str) -> FoundManifest:
    """The manifest as given, or the one beside the file; in memory none can be beside."""
    where = "manifest"
    if isinstance(manifest, Manifest):
        return FoundManifest(manifest, where)
    if isinstance(manifest, Mapping):
        return FoundManifest(parse(Manifest, dict(manifest), "manifest-invalid", where), where)
    chosen = None if manifest is None else Path(manifest)
    return find_manifest(file, chosen, slug)


def _named(described: FoundManifest, name: str) -> FoundManifest:
    """The manifest with another name, which is checked like every name."""
    keys = described.manifest.model_dump(by_alias=True) | {"name": name}
    return replace_fields(described, manifest=parse(Manifest, keys, "manifest-invalid", described.file))


def _table(source: PredictionsChoice, cohort: Cohort, where: str) -> Path | PredictionTable:
    if isinstance(source, pd.DataFrame | Mapping):
        return prediction_table(source, id_columns(cohort), where)
    return Path(source)


def _accept(
    runs: Sequence[PredictionsChoice],
    val: PredictionsChoice | None,
    cohort: Cohort,
    described: FoundManifest,
) -> Accepted:
    where = [f"predictions[{i}]" if len(runs) > 1 else "predictions" for i in range(len(runs))]
    tables = [_table(run, cohort, place) for run, place in zip(runs, where, strict=True)]
    accepted = (
        accept_predictions(tables[0], cohort, described.manifest, manifest_file=described.file)
        if len(tables) == 1
        else accept_runs(tables, cohort, described.manifest, manifest_file=described.file)
    )
    return with_val(accepted, _table(val, cohort, "val"), cohort) if val is not None else accepted


def _run_model(
    model: Path,
    cohort: Cohort,
    described: FoundManifest,
    progress: Progress | None,
    space: Workspace | None,
    time_limit_s: float | None,
) -> Accepted:
    from bench.runtime.accept import accept_model

    return accept_model(
        model,
        cohort,
        described.manifest,
        manifest_file=described.file,
        keep=(lambda copy, sha256: keep_model(copy, space.model(sha256))) if space else None,
        limit_s=time_limit_s,
        progress=progress,
    )
