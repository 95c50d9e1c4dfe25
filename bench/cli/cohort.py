"""`bench cohort`: check, split, cache, demo, link."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.app import App
from bench.cli.options import (
    CohortOption,
    DataOption,
    JobsOption,
    JsonOption,
    choose_spec,
    open_cohort,
    workspace,
    workspace_or_none,
)
from bench.cli.output import Report, progress, reporting, table

EchoRule = Literal["nearest", "maximum"]
DemoSite = Literal["chexchonet", "mimic"]

if TYPE_CHECKING:
    from bench.cohort.audit import Audit
    from bench.cohort.audit_images import ImageAudit
    from bench.cohort.cohort import Cohort
    from bench.cohort.summary import SplitLock

app = App(
    help="Check a cohort, split it, decode its images, or write the synthetic one.", no_args_is_help=True
)


@app.command()
def check(
    cohort: CohortOption = None,
    data: DataOption = None,
    images: Annotated[bool, typer.Option(help="Read every image file.")] = True,
    list_file: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="Write which files are concerned, for the holder alone."),
    ] = None,
    jobs: JobsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a copy of a cohort: schema, images, duplicates, labels, patients across splits, prevalence.

    Example: bench cohort check --cohort chexchonet --data DIR
    """
    from bench.cohort.audit import audit, store_checked_images
    from bench.environment import usable_cores
    from bench.errors import raise_errors

    with reporting(as_json) as report:
        opened = open_cohort(cohort, data)
        look = images and bool(opened.spec.files.images)
        with progress("Reading images") as step:
            findings = audit(opened, images=look, jobs=jobs or usable_cores(), progress=step)
        if look and (space := workspace_or_none()):
            store_checked_images(opened, findings, space.cache)
        _show_split(report, opened, findings.split)
        _show_audit(report, findings)
        report.result(
            cohort=opened.spec.id,
            synthetic=opened.synthetic,
            split=findings.split.plain(),
            resolution=[line.plain() for line in findings.resolution],
            labels=[line.plain() for line in findings.labels],
            implausible=findings.implausible,
            images_read=findings.images.looked_at if findings.images else None,
        )
        if list_file and findings.images:
            _write_list(list_file, findings.images)
            report.say(f"Wrote which files are concerned to {list_file}. It names images: do not publish it.")
        report.show_problems(findings.problems)
        raise_errors(findings.problems)
        report.say("No errors." if findings.problems else "No problems found.")


def _show_split(report: Report, cohort: Cohort, split: SplitLock) -> None:
    synthetic = " (synthetic)" if cohort.synthetic else ""
    report.show(f"{cohort.spec.title}{synthetic}: {split.images:,} images of {split.patients:,} patients")
    report.show("")
    sizes = [[p.part, f"{p.images:,}", f"{p.patients:,}"] for p in (*split.parts, *split.folds)]
    report.show(table(["split", "images", "patients"], sizes, right=frozenset({1, 2})))
    positives = [
        [
            counts[0].target,
            *("–" if c.prevalence is None else _share(c.positives, c.prevalence) for c in counts),
        ]
        for counts in zip(*(part.targets for part in split.parts), strict=True)
    ]
    headings = ["positive images", *(part.part for part in split.parts)]
    report.show("\n" + table(headings, positives, right=frozenset({1, 2, 3})))
    report.show(f"\nfingerprint {split.fingerprint}")


def _share(count: int, share: float) -> str:
    return f"{count:,} ({100 * share:.1f}%)"


def _show_audit(report: Report, findings: Audit) -> None:
    rows = [
        [
            line.target,
            f"{line.positives:,}",
            f"{line.positive_patients:,}",
            _span(line.half_width_low, line.half_width_high),
            _span(line.paired_difference_low, line.paired_difference_high),
        ]
        for line in findings.resolution
    ]
    headings = [
        "test set",
        "positive images",
        "positive patients",
        "half-width at 0.80",
        "detectable difference",
    ]
    report.show("\n" + table(headings, rows, right=frozenset({1, 2, 3, 4})))
    for agreement in findings.labels:
        report.show(
            f"{agreement.target}: {agreement.agree:,} of {agreement.images:,} released labels follow the rule"
        )
    for target, count in findings.implausible.items():
        report.show(f"{target}: {count:,} measurements outside the plausible range or blank, not scored")
    if findings.images:
        sums = f", {findings.images.checksums:,} checksums compared" if findings.images.checksums else ""
        report.show(f"{findings.images.looked_at:,} images read{sums}")


def _span(low: float | None, high: float | None) -> str:
    return "undefined" if low is None or high is None else f"±{low:.3f} to ±{high:.3f}"


def _write_list(path: Path, images: ImageAudit) -> None:
    import csv
    import io

    from bench.cohort.audit_images import FAULTS
    from bench.files import write_atomic

    kinds = {
        "missing": images.missing,
        **{fault: [name for name, kind in images.faults.items() if kind == fault] for fault in FAULTS},
        "ends in zeros": images.zero_tails,
        "unlisted": images.unlisted,
        "changed": images.changed,
        "listed, not there": images.listed_missing,
        **{f"same pixels, group {i}": list(group) for i, group in enumerate(images.duplicates, 1)},
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["finding", "file"])
    writer.writerows([kind, name] for kind, names in kinds.items() for name in names)
    write_atomic(path, text.getvalue().encode())


@app.command()
def split(
    cohort: CohortOption = None,
    data: DataOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write ids, paths, split, fold, and labels of train and val as CSV."
        ),
    ] = None,
    lock: Annotated[
        bool, typer.Option("--lock", help="Write the split's lock instead of comparing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the split and compare it with its lock; write the table of parts for the holder of the data.

    Patients that may be in two parts are an error: the table of parts is still written, the lock is not.

    Example: bench cohort split --cohort chexchonet --out split.csv
    """
    from bench.cohort.audit_table import audit_split
    from bench.cohort.summary import compare_with_lock, split_lock, summarise, write_lock
    from bench.errors import raise_errors

    with reporting(as_json) as report:
        opened = open_cohort(cohort, data)
        summary = summarise(opened)
        _show_split(report, opened, summary)
        report.result(split=summary.plain())
        if out:
            _write_split(out, opened)
            report.say(f"Wrote the split to {out}. It holds patients and labels: do not publish it.")
        problems = audit_split(opened)
        report.show_problems(problems)
        raise_errors(problems)
        lock_file = workspace().split_lock(opened.spec.id)
        if lock:
            write_lock(split_lock(opened), lock_file)
            report.say(f"Wrote the lock {lock_file}.")
        elif lock_file.exists():
            raise_errors(compare_with_lock(summary, lock_file))
            report.say("The split is the locked one.")
        else:
            report.say("There is no lock to compare with; --lock writes one.")


def _write_split(path: Path, cohort: Cohort) -> None:
    from bench.cohort.frames import split_table
    from bench.files import atomic_path

    with atomic_path(path) as part:
        split_table(cohort).to_csv(part, index=False)


@app.command()
def cache(
    cohort: CohortOption = None,
    data: DataOption = None,
    size: Annotated[
        int, typer.Option("--size", min=16, max=4096, metavar="PIXELS", help="Side of the decoded images.")
    ] = 224,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder; default the workspace's cache.")
    ] = None,
    jobs: JobsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decode the images once, so that training decodes nothing; an interrupted call is gone on with.

    What is there is verified by its hashes, and what is damaged or of other files is decoded again.

    Example: bench cohort cache --size 224
    """
    import time

    from bench.cohort.image_cache import build_cache
    from bench.environment import usable_cores

    with reporting(as_json) as report:
        opened = open_cohort(cohort, data)
        folder = out or workspace().cache
        started = time.monotonic()
        with progress("Decoding images") as step:
            summary = build_cache(
                opened, folder, height=size, width=size, jobs=jobs or usable_cores(), progress=step
            )
        seconds = time.monotonic() - started
        report.result(
            cohort=opened.spec.id,
            synthetic=opened.synthetic,
            path=str(summary.path),
            images=summary.images,
            decoded=summary.decoded,
            kept=summary.kept,
            size_bytes=summary.size_bytes,
            duration_s=round(seconds, 3),
        )
        report.show(
            f"{summary.images:,} images in {summary.path} ({summary.size_bytes / 1e6:,.0f} MB): "
            f"{summary.decoded:,} decoded, {summary.kept:,} kept, {seconds:.1f} s."
        )


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")],
    patients: Annotated[
        int, typer.Option("--patients", min=20, max=24_689, help="Number of patients.")
    ] = 3_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed.")] = 20240320,
    images: Annotated[bool, typer.Option(help="Draw the images too.")] = True,
    site: Annotated[
        DemoSite, typer.Option("--site", help="chexchonet: the cohort; mimic: files for `bench cohort link`.")
    ] = "chexchonet",
    replace: Annotated[bool, typer.Option("--replace", help="Write over other synthetic files.")] = False,
    jobs: JobsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the synthetic cohort: CheXchoNet's or MIMIC's layout and traps, no real patient.

    Example: bench cohort demo --out data/demo
    """
    from dataclasses import asdict

    from bench.cohort.synthetic.mimic import mimic_marker, write_mimic
    from bench.cohort.synthetic.write import demo_marker, refuse_other_cohort, write_demo
    from bench.environment import usable_cores

    with reporting(as_json) as report:
        if not replace:
            marker_of = mimic_marker if site == "mimic" else demo_marker
            refuse_other_cohort(out, marker_of(patients, seed), images)
        if site == "mimic":
            with progress("Drawing images") as step:
                written = write_mimic(
                    out,
                    patients=patients,
                    seed=seed,
                    images=images,
                    jobs=jobs or usable_cores(),
                    progress=step,
                )
            report.result(synthetic=True, folder=str(out), patients=patients, images=len(written.images))
            report.show(f"Wrote synthetic files of {patients:,} patients in MIMIC's layout to {out}.")
            return
        with progress("Drawing images") as step:
            summary = write_demo(
                out, patients=patients, seed=seed, images=images, jobs=jobs or usable_cores(), progress=step
            )
        report.result(synthetic=True, **asdict(summary) | {"folder": str(out)})
        report.show(f"Wrote a synthetic cohort of {patients:,} patients to {out}.")


@app.command()
def specs(
    name: Annotated[str | None, typer.Argument(metavar="ID", help="Print the spec of this cohort.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the built-in cohorts, or print the spec of one, to copy and change.

    Example: bench cohort specs chexpert > our-cohort.toml
    """
    from bench.cohort.spec import builtin_specs, builtin_text

    with reporting(as_json) as report:
        if name is not None:
            text = builtin_text(name)
            report.result(id=name, text=text)
            report.show(text.removesuffix("\n"))
            return
        builtin = [choose_spec(name) for name in builtin_specs()]
        report.result(cohorts=[{"id": s.id, "version": s.version, "title": s.title} for s in builtin])
        report.show(table(["id", "version", "title"], [[s.id, s.version, s.title] for s in builtin]))


@app.command()
def new(
    table_file: Annotated[
        Path, typer.Option("--table", metavar="FILE", help="The cohort's table, CSV or Parquet.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="SPEC.toml", help="New file; its name is the id.")],
    as_json: JsonOption = False,
) -> None:
    """Draft a cohort's spec from its table: columns are guessed, and every guess is commented.

    Example: bench cohort new --table metadata.csv --out our-cohort.toml
    """
    from bench.cohort.draft import write_spec_draft

    with reporting(as_json) as report:
        draft = write_spec_draft(table_file, out)
        report.result(file=str(out), missing=list(draft.missing))
        report.show(f"Drafted {out}: check every line.")
        if draft.missing:
            report.say(f"Not guessed, to fill in before it can be used: {', '.join(draft.missing)}.")
        else:
            report.say(f"Next: bench cohort check --cohort {out} --data {table_file.parent}")


link = App(help="Link public datasets to a cohort with echocardiogram labels.", no_args_is_help=True)
app.add_typer(link, name="link")


@link.command()
def mimic(
    cxr: Annotated[Path, typer.Option("--cxr", metavar="DIR", help="Folder of MIMIC-CXR-JPG 2.x.")],
    echo: Annotated[Path, typer.Option("--echo", metavar="DIR", help="Folder of MIMIC-IV-ECHO 1.x.")],
    iv: Annotated[Path, typer.Option("--iv", metavar="DIR", help="Folder of MIMIC-IV 2.0 or later.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the linked cohort.")],
    rule: Annotated[
        EchoRule,
        typer.Option("--echo-rule", help="Nearest echocardiogram, or maximum in the window, as CheXchoNet."),
    ] = "nearest",
    window: Annotated[
        int, typer.Option("--window", min=0, max=3650, metavar="DAYS", help="Most days before or after.")
    ] = 365,
    as_json: JsonOption = False,
) -> None:
    """Link MIMIC-CXR-JPG with the echocardiograms of MIMIC-IV-ECHO; write table, report and flow chart.

    No other folder gets identifiers of MIMIC. An earlier link is replaced when the new one is complete.

    Example: bench cohort link mimic --cxr CXR --echo ECHO --iv IV --out data/mimic-echo
    """
    from bench.cohort.link.flow import counted
    from bench.cohort.link.mimic import FLOW_HTML, link_mimic

    with reporting(as_json) as report:
        with progress("Reading measurements") as step:
            done = link_mimic(cxr, echo, iv, out, rule=rule, window_days=window, progress=step)
        report.show_problems(done.problems)
        report.result(folder=str(out), **done.report.plain())
        report.show(done.report.rule + "\n")
        for box in done.report.flow:
            report.show(f"{box.label}: {counted(box)}")
            for excluded in box.excluded:
                report.show(f"    excluded, {excluded.reason}: {counted(excluded)}")
        rows = [
            [line.target, f"{line.labelled:,}", f"{line.positives:,}", f"{line.undecided:,}"]
            for line in done.report.labels
        ]
        headings = ["target", "labelled", "positive", "one measurement alone would decide"]
        report.show("\n" + table(headings, rows, right=frozenset({1, 2, 3})))
        report.say(f"Wrote the linked cohort to {out}; the flow chart is {out / FLOW_HTML}.")
