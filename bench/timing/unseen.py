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

TIME_GATE: Final = 3.0  # honest models: 0.9 to 2.1 on a busy machine; tables of answers: 15 to 340
REPEATED_GATE: Final = 0.2
DISTINCT_LEAST: Final = 0.98  # below it the model itself gives few different predictions
ATTEMPTS: Final = 3  # another program may have slowed one down
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
    available = len(next(iter(inputs.values())))
    parts: dict[str, list[Floats]] = {pick.target: [] for pick in picks}
    durations = []
    for start in range(0, images, batch):
        index = np.arange(start, start + batch) % available
        chunk = {name: np.ascontiguousarray(array[index]) for name, array in inputs.items()}
        before = clock()
        answer = session.infer(chunk)
        durations.append((clock() - before) / 1e6)
        for target, values in select(answer, picks, batch).items():
            parts[target].append(values[: images - start])
    predictions = {target: np.concatenate(part) if part else np.empty(0) for target, part in parts.items()}
    return CheckedPass(predictions, np.array(durations, np.float64))


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
    """Findings of the passes after the timed runs; None where there was nothing to compare.

    Attributes:
        pass_ratio: Median time of a batch of test images / median of the timed runs.
        unseen_ratio: The same for images that nobody has seen.
        unseen_repeats: Share of those that got exactly the predictions of a test image.
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
    """Run unseen images in the timed session and hold their time and answers against the timed runs'.

    Args:
        session: The timed session.
        inputs: The test images that were timed.
        batch: Images per run.
        picks: Where the predictions are read from.
        checked: The pass over the test images.
        timed_ms: (runs,) timed latencies.
        clock: Nanoseconds.
    """
    median = float(np.median(timed_ms))
    count = batch * max(1, min(UNSEEN_BATCHES, -(-UNSEEN_IMAGES // batch)))
    again, unseen_ms, repeats = checked.batch_ms, np.inf, None
    for attempt in range(ATTEMPTS):
        images = unseen_images(inputs, count, np.random.default_rng(attempt))
        unseen = predict_images(session, images, count, batch, picks, clock)
        unseen_ms = min(unseen_ms, float(np.median(unseen.batch_ms)))
        if repeats is None:
            repeats = repeated_share(unseen.predictions, checked.predictions)
        if attempt and float(np.median(again)) > TIME_GATE * median:
            images_held = min(len(next(iter(inputs.values()))), UNSEEN_BATCHES * batch)
            repeated = predict_images(session, inputs, images_held, batch, picks, clock).batch_ms
            again = min(again, repeated, key=lambda values: float(np.median(values)))
        if unseen_ms <= TIME_GATE * median >= float(np.median(again)):
            break
    return Integrity(float(np.median(again)) / median, unseen_ms / median, repeats)


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
