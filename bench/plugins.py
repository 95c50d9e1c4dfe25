"""Plug-ins: objects that other installed packages add through entry points."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem


def load_plugins(group: str, what: str, fault: Callable[[Any], str], known: set[str]) -> dict[str, Any]:
    """Load the objects that packages declare in a group of entry points.

    Args:
        group: The group, such as ``bench.baselines``.
        what: What an object is, for messages.
        fault: Tells why an object cannot be used; empty where it can. Objects bear a `name`.
        known: Names that are in use already.

    Returns:
        Name → object, in order of the entry points' names.

    Raises:
        BenchError: A plug-in cannot be loaded or used (``plugin-broken``, exit 3), naming its package.
    """
    found: dict[str, Any] = {}
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
        try:
            plugin = point.load()
        except Exception as error:
            raise _broken(point, what, f"cannot be loaded: {type(error).__name__}: {error}") from error
        if reason := fault(plugin):
            raise _broken(point, what, reason)
        if plugin.name in known or plugin.name in found:
            raise _broken(point, what, f"has the name {plugin.name!r}, which is in use")
        found[plugin.name] = plugin
    return found


def _broken(point: EntryPoint, what: str, reason: str) -> BenchError:
    package = point.dist.name if point.dist else "unknown"
    message = f"The {what} {point.name!r} of the package {package} ({point.value}) {reason}."
    remedy = f"Update or uninstall the package: pip uninstall {package}"
    return BenchError(Problem("plugin-broken", message, remedy=remedy), EXIT_ENVIRONMENT)
