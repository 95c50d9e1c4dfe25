"""Plug-ins: objects that other installed packages add through entry points."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class PluginError(ValueError):
    """A plug-in that cannot be used (``plugin-broken``, exit 3).

    Attributes:
        remedy: What to do about it.
    """

    def __init__(self, point: EntryPoint, what: str, reason: str) -> None:
        """Name the plug-in and its package.

        Args:
            point: Its entry point.
            what: What the plug-in is, such as "metric".
            reason: What is wrong, as the end of a sentence.
        """
        package = point.dist.name if point.dist else "unknown"
        super().__init__(f"The {what} {point.name!r} of the package {package} ({point.value}) {reason}.")
        self.remedy = f"Update or uninstall the package: pip uninstall {package}"


def load_plugins(group: str, what: str, fault: Callable[[Any], str], known: set[str]) -> dict[str, Any]:
    """Load the objects that packages declare in a group of entry points.

    Args:
        group: The group, such as ``bench.baselines``.
        what: What an object is, for messages.
        fault: Explains why an object cannot be used; empty where it can. Objects bear a `name`.
        known: Names that are in use already.

    Returns:
        Name → object, in order of the entry points' names.

    Raises:
        PluginError: A plug-in cannot be loaded or used.
    """
    plugins: dict[str, Any] = {}
    for point in plugin_points(group):
        plugin = load_plugin(point, what)
        if reason := fault(plugin):
            raise PluginError(point, what, reason)
        if plugin.name in known or plugin.name in plugins:
            raise PluginError(point, what, f"has the name {plugin.name!r}, which is in use")
        plugins[plugin.name] = plugin
    return plugins


def plugin_points(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, in order of their names."""
    from importlib.metadata import entry_points  # takes 13 ms, which `bench --help` need not wait for

    return sorted(entry_points(group=group), key=lambda point: (point.name, point.value))


def load_plugin(point: EntryPoint, what: str) -> Any:
    """Load the object of an entry point; whatever its module raises becomes a `PluginError`."""
    try:
        return point.load()
    except Exception as error:
        reason = f"cannot be loaded: {type(error).__name__}: {error}"
        raise PluginError(point, what, reason) from error
