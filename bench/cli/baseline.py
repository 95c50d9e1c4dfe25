"""`bench baseline`: list and run."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.app import App
from bench.cli.options import (
    CohortOption,
    DataOption,
    JobsOption,
    JsonOption,
    SeedOption,
    open_cohort,
    workspace,
)
from bench.cli.output import Report, progress, reporting, stages, table

if TYPE_CHECKING:
    from baselines.api import Baseline, Choices, Pixels
    from baselines.run import FinishedRun, RunConfig
    from bench.cohort.cohort import Cohort
    from bench.workspace import Workspace

app = App(help="Train the baselines and submit what they predict.", no_args_is_help=True)


class Track(StrEnum):
    """Values of ``--track``."""

    holdout = "holdout"
    cv5 = "cv5"


class Recalibration(StrEnum):
    """Values of ``--recalibrate``."""

    temperature = "temperature"
    isotonic = "isotonic"


@app.command(name="list")
def list_baselines(as_json: JsonOption = False) -> None:
    """List the baselines.

    Example: bench baseline list
    """
    from baselines.registry import baselines

    with reporting(as_json) as report:
        found = baselines().values()
        report.result(baselines=[{"name": b.name, "summary": b.summary} for b in found])
        report.show(table(["name", "summary"], [[b.name, b.summary] for b in found]))


@app.command()
def run(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Baselines.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every baseline that this cohort allows.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="The quick form, for a trial.")] = False,
    track: Annotated[
        Track,
        typer.Option("--track", help="cv5 trains five models and predicts every image out of fold."),
    ] = Track.holdout,
    recalibrate: Annotated[
        list[Recalibration] | None,
        typer.Option("--recalibrate", help="Store an entry recalibrated on val besides; may be repeated."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", metavar="FILE", help="A network's recipe in place of its own.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A key of the recipe; may be repeated."),
    ] = None,
    encoder: Annotated[
        Path | None, typer.Option("--encoder", metavar="FILE", help="What describes linear-probe's encoder.")
    ] = None,
    cache: Annotated[bool, typer.Option(help="Decode the images once, into the workspace's cache.")] = True,
    replace_stored: Annotated[
        bool, typer.Option("--replace", help="Replace stored entries of the same slug.")
    ] = False,
    seed: SeedOption = 0,
    jobs: JobsOption = None,
    cohort: CohortOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train baselines, predict the test images, and submit the result as anyone would.

    A baseline never sees a test label: it is handed unlabelled rows. A cohort whose check fails is refused.

    Example: bench baseline run prevalence demographics --quick
    """
    if bool(names) == everything:
        raise typer.BadParameter("name baselines, or say --all", param_hint="NAME")
    from baselines.api import Choices
    from baselines.recalibrate import METHODS
    from baselines.registry import baselines, find_baseline
    from baselines.run import RunConfig, check_needs
    from bench.environment import usable_cores
    from bench.errors import BenchError

    with reporting(as_json) as report:
        choices = Choices(recipe, _settings(settings or []), encoder)
        chosen = [find_baseline(name) for name in names or baselines()]
        _refuse_unused(chosen, choices)
        space, opened = workspace(), open_cohort(cohort, data)
        methods = tuple(method for method in METHODS if method in (recalibrate or []))
        how = RunConfig(seed=seed, quick=quick, track=track.value, recalibrate=methods, choices=choices)
        stored: list[str] = []
        for found in chosen:
            try:
                check_needs(found, opened, how)
            except BenchError as error:
                if not everything:
                    raise
                report.say(f"{found.name} is left out: {error.problems[0].message}")
                continue
            ready = _Ready(report, space, opened, jobs or usable_cores(), cache, replace_stored)
            stored += ready.run(found, how)
        report.result(cohort=opened.spec.id, synthetic=opened.synthetic, submitted=stored)
        if stored:
            report.say(f"Next: bench score {' '.join(stored)}")


def _settings(words: list[str]) -> dict[str, Any]:
    """The values of ``--set``, read as TOML where they are, and as text otherwise."""
    import tomllib

    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{word!r} is not KEY=VALUE", param_hint="--set")
        try:
            found[key] = tomllib.loads(f"value = {value}")["value"]
        except ValueError:
            found[key] = value
    return found


def _refuse_unused(chosen: list[Baseline], choices: Choices) -> None:
    if (choices.recipe or choices.settings) and [b.has_recipe for b in chosen] != [True]:
        raise typer.BadParameter("name one baseline that has a recipe", param_hint="--recipe, --set")
    if choices.encoder and not any(b.needs_encoder for b in chosen):
        raise typer.BadParameter("none of these baselines reads an encoder", param_hint="--encoder")


class _Ready:
    """What running one baseline after the other shares."""

    def __init__(
        self, report: Report, space: Workspace, cohort: Cohort, jobs: int, cache: bool, replace_stored: bool
    ) -> None:
        self.report = report
        self.space = space
        self.cohort = cohort
        self.jobs = jobs
        self.cache = cache
        self.replace_stored = replace_stored

    def run(self, found: Baseline, how: RunConfig) -> list[str]:
        """Checks the cohort, trains, submits; returns the slugs of the stored entries."""
        from baselines.run import run_baseline, slug_of
        from bench.cohort.audit import require_valid_cohort
        from bench.submission.store import check_free

        name, slug = found.name, slug_of(found.name, how.track)
        entries = self.space.submissions(self.cohort.spec.id)
        for taken in [slug, *(slug_of(name, how.track, method) for method in how.recalibrate)]:
            if not self.replace_stored:
                check_free(entries, taken)
        with progress(f"{name}: checking images") as step:
            copies = require_valid_cohort(
                self.cohort, self.space.cache, images=found.needs_images, jobs=self.jobs, progress=step
            )
        cache = self._cached(found, how)
        folder = self.space.run(self.cohort.spec.id, slug)
        with stages(name) as told:
            done = run_baseline(
                name, self.cohort, folder, replace(how, cache=cache, copies=copies, progress=told)
            )
        for finished in (done, *done.recalibrated):
            self._submit(finished)
        return [finished.slug for finished in (done, *done.recalibrated)]

    def _cached(self, found: Baseline, how: RunConfig) -> Pixels | None:
        if found.side is None or not self.cache:
            return None
        from bench.cohort.image_cache import cached_images

        side = found.side(how.quick, how.choices)
        with progress(f"{found.name}: decoding images") as step:
            return cached_images(
                self.cohort, self.space.cache, height=side, width=side, jobs=self.jobs, progress=step
            )

    def _submit(self, done: FinishedRun) -> None:
        """Hands the run's files to the same code as anyone's."""
        from bench.submission.accept import accept_predictions, with_val
        from bench.submission.store import keep_model, read_manifest, store

        manifest = read_manifest(done.manifest)
        if done.model:
            from bench.files import sha256_file
            from bench.runtime.accept import accept_model

            with progress(f"{done.slug}: running the model") as step:
                accepted = accept_model(done.model, self.cohort, manifest, progress=step)
            keep_model(done.model, self.space.model(sha256_file(done.model)))
        else:
            accepted = accept_predictions(done.predictions, self.cohort, manifest)
            accepted = with_val(accepted, done.val, self.cohort) if done.val else accepted
        self.report.remark(accepted.remarks)
        entries = self.space.submissions(self.cohort.spec.id)
        stored = store(
            entries,
            done.slug,
            manifest,
            accepted.packed,
            val_predictions=accepted.packed_val,
            replace=self.replace_stored,
        )
        self.report.show(f"Stored {done.slug} in {_relative(stored.folder, self.space.root)}")


def _relative(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
