"""Speed of comparing one new entry with all stored ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.submission.similarity import find_similar

pytestmark = pytest.mark.perf


def test_one_entry_against_a_thousand(benchmark: Any) -> None:
    """1,000 stored entries of 14,000 images; the aim is 2 s."""
    random = np.random.default_rng(0)
    common = random.normal(size=14_000)
    stored = common + random.normal(size=(1000, 14_000))
    near = 0.99 * stored[500] + 0.1 * random.normal(size=14_000)
    found = benchmark(find_similar, near, stored)
    assert [f.entries for f in found] == [(500,)]
