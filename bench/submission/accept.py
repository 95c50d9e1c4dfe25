"""From a predictions file to a stored submission."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.cohort.cohort import Cohort
from bench.errors import BenchError, Problem, did_you_mean, not_there
from bench.files import sha256_file
from bench.submission.check_predictions import ImageSet, Values, load_predictions
from bench.submission.manifest import MANIFEST, Manifest
from bench.submission.packed import PackStamp, pack, unpack
from bench.submission.store import Submission, list_submissions, read_manifest


@dataclass(frozen=True, slots=True)
class Accepted:
    """A checked submission, ready to be stored.

    Attributes:
        manifest: Its manifest.
        packed: The Parquet file, without identifiers.
        values: Target → (n,) predictions in canonical order.
        remarks: Warnings and notices.
        packed_val: The same of the val images, where they were handed in.
    """

    manifest: Manifest
    packed: bytes
    values: dict[str, Values]
    remarks: tuple[Problem, ...]
    packed_val: bytes | None = None


@dataclass(frozen=True, slots=True)
class FoundManifest:
    """A manifest and where it was found.

    Attributes:
        manifest: The manifest.
        file: Path of the file that holds it, or would hold it, for messages.
        remarks: A warning where there is none.
    """

    manifest: Manifest
    file: str
    remarks: tuple[Problem, ...] = ()


def require_file(path: Path, code: str) -> None:
    """Refuses a file that is not there, before anything slow is done.

    Raises:
        BenchError: A problem of code `code`, with the nearest file that is there.
    """
    if not path.exists():
        message, remedy = not_there(path)
        raise BenchError(Problem(code, message, str(path), remedy))


def find_manifest(handed_in: Path, chosen: Path | None, slug: str) -> FoundManifest:
    """The manifest of a submission: `chosen`, else ``submission.toml`` beside the file, else a bare one.

    Raises:
        BenchError: ``manifest-invalid``, every fault listed.
    """
    beside = handed_in.parent / MANIFEST
    if chosen or beside.is_file():
        path = chosen or beside
        return FoundManifest(read_manifest(path), str(path))
    bare = Manifest(name=slug, team="not stated", date=datetime.date.today(), inputs=(NOT_STATED,))
    message = "There is no such file: name, team, inputs and training data are not stated."
    remark = Problem("manifest-absent", message, str(beside), severity="warning")
    return FoundManifest(bare, str(beside), (remark,))


def accept_predictions(
    path: Path, cohort: Cohort, manifest: Manifest, *, manifest_file: str = MANIFEST
) -> Accepted:
    """Checks and packs a predictions file.

    Raises:
        BenchError: Every fault of the file; or a manifest that goes with no file (``manifest-invalid``).
    """
    refuse_reported(manifest, manifest_file)
    found = load_predictions(path, cohort, scores=manifest.scores, covered=manifest.track)
    packed = pack(found.values, stamp(cohort, manifest.track, sha256_file(path)))
    remarks = (*unknown_inputs(manifest, cohort, manifest_file), *found.remarks)
    return Accepted(manifest, packed, found.values, remarks)


def with_val(accepted: Accepted, path: Path, cohort: Cohort) -> Accepted:
    """Adds checked predictions of the val images; `path` may hold other images too.

    Raises:
        BenchError: Every fault of the file; or the entry is of the cv5 track, which has no val part
            (``val-not-applicable``).
    """
    manifest = accepted.manifest
    if manifest.track == "cv5":
        message = "The entry is of the cv5 track: all images are test images of some fold."
        raise BenchError(Problem("val-not-applicable", message, where=str(path)))
    found = load_predictions(path, cohort, scores=manifest.scores, covered="val")
    packed = pack(found.values, stamp(cohort, "val", sha256_file(path)))
    return replace(accepted, packed_val=packed, remarks=(*accepted.remarks, *found.remarks))


def refuse_reported(manifest: Manifest, where: str) -> None:
    """Refuses predictions of an entry that says it holds published numbers only (``manifest-invalid``)."""
    if manifest.kind == "reported":
        message = 'kind: a "reported" entry holds published numbers only, no predictions.'
        raise BenchError(Problem("manifest-invalid", message, where))


_WORDS_FOR_IMAGE = ("cxr", "x-ray", "xray", "radiograph", "images", "img", "pixels", "chest x-ray")
NOT_STATED = "not stated"


def unknown_inputs(manifest: Manifest, cohort: Cohort, where: str) -> list[Problem]:
    """A warning for inputs that are neither the image nor columns that the cohort offers as inputs."""
    known = ("image", *cohort.spec.columns.inputs)
    others = [name for name in manifest.inputs if name not in (*known, NOT_STATED)]
    if not others:
        return []
    hints = [
        " Did you mean 'image'?" if name.strip().lower() in _WORDS_FOR_IMAGE else did_you_mean(name, known)
        for name in others
    ]
    inputs = "1 input is" if len(others) == 1 else f"{len(others)} inputs are"
    named = ", ".join(repr(name[:60]) for name in others[:8])
    message = (
        f"inputs: {inputs} not of cohort {cohort.spec.id}: {named}; "
        f"it has {', '.join(known)}.{next(filter(None, hints), '')}"
    )
    return [Problem("manifest-inputs", message, where, severity="warning")]


def stamp(cohort: Cohort, covered: ImageSet, source_sha256: str, model_sha256: str = "") -> PackStamp:
    """What is written into stored predictions about their origin."""
    return PackStamp(
        cohort=cohort.spec.id,
        version=cohort.spec.version,
        fingerprint=cohort.split.fingerprint,
        track=covered,
        source_sha256=source_sha256,
        model_sha256=model_sha256,
    )


def equal_entries(accepted: Accepted, folder: Path, cohort: Cohort, slug: str) -> list[Problem]:
    """A warning for each stored entry that has the same predictions for a target."""
    remarks = []
    for other in _comparable(list_submissions(folder), slug, accepted.manifest.track):
        try:
            stored = unpack(other.predictions, cohort, other.manifest.track)
        except BenchError:
            continue  # of another split: nothing to compare
        same = [
            target
            for target, values in accepted.values.items()
            if target in stored and np.array_equal(values, stored[target])
        ]
        if same:
            message = f"The predictions for {', '.join(same)} equal those of the stored entry {other.slug!r}."
            remarks.append(Problem("predictions-equal-entry", message, severity="warning"))
    return remarks


def _comparable(entries: Sequence[Submission], slug: str, track: str) -> list[Submission]:
    return [
        e for e in entries if e.slug != slug and e.manifest.kind != "reported" and e.manifest.track == track
    ]
