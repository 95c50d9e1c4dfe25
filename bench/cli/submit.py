"""`bench template` and `bench submit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import (
    CohortOption,
    DataOption,
    JsonOption,
    choose_spec,
    open_cohort,
    workspace,
    workspace_or_none,
)
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
    cohort: CohortOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check, pack and store predictions, or run an ONNX model and store what it predicts.

    Example: bench submit predictions.csv --val val-predictions.csv --slug my-model

    Example: bench submit --model model.onnx --manifest submission.toml --slug my-model
    """
    source = predictions or model
    if source is None or (predictions and model):
        raise typer.BadParameter("give either a predictions file or --model", param_hint="PREDICTIONS")
    if val and model:
        raise typer.BadParameter("a model is run on the val images by itself", param_hint="--val")
    if not slug and not dry_run:
        raise typer.BadParameter("an entry needs a name, such as --slug my-model", param_hint="--slug")
    from bench.submission.accept import (
        accept_predictions,
        equal_entries,
        find_manifest,
        require_file,
        with_val,
    )
    from bench.submission.store import check_free, check_slug, keep_model, store

    with reporting(as_json) as report:
        if slug:
            check_slug(slug)
        if not (dry_run or replace):
            check_free(workspace().submissions(choose_spec(cohort).id), slug)
        require_file(source, "predictions-unreadable" if predictions else "model-unreadable")
        if val:
            require_file(val, "predictions-unreadable")
        said = find_manifest(source, manifest, slug or "dry-run")
        opened = open_cohort(cohort, data)
        if predictions:
            accepted = accept_predictions(predictions, opened, said.manifest, manifest_file=said.file)
            accepted = with_val(accepted, val, opened) if val else accepted
            report.remark(said.remarks)
        else:
            from bench.runtime.accept import accept_model

            report.remark(said.remarks)  # first: a model is refused where no manifest describes it
            with progress("Running the model") as step:
                accepted = accept_model(source, opened, said.manifest, manifest_file=said.file, progress=step)
        report.remark(accepted.remarks)
        report.result(
            slug=slug,
            cohort=opened.spec.id,
            synthetic=opened.synthetic,
            targets=sorted(accepted.values),
            images=len(next(iter(accepted.values.values()))),
            val=accepted.packed_val is not None,
            stored=not dry_run,
        )
        space = workspace_or_none() if dry_run else workspace()
        if space:
            folder = space.submissions(opened.spec.id)
            report.remark(equal_entries(accepted, folder, opened, slug))
        if space is None or dry_run:
            report.show("The submission is in order; nothing was stored.")
            return
        if model:
            from bench.files import sha256_file

            keep_model(model, space.model(sha256_file(model)))
        stored = store(
            folder,
            slug,
            accepted.manifest,
            accepted.packed,
            val_predictions=accepted.packed_val,
            replace=replace,
        )
        report.result(folder=str(stored.folder))
        report.show(f"Stored {slug} in {stored.folder}. Next: bench score {slug}")
