"""Pure functions of (y, score, weight): arrays in, plain numbers out, `None` where a figure is undefined.

Modules are imported on first use, so that names and definitions of metrics can be read without numpy.
"""

from importlib import import_module
from typing import Any

__all__ = ["calibration", "discrimination", "influence", "noise_floor", "prepared", "registry"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
