"""Train: run baselines and submit what they predict, as anyone would."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines.api import Baseline, Choices
from baselines.registry import baselines, find_baseline
from baselines.run import FinishedRun, RunConfig, check_needs, run_baseline, slug_of
from bench.actions.context import CohortChoice, WorkspaceChoice, open_cohort, open_workspace
from bench.actions.submit import SubmitResult, submit
from bench.choices import Recalibration, Track
from bench.cohort.audit import require_valid_cohort
from bench.cohort.cohort import Cohort
from bench.environment import usable_cores
from bench.errors import BenchError, Problem
from bench.progress import StageProgress, of_stage, silent
from bench.submission.store import check_free
from bench.workspace import Workspace

if TYPE_CHECKING:
    from baselines.api import Pixels


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """Options for training baselines.

    Attributes:
        seed: Seed of everything random.
        quick: The quick form, for a trial.
        track: ``holdout``, or ``cv5``: five models, each image predicted out of fold.
        recalibrate: Methods of recalibration; for each, one more entry with its predictions is stored.
        recipe: A network's recipe in place of its own.
        settings: Keys of the recipe and their values in place of those it has.
        encoder: File that describes the encoder of ``linear-probe``.
        cache: Decode the images once, into the workspace's cache.
        replace: Replace stored entries of the same slug.
        jobs: Processes that read images; None for all cores.
    """

    seed: int = 0
    quick: bool = False
    track: Track = Track.HOLDOUT
    recalibrate: tuple[Recalibration, ...] = ()
    recipe: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    encoder: Path | None = None
    cache: bool = True
    replace: bool = False
    jobs: int | None = None

    def run_config(self) -> RunConfig:
        """Return the options of a baseline's run."""
        return RunConfig(
            seed=self.seed,
            quick=self.quick,
            track=Track(self.track),
            recalibrate=self.recalibrate,
            choices=Choices(self.recipe, self.settings, self.encoder),
        )


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Entries that trained baselines were submitted as.

    Attributes:
        submitted: The stored entries: each baseline's, then its recalibrated ones.
        skipped: Baseline → why it cannot be run on this cohort or machine.
    """

    submitted: tuple[SubmitResult, ...]
    skipped: Mapping[str, Problem] = field(default_factory=dict)

    @property
    def slugs(self) -> tuple[str, ...]:
        """Slugs of the stored entries."""
        return tuple(entry.slug for entry in self.submitted)


def train_baseline(
    name: str,
    options: TrainOptions | None = None,
    *,
    cohort: CohortChoice | None = None,
    data: str | Path | None = None,
    workspace: WorkspaceChoice | None = None,
    progress: StageProgress | None = None,
    submitted: Callable[[SubmitResult], None] | None = None,
) -> TrainResult:
    """Train a baseline on a cohort, predict the test images, and submit the result.

    A baseline never sees a test label. A cohort whose check fails is refused.

    Args:
        name: Name of the baseline; `bench baseline list` shows them.
        options: Seed, form, track and the like.
        cohort: The cohort; default: the workspace's.
        data: Folder with the cohort's files; default: what the workspace says.
        workspace: The workspace; default: the one that holds the current folder.
        progress: Called with (stage, steps done, steps in total).
        submitted: Called with each entry once it is stored.

    Raises:
        BenchError: The baseline is unknown, the cohort or the machine lacks what it needs, or its slug is in
            use.
    """
    options = options or TrainOptions()
    baseline = find_baseline(name)
    space, opened = open_workspace(workspace), open_cohort(cohort, data, workspace)
    config = options.run_config()
    check_needs(baseline, opened, config)
    slug = slug_of(name, config.track)
    entries = space.submissions(opened.spec.id)
    for wanted_slug in [slug, *(slug_of(name, config.track, method) for method in config.recalibrate)]:
        if not options.replace:
            check_free(entries, wanted_slug)
    jobs = options.jobs or usable_cores()
    copies = require_valid_cohort(
        opened,
        space.cache,
        images=baseline.needs_images,
        jobs=jobs,
        progress=of_stage(progress, "checking images"),
    )
    cache = _decoded(baseline, opened, space, config, jobs, progress) if options.cache else None
    config = replace(config, cache=cache, copies=copies, progress=progress or silent)
    done = run_baseline(name, opened, space.run(opened.spec.id, slug), config)
    results = []
    for finished in (done, *done.recalibrated):
        results.append(_submit(finished, opened, space, options.replace, progress))
        if submitted:
            submitted(results[-1])
    return TrainResult(tuple(results))


def train_baselines(
    names: Sequence[str] | None = None,
    options: TrainOptions | None = None,
    *,
    cohort: CohortChoice | None = None,
    data: str | Path | None = None,
    workspace: WorkspaceChoice | None = None,
    progress: StageProgress | None = None,
    submitted: Callable[[SubmitResult], None] | None = None,
) -> TrainResult:
    """Train several baselines one after the other.

    Args:
        names: Names of baselines; default: every one that the cohort and the machine allow; the others are
            `TrainResult.skipped`.
        options: Seed, form, track and the like.
        cohort: The cohort; default: the workspace's.
        data: Folder with the cohort's files; default: what the workspace says.
        workspace: The workspace; default: the one that holds the current folder.
        progress: Called with (baseline and stage, steps done, steps in total).
        submitted: Called with each entry once it is stored.

    Raises:
        BenchError: As `train_baseline`; entries that were stored before stay.
    """
    options = options or TrainOptions()
    space, opened = open_workspace(workspace), open_cohort(cohort, data, workspace)
    chosen = [find_baseline(name) for name in (baselines() if names is None else names)]
    skipped: dict[str, Problem] = {}
    results: list[SubmitResult] = []
    for baseline in chosen:
        try:
            check_needs(baseline, opened, options.run_config())
        except BenchError as error:
            if names is not None:
                raise
            skipped[baseline.name] = error.problems[0]
    for baseline in chosen:
        if baseline.name not in skipped:
            stage = _prefixed(progress, baseline.name)
            result = train_baseline(
                baseline.name, options, cohort=opened, workspace=space, progress=stage, submitted=submitted
            )
            results += result.submitted
    return TrainResult(tuple(results), skipped)


def _prefixed(progress: StageProgress | None, name: str) -> StageProgress | None:
    if progress is None:
        return None
    return lambda stage, done, total: progress(f"{name}: {stage}", done, total)


def _decoded(
    baseline: Baseline,
    cohort: Cohort,
    space: Workspace,
    config: RunConfig,
    jobs: int,
    progress: StageProgress | None,
) -> Pixels | None:
    """The cohort's images decoded once, in the size that the baseline reads; None where it reads none."""
    if baseline.side is None:
        return None
    from bench.cohort.image_cache import cached_images

    side = baseline.side(config.quick, config.choices)
    step = of_stage(progress, "decoding images")
    return cached_images(cohort, space.cache, height=side, width=side, jobs=jobs, progress=step)


def _submit(
    done: FinishedRun, cohort: Cohort, space: Workspace, replace_stored: bool, progress: StageProgress | None
) -> SubmitResult:
    """Submit the files of a run as anyone would.

    That columns equal those of another entry is no news here: a recalibrated entry keeps the measurements.
    """
    entry = submit(
        None if done.model else done.predictions,
        slug=done.slug,
        model=done.model,
        manifest=done.manifest,
        val=None if done.model else done.val,
        cohort=cohort,
        workspace=space,
        replace=replace_stored,
        progress=of_stage(progress, "running the model"),
    )
    notices = tuple(p for p in entry.notices if p.code != "predictions-equal-entry")
    return replace(entry, notices=notices)
