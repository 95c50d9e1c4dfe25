"""`bench baseline`: list and run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import CohortOption, DataOption, JsonOption, SeedOption, open_cohort, workspace
from bench.cli.output import Report, progress, reporting, stages, table

if TYPE_CHECKING:
    from baselines.run import FinishedRun
    from bench.cohort.table import Cohort
    from bench.workspace import Workspace

app = typer.Typer(help="Train the baselines and submit what they predict.", no_args_is_help=True)


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
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace stored entries of the same slug.")
    ] = False,
    seed: SeedOption = 0,
    cohort: CohortOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train baselines, predict the test images, and submit the result as anyone would.

    A baseline never sees a test label: it is handed unlabelled rows.

    Example: bench baseline run prevalence demographics --quick
    """
    if bool(names) == everything:
        raise typer.BadParameter("name baselines, or say --all", param_hint="NAME")
    from baselines.registry import baselines, find_baseline
    from baselines.run import check_needs, run_baseline
    from bench.errors import BenchError
    from bench.submission.store import check_free

    with reporting(as_json) as report:
        space, opened = workspace(), open_cohort(cohort, data)
        chosen = [find_baseline(name) for name in names or baselines()]
        finished = []
        for found in chosen:
            try:
                check_needs(found, opened)
            except BenchError as error:
                if not everything:
                    raise
                report.say(f"{found.name} is left out: {error.problems[0].message}")
                continue
            if not replace:
                check_free(space.submissions(opened.spec.id), found.name)
            folder = space.run(opened.spec.id, found.name)
            with stages(found.name) as step:
                done = run_baseline(found.name, opened, folder, seed=seed, quick=quick, progress=step)
            _submit(report, space, opened, done, replace)
            finished.append(found.name)
        report.result(cohort=opened.spec.id, synthetic=opened.synthetic, submitted=finished)
        if finished:
            report.say(f"Next: bench score {' '.join(finished)}")


def _submit(report: Report, space: Workspace, cohort: Cohort, done: FinishedRun, replace: bool) -> None:
    """Hands the run's files to the same code as anyone's."""
    from bench.submission.accept import accept_predictions
    from bench.submission.store import keep_model, read_manifest, store

    manifest = read_manifest(done.manifest)
    if done.model:
        from bench.files import sha256_file
        from bench.runtime.accept import accept_model

        with progress(f"{done.name}: running the model") as step:
            accepted = accept_model(done.model, cohort, manifest, progress=step)
        keep_model(done.model, space.model(sha256_file(done.model)))
    else:
        accepted = accept_predictions(done.predictions, cohort, manifest)
    report.remark(accepted.remarks)
    stored = store(space.submissions(cohort.spec.id), done.name, manifest, accepted.packed, replace=replace)
    report.show(f"Stored {done.name} in {_relative(stored.folder, space.root)}")


def _relative(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
