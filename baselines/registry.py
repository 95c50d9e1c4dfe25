"""Baselines by name: every module of `baselines.methods` that declares a `BASELINE`, and those of plug-ins.

Another package adds a baseline by an entry point in the group ``bench.baselines`` that names a `Baseline`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import cache

from baselines.api import Baseline
from bench.errors import BenchError, Problem, did_you_mean
from bench.plugins import load_plugins
from bench.submission.manifest import SLUG_PATTERN

GROUP = "bench.baselines"
"""Entry points of other packages that add baselines."""


@cache
def built_in() -> dict[str, Baseline]:
    """The baselines of this package by name, in alphabetical order.

    Methods import heavy libraries only when they run.
    """
    package = importlib.import_module("baselines.methods")
    names = [module.name for module in pkgutil.iter_modules(package.__path__, "baselines.methods.")]
    found: list[Baseline] = [importlib.import_module(name).BASELINE for name in names]
    return {baseline.name: baseline for baseline in sorted(found, key=lambda b: b.name)}


@cache
def baselines() -> dict[str, Baseline]:
    """Every baseline by name: those of this package in alphabetical order, then those of plug-ins.

    Raises:
        BenchError: A plug-in cannot be used (``plugin-broken``), naming its package.
    """
    return built_in() | load_plugins(GROUP, "baseline", _fault, set(built_in()))


def _fault(plugin: object) -> str:
    """Why a plug-in's object is no baseline."""
    if not isinstance(plugin, Baseline):
        return f"is a {type(plugin).__name__}, not a baselines.api.Baseline"
    if not re.fullmatch(SLUG_PATTERN, plugin.name):
        return f"has the name {plugin.name!r}, which cannot be a slug"
    return ""


def find_baseline(name: str) -> Baseline:
    """The baseline `name`.

    Raises:
        BenchError: There is none (``baseline-unknown``), naming those there are; or a plug-in that might hold
            it cannot be used (``plugin-broken``).
    """
    if name in built_in():
        return built_in()[name]
    known = baselines()
    if name not in known:
        message = f"There is no baseline {name!r}; there are {', '.join(known)}.{did_you_mean(name, known)}"
        raise BenchError(Problem("baseline-unknown", message))
    return known[name]
