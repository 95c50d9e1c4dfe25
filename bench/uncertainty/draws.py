"""Draws of patients with replacement, as the multiplicity of each patient in each replicate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.kernels import scan
from bench.metrics.validation import Ints, id_list, whole_number

Blocks = NDArray[np.uint8] | NDArray[np.uint16]

MOST_REPLICATES = 10_000_000
"""Larger numbers of replicates are refused as a mistake; they would not fit in memory."""


def canonical_ids(patient_id: Any, name: str = "patient_id") -> list[str]:
    """Return ids as text, the form in which they are compared and sorted; 7 and "7" are the same patient.

    Args:
        patient_id: (n,) ids: any sequence with an order.
        name: The argument that the caller passed, for errors.

    Raises:
        TypeError: A set, a mapping, text, or ids that are lists.
        ValueError: More than one dimension, or ids that are missing or masked.
    """
    return [str(value) for value in id_list(patient_id, name)]


def _places(ids: Sequence[str], patients: Sequence[str]) -> Ints:
    """Return (n,) the index of every row's patient in `patients`."""
    place = {patient: index for index, patient in enumerate(patients)}
    return np.fromiter((place[value] for value in ids), np.int64, len(ids))


AT_ONCE = 64
"""Replicates whose random words are made at a time: they stay in the cache until they are counted."""


def draw_blocks(patients: int, replicates: int, seed: int) -> NDArray[np.uint8]:
    """Draw `patients` out of `patients` with replacement: (k, patients, LANES) multiplicities.

    The raw stream of PCG64DXSM is specified bit by bit, and two draws are taken from each 64-bit word by
    multiply and shift, so draws are the same on any machine and with any version of numpy; replicate b does
    not depend on how many follow it. The scaling favours no patient by more than one part in 2**32 /
    patients.
    """
    generator = np.random.PCG64DXSM(np.random.SeedSequence(seed))
    lanes = scan.LANES
    words = -(-patients // 2)
    blocks = np.zeros((-(-replicates // lanes), patients, lanes), np.uint8)
    for index, block in enumerate(blocks):
        lanes_used = min(lanes, replicates - index * lanes)
        counts = np.zeros((lanes, patients), np.uint8)
        for start in range(0, lanes_used, AT_ONCE):
            some = counts[start : min(start + AT_ONCE, lanes_used)]
            scan.tally(generator.random_raw((len(some), words)), patients, some)
        scan.interleave(counts, block.view("<u8"))
    return blocks


class Draws:
    """Multiplicities of a set of patients in every replicate, and the patient of every row."""

    def __init__(self, patient_id: Any, replicates: int = 2000, seed: int = 0) -> None:
        replicates = whole_number(replicates, "replicates", 1, MOST_REPLICATES)
        seed = whole_number(seed, "seed", 0)
        ids = canonical_ids(patient_id)
        if not ids:
            raise ValueError("patient_id has no rows")
        patients = sorted(set(ids))
        blocks = draw_blocks(len(patients), replicates, seed)
        self._fill(patients, _places(ids, patients), blocks, replicates, int(blocks.max()))

    @classmethod
    def from_counts(cls, patient_id: Any, counts: ArrayLike, patients: Any) -> Self:
        """Make a bootstrap with given multiplicities, for example an exact enumeration.

        Args:
            patient_id: (n,) the patient of every image.
            counts: (B, P) whole numbers from 0 to 65535.
            patients: (P,) the patient of every column, each once; patients without images are allowed.

        Raises:
            ValueError: Shapes do not fit, counts are not whole numbers in range, or a patient has no column.
        """
        order = canonical_ids(patients, "patients")
        multiplicities = np.asarray(counts)
        if multiplicities.ndim != 2 or multiplicities.shape[1] != len(order) or not len(multiplicities):
            raise ValueError(
                f"counts must be (replicates, {len(order)} patients), not {multiplicities.shape}"
            )
        whole = multiplicities.astype(np.int64)
        if not np.array_equal(whole, multiplicities) or whole.min() < 0 or whole.max() > 65535:
            raise ValueError("counts must be whole numbers from 0 to 65535")
        known = set(order)
        if len(known) != len(order):
            raise ValueError(f"patients repeats {len(order) - len(known)} ids")
        ids = canonical_ids(patient_id)
        missing = sum(1 for value in ids if value not in known)
        if missing:
            raise ValueError(f"{missing} rows belong to patients that have no column in counts")
        lanes = scan.LANES
        small = np.uint8 if whole.max() < 256 else np.uint16
        blocks = np.zeros((-(-len(whole) // lanes), len(order), lanes), small)
        for index, block in enumerate(blocks):
            part = whole[index * lanes : (index + 1) * lanes]
            block[:, : len(part)] = part.T
        self = cls.__new__(cls)
        self._fill(order, _places(ids, order), blocks, len(whole), int(whole.max()))
        return self

    def _fill(
        self, patients: Sequence[str], code: Ints, blocks: Blocks, replicates: int, largest: int
    ) -> None:
        self.patients = tuple(patients)
        self.patient_code = code
        self.blocks = blocks
        self.replicates_count = replicates
        self.largest = largest

    def require_same_patients(self, patient_id: Any) -> None:
        """Refuse ids (n,) of other patients than those of the rows of the draws.

        Raises:
            ValueError: Another number of rows, or rows of other patients.
        """
        ids = canonical_ids(patient_id)
        if len(ids) != self.images:
            raise ValueError(f"patient_id has {len(ids)} rows, the bootstrap {self.images}")
        rows = zip(ids, self.patient_code.tolist(), strict=True)
        other = sum(value != self.patients[code] for value, code in rows)
        if other:
            raise ValueError(
                f"patient_id and bootstrap name different patients in {other} of {len(ids)} rows; "
                "give one of them"
            )

    @property
    def images(self) -> int:
        """Number of rows n."""
        return len(self.patient_code)

    @property
    def counts(self) -> Blocks:
        """(B, P) multiplicities, columns in the order of `patients`; a new array."""
        flat = np.concatenate([block.T for block in self.blocks])
        return flat[: self.replicates_count]

    def select(self, rows: ArrayLike) -> Self:
        """Restrict the draws to some rows, for a subgroup; patients without rows contribute nothing.

        Args:
            rows: Boolean mask (n,) or row numbers, in the order in which y and scores will be given.

        Raises:
            ValueError: A mask of another length.
        """
        chosen = np.asarray(rows)
        if chosen.dtype == np.bool_ and chosen.shape != (self.images,):
            raise ValueError(f"the mask has shape {chosen.shape}, the bootstrap {self.images} rows")
        part = type(self).__new__(type(self))
        part._fill(self.patients, self.patient_code[chosen], self.blocks, self.replicates_count, self.largest)
        return part
