"""`bench template` and `bench submit`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import CohortOption, DataOption, JsonOption, open_cohort
from bench.cli.output import progress, reporting


def template(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")],
    cohort: CohortOption = None,
    data: DataOption = None,
    images: Annotated[str, typer.Option(help="`test`, `val`, or `all` for the cv5 track.")] = "test",
    as_json: JsonOption = False,
) -> None:
    """Write a predictions file without values and a manifest to fill in.

    Example: bench template --out my-entry
    """
    from bench.submission.template import write_template

    if images not in ("test", "val", "all"):
        raise typer.BadParameter("must be `test`, `val` or `all`", param_hint="--images")
    with reporting(as_json) as report:
        paths = write_template(open_cohort(cohort, data), out, images=images)
        report.result(files=[str(path) for path in paths])
        for path in paths:
            report.show(str(path))
        report.say("The predictions file names images of the cohort: do not publish it.")


def submit(
    predictions: Annotated[
        Path | None, typer.Argument(metavar="PREDICTIONS", help="CSV, CSV.gz or Parquet.", readable=False)
    ] = None,
    slug: Annotated[
        str,
        typer.Option(
            "--slug",
            metavar="S",
            help="Name of the entry's folder and address: lower-case letters, digits, hyphens.",
        ),
    ] = "",
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest", metavar="FILE", help="submission.toml; default: the one beside.", readable=False
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", metavar="MODEL.onnx", help="Run this model on the test images.", readable=False
        ),
    ] = None,
    val: Annotated[
        Path | None,
        typer.Option(
            "--val",
            metavar="FILE",
            readable=False,
            help="Predictions of the val images (rows of others are dropped): thresholds are chosen and a "
            "recalibration is fitted there. A model is run on them by itself.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check; store nothing.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the stored entry of this slug.")
    ] = False,
    time_limit: Annotated[
        float | None,
        typer.Option("--time-limit", metavar="SECONDS", min=1, help="Seconds that a model may run in all."),
    ] = None,
    cohort: CohortOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check, pack and store predictions, or run an ONNX model and store what it predicts.

    Example: bench submit predictions.csv --val val-predictions.csv --slug my-model

    Example: bench submit --model model.onnx --manifest submission.toml --slug my-model
    """
    if bool(predictions) == bool(model):
        raise typer.BadParameter("give either a predictions file or --model", param_hint="PREDICTIONS")
    if val and model:
        raise typer.BadParameter("a model is run on the val images by itself", param_hint="--val")
    if not slug and not dry_run:
        raise typer.BadParameter("an entry needs a name, such as --slug my-model", param_hint="--slug")
    from bench.actions.submit import submit as submit_entry

    with reporting(as_json) as report:
        with progress("Running the model") if model else nullcontext() as step:
            done = submit_entry(
                predictions,
                slug=slug,
                model=model,
                manifest=manifest,
                val=val,
                cohort=cohort,
                data=data,
                dry_run=dry_run,
                replace=replace,
                time_limit_s=time_limit,
                progress=step,
            )
        report.remark(done.notices)
        report.result(
            slug=slug,
            cohort=done.cohort,
            synthetic=done.synthetic,
            targets=list(done.targets),
            images=done.images,
            val=done.has_val,
            stored=done.folder is not None,
        )
        if done.folder is None:
            report.show("The submission is in order; nothing was stored.")
            return
        report.result(folder=str(done.folder))
        report.show(f"Stored {slug} in {done.folder}. Next: bench score {slug}")
