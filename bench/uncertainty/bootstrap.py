"""Patient-cluster bootstrap: patients are drawn with replacement, each with all its images."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

from numpy.typing import ArrayLike

from bench.metrics.validation import Floats, labels, weights
from bench.uncertainty.draws import Draws
from bench.uncertainty.replicates import replicate
from bench.uncertainty.sample import Sample


class PatientBootstrap(Draws):
    """Bootstrap draws of a set of patients, shared by all scores and metrics on their images.

    The draws depend on the set of patients, `replicates` and `seed` alone, never on the order of the rows, so
    two submissions scored with one bootstrap are compared replicate by replicate.

    Args:
        patient_id: (n,) the patient of every image: any hashable values, compared as text.
        replicates: Number of draws B.
        seed: Seed of the draws.

    Raises:
        ValueError: No rows, missing ids, or fewer than one replicate.

    >>> boot = PatientBootstrap(["a", "a", "b", "c"], replicates=500, seed=1)
    >>> boot.counts.shape, bool((boot.counts.sum(axis=1) == 3).all())
    ((500, 3), True)
    """

    @classmethod
    def given_or_drawn(cls, given: object, patient_id: Any, replicates: int, seed: int) -> Self:
        """Return the bootstrap that a caller gave, or draw one as the constructor does.

        Raises:
            TypeError: What was given is not a bootstrap.
            ValueError: Neither a bootstrap nor `patient_id` is given, or both and they do not agree; else as
                the constructor.
        """
        if given is None:
            if patient_id is None:
                raise ValueError("give patient_id (one id per image), or a bootstrap made from it")
            return cls(patient_id, replicates, seed)
        if not isinstance(given, cls):
            raise TypeError(f"bootstrap must be a PatientBootstrap, not {type(given).__name__}")
        if patient_id is not None:
            given.require_same_patients(patient_id)
        return given

    @cached_property
    def _samples(self) -> dict[tuple[bytes, bytes], Sample]:
        return {}

    def sample(self, y: ArrayLike, weight: ArrayLike | None = None) -> Sample:
        """Return what depends on labels and draws alone, computed once for each set of labels.

        Raises:
            ValueError: Labels other than 0/1, weights that are negative, lengths that differ from the
                bootstrap's.
        """
        positive = labels(y)
        if len(positive) != self.images:
            raise ValueError(f"y has {len(positive)} rows, the bootstrap {self.images}")
        row_weight = weights(weight, self.images, "the bootstrap")
        key = positive.tobytes(), b"" if row_weight is None else row_weight.tobytes()
        if key not in self._samples:
            self._samples[key] = Sample.labelled(self, positive, row_weight)
        return self._samples[key]

    def replicates(
        self, y: ArrayLike, score: ArrayLike, metric: str = "auroc", weight: ArrayLike | None = None
    ) -> Floats:
        """Compute one metric in every replicate.

        Args:
            y: (n,) 0/1 labels, rows as in `patient_id`.
            score: (n,) finite scores; probabilities where the metric asks for them.
            metric: Key or alias of a metric of a binary target in `bench.metrics.registry`.
            weight: (n,) non-negative row weights.

        Returns:
            (B,) float64; nan where the replicate leaves the metric undefined.

        Raises:
            ValueError: Lengths differ, NaN, labels other than 0/1, an unknown metric.
        """
        return replicate(self.sample(y, weight), score, metric)
