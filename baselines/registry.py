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
    """Return the baselines of this package by name, in alphabetical order.

    Methods import heavy libraries only when they run.
    """
    package = importlib.import_module("baselines.methods")
    names = [module.name for module in pkgutil.iter_modules(package.__path__, "baselines.methods.")]
    declared: list[Baseline] = [importlib.import_module(name).BASELINE for name in names]
    return {baseline.name: baseline for baseline in sorted(declared, key=lambda b: b.name)}


@cache
def baselines() -> dict[str, Baseline]:
    """Return every baseline by name: those of this package in alphabetical order, then those of plug-ins.

    Raises:
        PluginError: A plug-in cannot be used.
    """
    return built_in() | load_plugins(GROUP, "baseline", _fault, set(built_in()))


def _fault(plugin: object) -> str:
    """Explain why a plug-in's object is not a valid baseline; empty if it is."""
    if not isinstance(plugin, Baseline):
        return f"is a {type(plugin).__name__}, not a baselines.api.Baseline"
    if not re.fullmatch(SLUG_PATTERN, plugin.name):
        return f"has the name {plugin.name!r}, which cannot be a slug"
    return ""


def find_baseline(name: str) -> Baseline:
    """Return the baseline `name`.

    Raises:
        BenchError: Unknown name (``baseline-unknown``).
        PluginError: A plug-in that might declare it cannot be used.
    """
    if name in built_in():
        return built_in()[name]
    available = baselines()
    if name not in available:
        message = (
            f"There is no baseline {name!r}; there are {', '.join(available)}.{did_you_mean(name, available)}"
        )
        raise BenchError(Problem("baseline-unknown", message))
    return available[name]
