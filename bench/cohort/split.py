"""Split of patients by a hash rule that anyone with the data can apply.

`u` is the SHA-256 of salt, newline and patient id, read as a fraction in [0, 1): test if `u < 0.2`, val if
`u < 0.3`, otherwise train; cross-validation fold `floor(5 u)`. The result does not depend on a random
generator, the order of rows or library versions.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.cohort.spec import HashSplit

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
FOLDS = 5

Strings = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Split:
    """The part and fold of each image.

    Attributes:
        parts: (n,) of ``train``, ``val``, ``test``.
        folds: (n,) cross-validation fold 0..4, always by the hash rule.
        fingerprint: SHA-256 over cohort, version and every image with its patient, part and fold.
    """

    parts: npt.NDArray[np.str_]
    folds: npt.NDArray[np.int8]
    fingerprint: str

    def rows(self, part: Part) -> npt.NDArray[np.intp]:
        """Return the indices of a part's images, ascending."""
        return np.flatnonzero(self.parts == part)


def patient_uniform(salt: str, patients: Strings) -> npt.NDArray[np.float64]:
    """Compute `u` (n,) in [0, 1): the first 53 bits of the SHA-256 of salt, newline and patient id."""
    distinct, inverse = np.unique(patients, return_inverse=True)
    hashed = np.empty(len(distinct), np.float64)
    for i, patient in enumerate(distinct):
        digest = hashlib.sha256(f"{salt}\n{patient}".encode()).digest()
        hashed[i] = (int.from_bytes(digest[:8], "big") >> 11) / 2**53
    return hashed[inverse]


def hash_parts(rule: HashSplit, u: npt.NDArray[np.float64]) -> npt.NDArray[np.str_]:
    """Assign parts (n,) by the hash rule."""
    return np.where(u < rule.test, "test", np.where(u < rule.test + rule.val, "val", "train"))


def make_split(
    cohort_key: str,
    images: Strings,
    patients: Strings,
    parts: npt.NDArray[np.str_],
    fold_salt: str,
) -> Split:
    """Build a `Split` from parts, with folds and fingerprint.

    Args:
        cohort_key: Cohort id and version; part of the fingerprint.
        images: (n,) image ids, sorted.
        patients: (n,) patient ids.
        parts: (n,) part of each image.
        fold_salt: Salt of the hash that assigns folds.
    """
    folds = np.floor(patient_uniform(fold_salt, patients) * FOLDS).astype(np.int8)
    digest = hashlib.sha256(f"{cohort_key}\n".encode())
    rows = zip(images.tolist(), patients.tolist(), parts.tolist(), folds.tolist(), strict=True)
    digest.update(
        "".join(f"{image}\t{patient}\t{part}\t{fold}\n" for image, patient, part, fold in rows).encode()
    )
    return Split(parts=parts.astype("U5"), folds=folds, fingerprint=digest.hexdigest())


def straddling_patients(patients: Strings, parts: npt.NDArray[np.str_], a: str, b: str) -> int:
    """Count the patients with images both in part `a` and in part `b`."""
    return len(np.intersect1d(patients[parts == a].astype(str), patients[parts == b].astype(str)))
