"""From a predictions file to a stored submission."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np

from bench.choices import LabelMode
from bench.cohort.cohort import Cohort
from bench.errors import BenchError, Problem, Severity, did_you_mean, missing_file_hint, raise_errors
from bench.files import sha256_bytes
from bench.metrics.validation import Floats
from bench.sandbox.reader import read_many
from bench.submission.check_predictions import ImageSet, Predictions, check_predictions, load_predictions
from bench.submission.manifest import NOT_STATED, PLACEHOLDERS, Manifest
from bench.submission.packed import MOST_RUNS, PackStamp, pack, pack_runs, read_packed_rows, salted
from bench.submission.similarity import SimilaritySearch
from bench.submission.store import Submission, list_submissions, read_manifest
from bench.submission.tables import PredictionTable
from bench.workspace import MANIFEST


@dataclass(frozen=True, slots=True)
class Accepted:
    """A checked submission, ready to be stored.

    Attributes:
        manifest: Its manifest.
        packed: The Parquet file, without identifiers.
        values: Target → (n,) predictions in canonical order.
        notices: Warnings and notices.
        packed_val: The same of the val images, if submitted.
        packed_efficiency: Test predictions of heads fitted on fewer patients, for embeddings.
        packed_runs: Predictions of all runs but the first, for an entry of several.
        runs: Number of runs.
    """

    manifest: Manifest
    packed: bytes
    values: dict[str, Floats]
    notices: tuple[Problem, ...]
    packed_val: bytes | None = None
    packed_efficiency: bytes | None = None
    packed_runs: bytes | None = None
    runs: int = 1


@dataclass(frozen=True, slots=True)
class FoundManifest:
    """A manifest and where it was found.

    Attributes:
        manifest: The manifest.
        file: Path of the file that holds it, or would hold it, for messages.
        notices: A warning where there is none.
    """

    manifest: Manifest
    file: str
    notices: tuple[Problem, ...] = ()


def require_file(path: Path, code: str) -> None:
    """Refuse a file that is not there, before anything slow is done.

    Raises:
        BenchError: A problem of code `code`, with the nearest file that is there.
    """
    if not path.exists():
        message, remedy = missing_file_hint(path)
        raise BenchError(Problem(code, message, str(path), remedy))


def find_manifest(predictions: Path | None, chosen: Path | None, slug: str) -> FoundManifest:
    """The manifest of a submission: `chosen`, else ``submission.toml`` beside the file, else a bare one.

    Args:
        predictions: The file; None for predictions in memory, which no file lies beside.
        chosen: The manifest's file, where one was named.
        slug: Name of the entry, for a bare manifest.

    Raises:
        BenchError: ``manifest-invalid``, every fault listed.
    """
    beside = predictions.parent / MANIFEST if predictions else None
    path = chosen or (beside if beside and beside.is_file() else None)
    if path:
        return FoundManifest(read_manifest(path), str(path))
    bare = Manifest(name=slug, team=NOT_STATED, date=datetime.date.today(), inputs=(NOT_STATED,))
    lacking = "There is no such file" if beside else "No manifest was given"
    message = f"{lacking}: name, team, inputs and training data are not stated."
    place = str(beside) if beside else "manifest"
    notice = Problem("manifest-absent", message, place, severity="warning")
    return FoundManifest(bare, place, (notice,))


def placeholders(manifest: Manifest, where: str, severity: Severity) -> list[Problem]:
    """A problem for a name or team that is still that of the template, which the board would show."""
    stated = {"name": manifest.name, "team": manifest.team}
    kept = [f"{key} = {text!r}" for key, text in stated.items() if text == PLACEHOLDERS[key]]
    if not kept:
        return []
    message = f"Still as `bench template` wrote it: {', '.join(kept)}."
    return [Problem("manifest-placeholder", message, where, severity=severity)]


def accept_predictions(
    source: Path | PredictionTable, cohort: Cohort, manifest: Manifest, *, manifest_file: str = MANIFEST
) -> Accepted:
    """Check and packs predictions.

    Args:
        source: A file, or a table in memory.
        cohort: What is predicted.
        manifest: What its authors say of the entry.
        manifest_file: Its file, for messages.

    Raises:
        BenchError: Every fault of the predictions; or a manifest that goes with none (``manifest-invalid``).
    """
    refuse_reported(manifest, manifest_file)
    checked, sha256 = _checked(source, cohort, manifest, manifest.track)
    packed = pack(checked.values, stamp(cohort, manifest.track, sha256))
    notices = (*unknown_inputs(manifest, cohort, manifest_file), *worth_telling(checked.notices, manifest))
    return Accepted(manifest, packed, checked.values, notices)


def accept_runs(
    sources: Sequence[Path | PredictionTable],
    cohort: Cohort,
    manifest: Manifest,
    *,
    manifest_file: str = MANIFEST,
) -> Accepted:
    """Check and pack the predictions of several runs of one method, such as seeds, as one entry.

    Args:
        sources: A file or table for each run, at least two; the first run stands for the entry in all figures
            but the ranked AUROC, which is the mean.
        cohort: What is predicted.
        manifest: What its authors say of the entry.
        manifest_file: Its file, for messages.

    Raises:
        BenchError: Every fault of all predictions; other targets than the first run (``runs-targets``), equal
            runs (``runs-duplicate``), or too many of them (``runs-count``).
    """
    refuse_reported(manifest, manifest_file)
    if len(sources) > MOST_RUNS:
        message = f"{len(sources)} runs; an entry has at most {MOST_RUNS}."
        raise BenchError(Problem("runs-count", message, _place(sources[0])))
    runs: list[tuple[Predictions, str]] = []
    problems: list[Problem] = []
    for source in sources:
        try:
            runs.append(_checked(source, cohort, manifest, manifest.track))
        except BenchError as error:
            problems += error.problems
    raise_errors(problems)
    places = [_place(source) for source in sources]
    values = [checked.values for checked, _ in runs]
    raise_errors(_unlike_runs(values, places))
    digest = sha256_bytes("\n".join(sha256 for _, sha256 in runs).encode())
    further = pack_runs(values[1:], stamp(cohort, manifest.track, digest))
    of_first = stamp(cohort, manifest.track, digest).model_copy(update={"runs_sha256": sha256_bytes(further)})
    notices = [
        notice if notice.where else replace(notice, where=place)
        for (checked, _), place in zip(runs, places, strict=True)
        for notice in worth_telling(checked.notices, manifest)
    ]
    return Accepted(
        manifest,
        pack(values[0], of_first),
        values[0],
        (*unknown_inputs(manifest, cohort, manifest_file), *notices),
        packed_runs=further,
        runs=len(runs),
    )


def _place(source: Path | PredictionTable) -> str:
    return str(source.where if isinstance(source, PredictionTable) else source)


def _unlike_runs(runs: Sequence[dict[str, Floats]], places: Sequence[str]) -> list[Problem]:
    """Runs with other targets than the first one, and runs that rank the images as an earlier one does."""
    problems = []
    for run, place in zip(runs, places, strict=True):
        if other := sorted(run.keys() ^ runs[0].keys()):
            message = f"Its targets differ from those of {places[0]} by {len(other)}: {', '.join(other)}."
            problems.append(Problem("runs-targets", message, place))
    first: dict[bytes, int] = {}
    for number, (run, place) in enumerate(zip(runs, places, strict=True)):
        ranks = {name: np.unique(values, return_inverse=True)[1] for name, values in sorted(run.items())}
        key = b"".join(name.encode() + of_target.tobytes() for name, of_target in ranks.items())
        if (earlier := first.setdefault(key, number)) != number:
            message = f"Its predictions rank all images as those of {places[earlier]} do, "
            problems.append(Problem("runs-duplicate", f"{message}in all {len(run)} targets.", place))
    return problems


def _checked(
    source: Path | PredictionTable, cohort: Cohort, manifest: Manifest, covered: ImageSet
) -> tuple[Predictions, str]:
    """Checked predictions and the hash of where they come from."""
    if isinstance(source, PredictionTable):
        checked = check_predictions(source.raw, source.where, cohort, manifest.scores, covered)
        return checked, source.sha256
    checked = load_predictions(source, cohort, scores=manifest.scores, covered=covered)
    return checked, checked.source_sha256


def with_val(accepted: Accepted, source: Path | PredictionTable, cohort: Cohort) -> Accepted:
    """Add checked predictions of the val images; `source` may hold other images too.

    Raises:
        BenchError: Every fault of the file; or the entry is of the cv5 track, which has no val part
            (``val-not-applicable``).
    """
    manifest = accepted.manifest
    if manifest.track == "cv5":
        message = "The entry is of the cv5 track: all images are test images of some fold."
        where = source.where if isinstance(source, PredictionTable) else source
        raise BenchError(Problem("val-not-applicable", message, where=str(where)))
    checked, sha256 = _checked(source, cohort, manifest, "val")
    packed = pack(checked.values, stamp(cohort, "val", sha256))
    return replace(
        accepted, packed_val=packed, notices=(*accepted.notices, *worth_telling(checked.notices, manifest))
    )


def with_secret_hashes(accepted: Accepted, secret: bytes) -> Accepted:
    """Salt packed predictions of a private test set, whose hashes are published.

    A stranger's model could write what it sees in the images into a few bits of its predictions, which its
    author would find by trying hashes. Equal files keep equal hashes, by which attempts are counted.

    Args:
        accepted: A checked submission.
        secret: Secret of the workspace.
    """
    runs = salted(accepted.packed_runs, secret) if accepted.packed_runs else None
    return replace(
        accepted,
        packed=salted(accepted.packed, secret, sha256_bytes(runs) if runs else ""),
        packed_val=salted(accepted.packed_val, secret) if accepted.packed_val else None,
        packed_efficiency=salted(accepted.packed_efficiency, secret) if accepted.packed_efficiency else None,
        packed_runs=runs,
    )


EXPECTED_OF_BASELINES = frozenset(
    {"predictions-constant", "predictions-few-distinct", "predictions-inverted"}
)
"""Warnings that an entry of kind ``baseline`` does not get: a constant or a control is meant to be one."""


def worth_telling(problems: Iterable[Problem], manifest: Manifest) -> tuple[Problem, ...]:
    """Problems of predictions without those that a declared baseline is expected to have."""
    spared = EXPECTED_OF_BASELINES if manifest.kind == "baseline" else frozenset()
    return tuple(problem for problem in problems if problem.code not in spared)


def refuse_reported(manifest: Manifest, where: str) -> None:
    """Refuse predictions of an entry that says it holds published numbers only (``manifest-invalid``)."""
    if manifest.kind == "reported":
        message = 'kind: a "reported" entry holds published numbers only, no predictions.'
        raise BenchError(Problem("manifest-invalid", message, where))


_WORDS_FOR_IMAGE = ("cxr", "x-ray", "xray", "radiograph", "images", "img", "pixels", "chest x-ray")
NO_INPUT = "none"  # of a constant


def unknown_inputs(manifest: Manifest, cohort: Cohort, where: str) -> list[Problem]:
    """A warning for inputs that are neither the image nor columns that the cohort offers as inputs."""
    known = ("image", *cohort.spec.columns.inputs)
    others = [name for name in manifest.inputs if name not in (*known, NOT_STATED, NO_INPUT)]
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
    """Return the stamp of predictions: what they belong to and come from."""
    return PackStamp(
        salt=secrets.token_hex(16) if cohort.spec.labels is LabelMode.SHARED else "",
        cohort=cohort.spec.id,
        version=cohort.spec.version,
        fingerprint=cohort.split.fingerprint,
        track=covered,
        source_sha256=source_sha256,
        model_sha256=model_sha256,
    )


def equal_entries(accepted: Accepted, folder: Path, cohort: Cohort, slug: str) -> list[Problem]:
    """Warnings where predictions equal those of a stored entry, or nearly some of those of other teams."""
    others = _comparable(list_submissions(folder), slug, accepted.manifest.track)
    searches = {target: SimilaritySearch(values) for target, values in sorted(accepted.values.items())}
    images = len(next(iter(accepted.values.values())))
    team, adding = _plain_team(accepted.manifest), Lock()

    def compared(index: int) -> list[Problem]:
        """Read and compare a stored entry; return a warning for equal predictions."""
        other = others[index]
        try:
            stored = read_packed_rows(
                other.predictions, cohort.spec, cohort.split.fingerprint, other.manifest.track, images
            ).values
        except BenchError:
            return []  # of another split: nothing to compare
        same = [
            target
            for target, values in accepted.values.items()
            if target in stored and np.array_equal(values, stored[target])
        ]
        if _plain_team(other.manifest) != team:
            with adding:
                for target in searches.keys() & stored.keys() - set(same):
                    searches[target].add(index, stored[target])
        if not same:
            return []
        message = f"The predictions for {', '.join(same)} equal those of the stored entry {other.slug!r}."
        return [Problem("predictions-equal-entry", message, severity="warning")]

    notices = [problem for found in read_many(compared, range(len(others))) for problem in found]
    for target, search in searches.items():
        for similarity in search.result():
            names = ", ".join(others[i].slug for i in similarity.entries)
            how = "a linear combination of those" if len(similarity.entries) > 1 else "those"
            message = (
                f"The predictions for {target} are nearly {how} of {names}: R² {similarity.r_squared:.4f}."
            )
            notices.append(Problem("predictions-similar", message, severity="warning"))
    return notices


def _plain_team(manifest: Manifest) -> str:
    return " ".join(manifest.team.casefold().split())


def _comparable(entries: Sequence[Submission], slug: str, track: str) -> list[Submission]:
    return [
        e for e in entries if e.slug != slug and e.manifest.kind != "reported" and e.manifest.track == track
    ]
