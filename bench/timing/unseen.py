"""Integrity of a timed session: predictions of test images and of unseen images, compared after the runs.

A file may hold a table of answers for the test images and a network for all others. Its session answers test
images quickly and with the right predictions. It cannot be as quick, or it repeats the answers of its table,
for images that are made for the check. MLPerf Inference's compliance test TEST04 rests on the same idea.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bench.metrics.validation import Floats
from bench.runtime.backends.base import Arrays, Milliseconds, Session
from bench.runtime.outputs import OutputSelector, select
from bench.timing.measure import Clock

TIME_GATE: Final = 3.0  # tables of answers: 15 to 340
REPEATED_GATE: Final = 0.2
DISTINCT_LEAST: Final = 0.98  # below it the model itself gives few different predictions
UNDISTURBED: Final = 0.1  # quantile of times that is compared: another program slows down some runs, not all
LEAST_MS: Final = 100.0  # a check lasts at least so long,
PATIENCE_MS: Final = 2000.0  # and with a suspicion so long
ATTEMPTS: Final = (3, 200)  # at least with a suspicion, and at most, however long they take
UNSEEN_BATCHES: Final = 8
UNSEEN_IMAGES: Final = 32
_LEAST_DISTINCT_IMAGES: Final = 8


@dataclass(frozen=True, slots=True)
class CheckedPass:
    """Predictions and times of one pass of a session over images, batch by batch.

    Attributes:
        predictions: Target → (images,) predictions.
        batch_ms: (batches,) milliseconds of each.
    """

    predictions: dict[str, Floats]
    batch_ms: Milliseconds


def predict_images(
    session: Session,
    inputs: Arrays,
    images: int,
    batch: int,
    picks: Sequence[OutputSelector],
    clock: Clock = time.perf_counter_ns,
) -> CheckedPass:
    """Predictions of the first images, in batches of exactly `batch`, with the time that each took.

    The last batch is filled up with images from the start, as a session of fixed size needs.
    """
    return _predict_in_turn(session, [inputs], images, batch, picks, clock)[0]


def _predict_in_turn(
    session: Session,
    sets: Sequence[Arrays],
    images: int,
    batch: int,
    picks: Sequence[OutputSelector],
    clock: Clock,
) -> list[CheckedPass]:
    """One pass over each set of images, a batch of each in turn, so that what disturbs one disturbs all."""
    parts: list[dict[str, list[Floats]]] = [{pick.target: [] for pick in picks} for _ in sets]
    durations: list[list[float]] = [[] for _ in sets]
    for start in range(0, images, batch):
        for inputs, part, times in zip(sets, parts, durations, strict=True):
            index = np.arange(start, start + batch) % len(next(iter(inputs.values())))
            chunk = {name: np.ascontiguousarray(array[index]) for name, array in inputs.items()}
            before = clock()
            answer = session.infer(chunk)
            times.append((clock() - before) / 1e6)
            for target, values in select(answer, picks, batch).items():
                part[target].append(values[: images - start])
    return [
        CheckedPass(
            {target: np.concatenate(values) if values else np.empty(0) for target, values in part.items()},
            np.array(times, np.float64),
        )
        for part, times in zip(parts, durations, strict=True)
    ]


def images_to_check(least: int, available: int, batch: int, timed_ms: Milliseconds, budget_s: float) -> int:
    """Images whose predictions are read: all that fit in the time, since a table of answers knows them all.

    A session that looks answers up is fast, so that all of them fit.

    Args:
        least: At least so many; 0: none.
        available: At most so many.
        batch: Images per run.
        timed_ms: (runs,) timed latencies.
        budget_s: The time.
    """
    if not least:
        return 0
    affordable = int(1000 * budget_s / float(np.median(timed_ms))) * batch
    return min(available, max(least, affordable))


def unseen_images(inputs: Arrays, count: int, generator: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    """Input name → (count, …): mirrored images, each blended with another; other inputs as they are.

    Args:
        inputs: Name → (images, …) test images, with table inputs of shape (images, 1).
        count: How many.
        generator: Chooses the images and how they are blended.
    """
    available = len(next(iter(inputs.values())))
    first = generator.integers(0, available, count)
    second = (first + 1 + generator.integers(0, max(1, available - 1), count)) % available  # never the same
    share = generator.uniform(0.35, 0.65, count).astype(np.float32)
    blended = {}
    for name, array in inputs.items():
        if array.ndim == 4:
            weight = share[:, None, None, None]
            blended[name] = weight * array[first][..., ::-1] + (1 - weight) * array[second]
        else:
            blended[name] = array[first]
    return blended


@dataclass(frozen=True, slots=True)
class Integrity:
    """Findings of the passes after the timed runs; times are low quantiles (`UNDISTURBED`).

    Attributes:
        pass_ratio: Time of a batch of test images after the timed runs / that of the timed runs.
        unseen_ratio: Time of a batch of images that nobody has seen / of a batch of test images run in turn.
        unseen_repeats: Share of those that got exactly the predictions of a test image; None where nothing
            was to be compared.
    """

    pass_ratio: float
    unseen_ratio: float
    unseen_repeats: float | None

    @property
    def faults(self) -> tuple[str, ...]:
        """Reasons why the timed work was not the model's; empty where there are none."""
        texts = []
        if self.pass_ratio > TIME_GATE:
            texts.append(
                f"Test images took {self.pass_ratio:.3g} times as long when parity was checked as when they "
                f"were timed; the gate is {TIME_GATE:g}."
            )
        if self.unseen_ratio > TIME_GATE:
            texts.append(
                f"Images that are not in the test set take {self.unseen_ratio:.3g} times as long as test "
                f"images; the gate is {TIME_GATE:g}. The file may hold a table of answers."
            )
        if self.unseen_repeats is not None and self.unseen_repeats > REPEATED_GATE:
            texts.append(
                f"{100 * self.unseen_repeats:.0f}% of images that are not in the test set got exactly the "
                "predictions of a test image: the file holds a table of answers."
            )
        return tuple(texts)


def check_integrity(
    session: Session,
    inputs: Arrays,
    batch: int,
    picks: Sequence[OutputSelector],
    checked: CheckedPass,
    timed_ms: Milliseconds,
    clock: Clock = time.perf_counter_ns,
) -> Integrity:
    """Run unseen and test images in turn in the timed session, and compare their times and answers.

    A suspicion is a finding once it has lasted for `PATIENCE_MS`, since another program may have caused it;
    without one the check ends after `LEAST_MS`.

    Args:
        session: The timed session.
        inputs: The test images that were timed.
        batch: Images per run.
        picks: Where the predictions are read from.
        checked: The pass over the test images.
        timed_ms: (runs,) timed latencies.
        clock: Nanoseconds.
    """
    timed = _undisturbed([timed_ms])
    count = batch * max(1, min(UNSEEN_BATCHES, -(-UNSEEN_IMAGES // batch)))
    generator = np.random.default_rng()  # a file that knew the images in advance could hold them in its table
    known_ms, unseen_ms = [], []
    repeats = None
    least, most = ATTEMPTS
    start = clock()
    for attempt in range(1, most + 1):
        images = unseen_images(inputs, count, generator)
        unseen, known = _predict_in_turn(session, [images, inputs], count, batch, picks, clock)
        if repeats is None:
            repeats = repeated_share(unseen.predictions, checked.predictions)
        unseen_ms.append(unseen.batch_ms)
        known_ms.append(known.batch_ms)
        of_known, of_unseen = _undisturbed(known_ms), _undisturbed(unseen_ms)
        of_pass = min(_undisturbed([checked.batch_ms]), of_known)
        suspicious = max(of_pass, of_unseen) > TIME_GATE * timed or of_unseen > TIME_GATE * of_known
        passed_ms = (clock() - start) / 1e6
        if passed_ms > (PATIENCE_MS if suspicious else LEAST_MS) and (attempt >= least or not suspicious):
            break
    return Integrity(of_pass / timed, of_unseen / of_known, repeats)


def _undisturbed(batch_ms: Sequence[Milliseconds]) -> float:
    """Return a time that few runs fall below, of all passes together."""
    return float(np.quantile(np.concatenate(batch_ms), UNDISTURBED))


def repeated_share(unseen: dict[str, Floats], known: dict[str, Floats]) -> float | None:
    """Share of unseen images whose predictions are exactly those of a test image, in all targets.

    None where the test images' own predictions repeat, as those of a constant or coarse model do.
    """
    targets = sorted(known)
    seen = [tuple(row) for row in np.stack([known[t] for t in targets], axis=1)]
    if len(seen) < _LEAST_DISTINCT_IMAGES or len(set(seen)) < DISTINCT_LEAST * len(seen):
        return None
    rows = [tuple(row) for row in np.stack([unseen[t] for t in targets], axis=1)]
    distinct = set(seen)
    return sum(row in distinct for row in rows) / len(rows)
