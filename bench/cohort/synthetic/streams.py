"""Random numbers of the synthetic cohort: one named stream per quantity.

A stream's first n numbers do not depend on how many are drawn, and quantities do not share a stream. So the
first N patients of a cohort are the same whatever its size, and a new quantity changes no other. Only the raw
bits of numpy's Philox generator are used: they are the same in every numpy version and on every machine.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from bench.metrics.validation import Floats


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of one seed."""

    seed: int

    def words(self, name: str, count: int) -> npt.NDArray[np.uint64]:
        """(count,) 64 random bits each, of the stream `name`."""
        digest = hashlib.sha256(f"{self.seed}\n{name}".encode()).digest()
        return np.random.Philox(key=int.from_bytes(digest[:16], "big")).random_raw(count)

    def uniform(self, name: str, count: int) -> Floats:
        """(count,) numbers in (0, 1), equally spaced at 2^-52 and never an end."""
        return ((self.words(name, count) >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52

    def normal(self, name: str, count: int) -> Floats:
        """(count,) standard normal numbers, by inversion."""
        normal: Floats = ndtri(self.uniform(name, count))
        return normal

    def hexadecimal(self, name: str, count: int, digits: int) -> list[str]:
        """(count,) random texts of 8, 16 or 32 hexadecimal digits."""
        words = -(-digits // 16)
        raw = self.words(name, count * words).astype(">u8").tobytes().hex()
        return [raw[i * words * 16 :][:digits] for i in range(count)]
