"""Finds the baselines: every module of `baselines.methods` that declares a `BASELINE`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from baselines.api import Baseline
from bench.errors import BenchError, Problem, did_you_mean


@cache
def baselines() -> dict[str, Baseline]:
    """Every baseline by name, in alphabetical order. Methods import heavy libraries only when they run."""
    package = importlib.import_module("baselines.methods")
    names = [module.name for module in pkgutil.iter_modules(package.__path__, "baselines.methods.")]
    found: list[Baseline] = [importlib.import_module(name).BASELINE for name in names]
    return {baseline.name: baseline for baseline in sorted(found, key=lambda b: b.name)}


def find_baseline(name: str) -> Baseline:
    """The baseline `name`.

    Raises:
        BenchError: There is none (``baseline-unknown``), naming those there are.
    """
    known = baselines()
    if name not in known:
        message = f"There is no baseline {name!r}; there are {', '.join(known)}.{did_you_mean(name, known)}"
        raise BenchError(Problem("baseline-unknown", message))
    return known[name]
