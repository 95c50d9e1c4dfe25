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
    plugins: dict[str, Any] = {}
    for point in plugin_points(group):
        plugin = load_plugin(point, what)
        if reason := fault(plugin):
            raise broken_plugin(point, what, reason)
        if plugin.name in known or plugin.name in plugins:
            raise broken_plugin(point, what, f"has the name {plugin.name!r}, which is in use")
        plugins[plugin.name] = plugin
    return plugins


def plugin_points(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, in order of their names."""
    return sorted(entry_points(group=group), key=lambda point: (point.name, point.value))


def load_plugin(point: EntryPoint, what: str) -> Any:
    """Load the object of an entry point; whatever its module raises becomes a problem.

    Raises:
        BenchError: It cannot be loaded (``plugin-broken``).
    """
    try:
        return point.load()
    except Exception as error:
        reason = f"cannot be loaded: {type(error).__name__}: {error}"
        raise broken_plugin(point, what, reason) from error


def broken_plugin(point: EntryPoint, what: str, reason: str) -> BenchError:
    """Return the error for a plug-in that cannot be used, naming its package.

    Args:
        point: Its entry point.
        what: What the plug-in is, such as "metric".
        reason: What is wrong, as the end of a sentence.
    """
    package = point.dist.name if point.dist else "unknown"
    message = f"The {what} {point.name!r} of the package {package} ({point.value}) {reason}."
    remedy = f"Update or uninstall the package: pip uninstall {package}"
    return BenchError(Problem("plugin-broken", message, remedy=remedy), EXIT_ENVIRONMENT)
