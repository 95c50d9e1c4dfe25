"""`bench template` and `bench submit`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import (
    CohortOption,
    DataOption,
    JsonOption,
    choose_spec,
    open_cohort,
    workspace_or_none,
)
from bench.cli.output import Report, progress, reporting

if TYPE_CHECKING:
    from bench.actions.submit import SubmitResult


def template(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder to write to; needed without --model.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="MODEL.onnx",
            help="Fill in the manifest from this model, alone; without --out it is printed.",
            readable=False,
        ),
    ] = None,
    cohort: CohortOption = None,
    data: DataOption = None,
    images: Annotated[str, typer.Option(help="`test`, `val`, or `all` for the cv5 track.")] = "test",
    as_json: JsonOption = False,
) -> None:
    """Write a predictions file without values and a manifest to fill in.

    Example: bench template --out my-entry

    Example: bench template --model model.onnx --out my-entry
    """
    from bench.submission.template import write_template

    if model:
        if data or images != "test":
            raise typer.BadParameter("a manifest needs no images", param_hint="--model")
        _model_template(model, out, cohort, as_json)
        return
    if out is None:
        raise typer.BadParameter("name a folder, or a model with --model", param_hint="--out")
    if images not in ("test", "val", "all"):
        raise typer.BadParameter("must be `test`, `val` or `all`", param_hint="--images")
    with reporting(as_json) as report:
        paths = write_template(open_cohort(cohort, data), out, images=images)
        report.result(files=[str(path) for path in paths])
        for path in paths:
            report.show(str(path))
        report.say("The predictions file names images of the cohort: do not publish it.")


def _model_template(model: Path, out: Path | None, cohort: str | None, as_json: bool) -> None:
    """Draft the manifest of a model; print it, or write it to a folder."""
    from bench.runtime.accept import drafted_interface
    from bench.submission.template import model_template, write_model_template

    with reporting(as_json) as report:
        spec = choose_spec(cohort, workspace_or_none())
        interface, notes = drafted_interface(model, spec)
        if out is None:
            text = model_template(spec, interface, notes)
            report.result(text=text, notes=list(notes))
            report.show(text.removesuffix("\n"))
            return
        path = write_model_template(spec, out, interface, notes)
        report.result(files=[str(path)], notes=list(notes))
        report.show(str(path))
        for note in notes:
            report.say(note)


def submit(
    predictions: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PREDICTIONS...",
            help="CSV, CSV.gz or Parquet; several files are runs of one entry, such as seeds: their mean "
            "AUROC is ranked.",
            readable=False,
        ),
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
    embeddings: Annotated[
        Path | None,
        typer.Option(
            "--embeddings",
            metavar="DIR",
            readable=False,
            help="Folder with an encoder's embeddings of the train, val and test images: PART.parquet, or "
            "PART.npy and PART_ids.txt. The same regression is fitted on every encoder's.",
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
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also", metavar="COHORT", help="With --model: run it on this cohort too; can be repeated."
        ),
    ] = None,
    cohort: CohortOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check, pack and store predictions, or compute them first by an ONNX model or from embeddings.

    Example: bench submit predictions.csv --val val-predictions.csv --slug my-model

    Example: bench submit seed0.csv seed1.csv seed2.csv --slug my-model

    Example: bench submit --model model.onnx --manifest submission.toml --slug my-model

    Example: bench submit --model model.onnx --slug my-model --also mimic-echo

    Example: bench submit --embeddings embeddings/ --slug my-encoder
    """
    if sum(map(bool, (predictions, model, embeddings))) != 1:
        message = "give either a predictions file, --model or --embeddings"
        raise typer.BadParameter(message, param_hint="PREDICTIONS")
    if val and not predictions:
        message = "a model and embeddings give the predictions of the val images by themselves"
        raise typer.BadParameter(message, param_hint="--val")
    if also and not model:
        message = "predictions and embeddings are of one cohort: goes with --model"
        raise typer.BadParameter(message, param_hint="--also")
    if not slug and not dry_run:
        raise typer.BadParameter("an entry needs a name, such as --slug my-model", param_hint="--slug")
    from bench.actions.submit import submit as submit_entry

    with reporting(as_json) as report:
        # All are opened before the first is stored, so that a missing folder is reported at once.
        others = [open_cohort(name, None) for name in also or ()]
        stored = []
        title = "Running the model" if model else "Fitting the heads" if embeddings else ""
        for chosen in (open_cohort(cohort, data) if others else cohort, *others):
            with progress(title) if title else nullcontext() as step:
                done = submit_entry(
                    predictions,
                    slug=slug,
                    model=model,
                    embeddings=embeddings,
                    manifest=manifest,
                    val=val,
                    cohort=chosen,
                    data=data if chosen is cohort else None,
                    dry_run=dry_run,
                    replace=replace,
                    time_limit_s=time_limit,
                    progress=step,
                )
            report.show_problems(done.notices)
            stored.append(_show_stored(report, done))
        report.result(**stored[0])
        if others:
            report.result(also=stored[1:])


def _show_stored(report: Report, done: SubmitResult) -> dict[str, Any]:
    """Show where an entry was stored; also as plain data."""
    values: dict[str, Any] = {
        "slug": done.slug,
        "cohort": done.cohort,
        "synthetic": done.synthetic,
        "targets": list(done.targets),
        "images": done.images,
        "val": done.has_val,
        "runs": done.runs,
        "stored": done.folder is not None,
    }
    if done.folder is None:
        report.show("The submission is in order; nothing was stored.")
        return values
    report.show(f"Stored {done.slug} in {done.folder}. Next: bench score {done.slug}")
    return {**values, "folder": str(done.folder)}


def register(
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="Name of the entry to come.")],
    model: Annotated[Path, typer.Option("--model", metavar="MODEL.onnx", help="The model.", readable=False)],
    plan: Annotated[
        Path,
        typer.Option(
            "--plan", metavar="FILE", help="Text that says what will be evaluated, and how.", readable=False
        ),
    ],
    cohort: Annotated[
        str | None, typer.Option("--cohort", metavar="ID|SPEC.toml", help="The cohort.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Register a model and a plan before they are scored; the entry then bears a badge.

    Example: bench register my-model --model model.onnx --plan plan.md
    """
    from bench.actions.submit import register as register_model

    with reporting(as_json) as report:
        done = register_model(slug, model, plan, cohort=cohort)
        report.result(slug=slug, model_sha256=done.model_sha256, plan_sha256=done.plan_sha256)
        report.show(f"Registered {slug}: model {done.model_sha256[:12]}, plan {done.plan_sha256[:12]}.")
        report.say(f"Next: bench submit --model {model} --slug {slug}")
