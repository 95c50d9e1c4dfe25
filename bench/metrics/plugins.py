"""Metrics that other packages declare: loaded, checked, and wrapped so that their errors name the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from bench.metrics.metric import Engine, Metric, Needs
from bench.plugins import PluginError, load_plugin

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from bench.metrics.validation import Floats


def load_metrics(point: EntryPoint) -> list[Metric]:
    """Load the metrics of an entry point: a `Metric`, or a list of them.

    Raises:
        PluginError: It cannot be imported, names something else, or asks for what is closed to plug-ins.
    """
    loaded = load_plugin(point, "metric")
    metrics = list(loaded) if isinstance(loaded, list | tuple) else [loaded]
    for metric in metrics:
        if reason := _fault(metric):
            raise PluginError(point, "metric", reason)
    return [_guarded(metric, point) for metric in metrics]


def _fault(metric: object) -> str:
    """Explain why an object cannot be used as a plug-in's metric; empty if it can."""
    if not isinstance(metric, Metric):
        return f"is a {type(metric).__name__}, not a Metric or a list of them"
    if metric.needs is Needs.DECISIONS:
        return f"declares {metric.key!r} with needs of decisions, which plug-ins cannot add"
    if metric.replicates not in (None, Engine.LOOP):
        return f"declares {metric.key!r} with the engine of another metric"
    return ""


def _guarded(metric: Metric, point: EntryPoint) -> Metric:
    """Return a metric whose errors are `PluginError`, and whose values are finite floats or None."""

    def call(part: str, function: Callable[[Any], Any], prepared: Any) -> Any:
        try:
            return function(prepared)
        except Exception as error:
            reason = f"failed at the {part} of {metric.key!r}: {type(error).__name__}: {error}"
            raise PluginError(point, "metric", reason) from error

    def value(prepared: Any) -> float | None:
        assert metric.value is not None
        result = call("value", metric.value, prepared)
        try:
            number = None if result is None else float(result)
        except (TypeError, ValueError) as error:
            reason = f"gave a {type(result).__name__} as the value of {metric.key!r}, not a number"
            raise PluginError(point, "metric", reason) from error
        return number if number is not None and isfinite(number) else None

    def influence(prepared: Any) -> Floats:
        assert metric.influence is not None
        result: Floats = call("influence", metric.influence, prepared)
        if getattr(result, "shape", None) != (len(prepared),):
            reason = f"gave an influence of {metric.key!r} that is not an array with one value per image"
            raise PluginError(point, "metric", reason)
        return result

    return replace(metric, value=value, influence=influence if metric.influence else None)
