"""Link of MIMIC-CXR-JPG with MIMIC-IV-ECHO: frontal X-rays with labels of an echocardiogram within a year.

The labels follow CheXchoNet: severe left ventricular hypertrophy and dilatation by the authors' thresholds of
each sex, from a transthoracic study within a year of the X-ray. Dates are shifted by patient, so only
differences within a patient are used.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd

from bench.cohort.link.flow import Exclusion, FlowStep, flow_html, flow_svg
from bench.cohort.link.images_and_patients import CXR, ECHO, FRONTAL, IV, read_images, read_patients
from bench.cohort.link.measurements import AGREE_CM, LENGTHS, Measurements, read_measurements
from bench.cohort.link.releases import Progress
from bench.cohort.load import SYNTHETIC_MARKER
from bench.cohort.spec import load_spec
from bench.documents import Document, schema_field
from bench.errors import BenchError, Problem, raise_errors
from bench.files import atomic_path, canonical_json, clear_parts, write_atomic
from bench.locks import locked

EchoRule = Literal["nearest", "maximum"]

SPEC: Final = "mimic-echo"
TABLE: Final = "mimic-echo.csv"
REPORT, FLOW_SVG, FLOW_HTML = "link.json", "flow.svg", "flow.html"
IMAGES: Final = "files"
LOCK: Final = ".link.lock"
GITIGNORE: Final = "# The table names patients of MIMIC: never commit it.\n*\n"
SYNTHETIC_TEXT: Final = "Linked from synthetic files: no patient is real.\n"
WINDOW_DAYS: Final = 365
ADULT: Final = 18
SECONDS_PER_DAY: Final = 86_400


class SourceFile(Document):
    """A table that was read."""

    release: str
    file: str
    size_bytes: int


class LabelCount(Document):
    """Labels of one target among the linked images."""

    target: str
    labelled: int
    positives: int
    undecided: int


class LinkReport(Document):
    """``link.json``: what a link read, corrected, excluded and labelled; counts alone, no identifier."""

    schema_: str = schema_field("cohort-link", 1)
    cohort: str
    version: str
    synthetic: bool
    echo: EchoRule
    window_days: int
    thresholds: dict[str, dict[str, dict[str, float]]]
    sources: tuple[SourceFile, ...]
    echo_rows: int
    echo_rows_by_test: dict[str, int]
    selected_rows: dict[str, int]
    corrections: dict[str, dict[str, int]]
    agree_cm: float
    flow: tuple[FlowStep, ...]
    labels: tuple[LabelCount, ...]
    views: dict[str, int]
    rule: str


@dataclass(frozen=True, slots=True)
class Linked:
    """Result of `link_mimic`."""

    folder: Path
    report: LinkReport
    problems: tuple[Problem, ...]


def link_mimic(
    cxr: Path,
    echo: Path,
    iv: Path,
    out: Path,
    *,
    rule: EchoRule = "nearest",
    window_days: int = WINDOW_DAYS,
    progress: Progress | None = None,
) -> Linked:
    """Link three releases of MIMIC to a cohort, and write it to `out` when everything is computed.

    Args:
        cxr: Folder of MIMIC-CXR-JPG.
        echo: Folder of MIMIC-IV-ECHO.
        iv: Folder of MIMIC-IV.
        out: New or empty folder, or that of an earlier link, which is replaced. No other folder gets an
            identifier.
        rule: ``nearest``: the measurements of the day with an echocardiogram that is nearest to the X-ray;
            ``maximum``: the largest of each measurement within the window, as CheXchoNet.
        window_days: Most days between X-ray and echocardiogram, before or after.
        progress: Called with (bytes read, bytes) of the table of measurements.

    Raises:
        BenchError: A folder or table is missing (``link-missing``), of another version (``link-version``),
            cut short or changed (``link-damaged``), has unreadable dates (``link-dates``) or units
            (``link-units``), no measurements (``link-measurements``), no image is left (``link-empty``), or
            `out` holds other files (``file-exists``).
    """
    problems: list[Problem] = []
    _require_own_folder(out)
    tables = {r.option: r.find(folder, problems) for r, folder in ((CXR, cxr), (ECHO, echo), (IV, iv))}
    raise_errors(problems)
    images = read_images(tables["--cxr"]["metadata"], tables["--cxr"]["split"], problems)
    people = read_patients(tables["--iv"]["patients"], tables["--iv"]["admissions"], problems)
    measured = read_measurements(tables["--echo"]["measurements"], problems, progress)
    raise_errors(problems)
    table, flow = _link(images, people, measured, rule, window_days)
    if table.empty:
        message = f"None of {len(images):,} images is frontal, of an adult, and near an echocardiogram."
        raise BenchError([*problems, Problem("link-empty", message, f"{cxr}, {echo}, {iv}")])
    report = LinkReport(
        cohort=SPEC,
        version=load_spec(SPEC).version,
        synthetic=any((folder / SYNTHETIC_MARKER).is_file() for folder in (cxr, echo, iv)),
        echo=rule,
        window_days=window_days,
        thresholds=_thresholds(),
        sources=tuple(
            SourceFile(release=release.name, file=path.name, size_bytes=path.stat().st_size)
            for release in (CXR, ECHO, IV)
            for path in tables[release.option].values()
        ),
        echo_rows=measured.rows,
        echo_rows_by_test=measured.by_test,
        selected_rows=measured.selected,
        corrections=measured.corrections,
        agree_cm=AGREE_CM,
        flow=flow,
        labels=_label_counts(table),
        views={str(view): int(count) for view, count in table["view"].value_counts().items()},
        rule=_rule_text(rule, window_days),
    )
    _write(out, cxr, table.drop(columns="undecided"), report)
    return Linked(out, report, tuple(problems))


def _require_own_folder(out: Path) -> None:
    """Refuse a folder with files that a link does not write."""
    own = {TABLE, REPORT, FLOW_SVG, FLOW_HTML, IMAGES, SYNTHETIC_MARKER}
    if out.is_dir():
        others = [e for e in out.iterdir() if e.name not in own and not e.name.startswith(".")]
        if not others:
            return
    elif not out.exists():
        return
    message = (
        "The folder holds files that were not written by a link."
        if out.is_dir()
        else "There is a file of this name."
    )
    raise BenchError(Problem("file-exists", message, str(out), "Name a new or an empty folder."))


def _rule_text(rule: EchoRule, window_days: int) -> str:
    if rule == "nearest":
        return (
            f"Measurements of the day with a transthoracic echocardiogram nearest to the X-ray, at most "
            f"{window_days} days before or after; of two equally near days the earlier. CheXchoNet took the "
            "maximum within the window (`--echo-rule maximum`)."
        )
    return (
        f"Largest value of each measurement among the transthoracic echocardiograms at most {window_days} "
        "days before or after the X-ray, as CheXchoNet. The default is the nearest day "
        "(`--echo-rule nearest`)."
    )


def _link(
    images: pd.DataFrame, people: pd.DataFrame, measured: Measurements, rule: EchoRule, window_days: int
) -> tuple[pd.DataFrame, tuple[FlowStep, ...]]:
    """Return the table of linked images and the flow of exclusions."""
    frontal, step_frontal = _step(
        "Images of MIMIC-CXR-JPG",
        images,
        [
            ("not a frontal view (lateral, other, or none stated)", ~images["view"].isin(FRONTAL)),
            ("date or time that cannot be read", images["time"].isna()),
        ],
    )
    joined = frontal.join(people, on="subject_id")
    joined["age"] = joined["anchor_age"] + joined["time"].dt.year - joined["anchor_year"]
    adults, step_adults = _step(
        "Frontal images",
        joined,
        [
            ("patient without sex or age in MIMIC-IV", joined["sex"].isna() | joined["age"].isna()),
            (f"younger than {ADULT} years", joined["age"] < ADULT),
        ],
    )
    near = _near_echo(adults, measured.days, rule, window_days)
    joined = adults.join(near)
    with_study = joined["subject_id"].isin(measured.subjects)
    with_length = joined["subject_id"].isin(measured.days["subject_id"])
    linked, step_linked = _step(
        "Frontal images of adults",
        joined,
        [
            ("patient without a transthoracic study in MIMIC-IV-ECHO", ~with_study),
            ("no usable wall thickness or diameter in any study of the patient", ~with_length),
            (f"no such study within {window_days} days", joined["echo_days"].isna()),
        ],
    )
    labelled = _labels(linked)
    none = labelled[["slvh", "dlv"]].isna().all(axis=1)
    table, step_labelled = _step(
        "Images with an echocardiogram in the window",
        labelled,
        [("no target with all its measurements", none)],
    )
    last = FlowStep(label="Images with a label", **_counts(table), excluded=())
    return _tidy(table), (step_frontal, step_adults, step_linked, step_labelled, last)


def _counts(frame: pd.DataFrame) -> dict[str, int]:
    return {
        "images": len(frame),
        "studies": int(frame["study_id"].nunique()),
        "patients": int(frame["subject_id"].nunique()),
    }


def _step(
    label: str, frame: pd.DataFrame, reasons: Iterable[tuple[str, pd.Series[bool]]]
) -> tuple[pd.DataFrame, FlowStep]:
    """Exclude images, each for the first reason that holds; return the others and the step of the flow."""
    left = np.ones(len(frame), bool)
    excluded = []
    for reason, applies in reasons:
        mask = left & applies.to_numpy(bool)
        excluded.append(Exclusion(reason=reason, **_counts(frame[mask])))
        left &= ~mask
    step = FlowStep(label=label, **_counts(frame), excluded=tuple(excluded))
    return frame[left].reset_index(drop=True), step


def _near_echo(images: pd.DataFrame, days: pd.DataFrame, rule: EchoRule, window_days: int) -> pd.DataFrame:
    """Return lengths and distance of the echocardiogram of each image, indexed by the image's row.

    The columns are those of `LENGTHS`, ``echo_days`` (days from the X-ray to the nearest echocardiogram) and
    ``echo_count`` (days with an echocardiogram in the window).
    """
    pairs = images[["subject_id", "time"]].reset_index(names="row")
    pairs = pairs.merge(days, on="subject_id", suffixes=("", "_echo"))
    distance = (pairs["time_echo"] - pairs["time"]).dt.total_seconds() / SECONDS_PER_DAY
    pairs = pairs.assign(echo_days=distance.round(3), apart=distance.abs())
    pairs = pairs[pairs["apart"] <= window_days].sort_values(["row", "apart", "time_echo"])
    groups = pairs.groupby("row")
    near = pairs.drop_duplicates("row").set_index("row")[[*LENGTHS, "echo_days"]]
    if rule == "maximum":
        near[list(LENGTHS)] = groups[list(LENGTHS)].max()
    return near.assign(echo_count=groups.size())


def _thresholds() -> dict[str, dict[str, dict[str, float]]]:
    """Return target → measurement → sex → limit in cm, from the label rules of the spec."""
    return {
        rule.target: {t.column: {"M": t.male, "F": t.female} for t in rule.any_of}
        for rule in load_spec(SPEC).label_rules
        if rule.any_of
    }


def _labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Add labels: 1 above a limit, 0 below all, NaN unless every measurement of the rule is there.

    A single wall above its limit would decide, but a single one below does not: to label the first and not
    the second would raise the prevalence. Such images are counted as ``undecided``.
    """
    frame = frame.copy()
    male = frame["sex"] == "M"
    undecided = {}
    for target, limits in _thresholds().items():
        above = pd.DataFrame(
            {c: frame[c] > np.where(male, limit["M"], limit["F"]) for c, limit in limits.items()}
        ).any(axis=1)
        complete = frame[list(limits)].notna().all(axis=1)
        frame[target] = above.astype(float).where(complete)
        undecided[target] = above & ~complete
    either = frame[["slvh", "dlv"]].max(axis=1)
    both = frame[["slvh", "dlv"]].notna().all(axis=1)
    frame["composite_slvh_dlv"] = either.where(both)
    undecided["composite_slvh_dlv"] = (either == 1) & ~both
    frame["undecided"] = [
        tuple(name for name, mask in zip(undecided, row, strict=True) if mask)
        for row in zip(*undecided.values(), strict=True)
    ]
    return frame


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that the spec reads, in order of patient and time."""
    table = table.sort_values(["subject_id", "time", "dicom_id"], ignore_index=True)
    first = table.groupby("subject_id")["time"].transform("min")
    return pd.DataFrame(
        {
            **{name: table[name] for name in ("dicom_id", "path", "subject_id", "study_id", "view")},
            "official_split": table["split"],
            "days": ((table["time"] - first).dt.total_seconds() / SECONDS_PER_DAY).round(5),
            "sex": table["sex"],
            "age": table["age"].astype(int),
            "race": table["race"].fillna(""),
            "echo_days": table["echo_days"],
            "echo_count": table["echo_count"].astype(int),
            **{name: table[name] for name in LENGTHS},
            **{n: table[n].astype("Int64") for n in ("slvh", "dlv", "composite_slvh_dlv")},
            "undecided": table["undecided"],
        }
    )


def _label_counts(table: pd.DataFrame) -> tuple[LabelCount, ...]:
    return tuple(
        LabelCount(
            target=name,
            labelled=int(table[name].notna().sum()),
            positives=int((table[name] == 1).sum()),
            undecided=int(table["undecided"].map(lambda names, name=name: name in names).sum()),
        )
        for name in ("composite_slvh_dlv", "slvh", "dlv")
    )


def _write(out: Path, cxr: Path, table: pd.DataFrame, report: LinkReport) -> None:
    """Write the folder of the cohort: each file whole or not at all, the report last.

    Temporary files are in the folder too, since no other place may get an identifier.
    """
    texts = {
        FLOW_SVG: flow_svg(report.flow).encode(),
        FLOW_HTML: flow_html(report.plain(), report.flow).encode(),
        **({SYNTHETIC_MARKER: SYNTHETIC_TEXT.encode()} if report.synthetic else {}),
    }
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / LOCK):
        clear_parts(out)
        write_atomic(out / ".gitignore", GITIGNORE.encode())
        (out / REPORT).unlink(missing_ok=True)
        for name, data in texts.items():
            write_atomic(out / name, data)
        with atomic_path(out / TABLE) as part:
            table.to_csv(part, index=False, lineterminator="\n")
        if not report.synthetic:  # not before: at no time may a synthetic table be without its mark
            (out / SYNTHETIC_MARKER).unlink(missing_ok=True)
        _link_images(out / IMAGES, cxr / IMAGES)
        write_atomic(out / REPORT, canonical_json(report.plain()))


def _link_images(link: Path, images: Path) -> None:
    """Link to the images of the release; where the file system has no links, they are copied by hand."""
    if link.is_symlink():
        link.unlink()
    if images.is_dir() and not link.exists():
        with suppress(OSError):
            link.symlink_to(images.resolve(), target_is_directory=True)
