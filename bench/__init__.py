"""CheXchoBench: a benchmark and leaderboard harness for echocardiographic labels from chest X-rays.

The array API needs no cohort and no workspace: three arrays `(y, p, patient_id)` are enough. The public names
stand in `__init__.pyi`; each is imported on first use, so that importing the package stays cheap.
"""

import ast
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8"))
_IMPORTS = [node for node in _STUB.body if isinstance(node, ast.ImportFrom)]
_MODULE_OF = {name.name: node.module or "" for node in _IMPORTS for name in node.names}
"""Public name → module below this package; empty for a module that is public itself."""

__all__ = sorted([*_MODULE_OF, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULE_OF[name] or name
    try:
        imported = import_module(resolve_name(f".{module}", __name__))
    except ModuleNotFoundError as error:
        from bench.extras import missing_extra

        raise missing_extra(error, f"`bench.{name}`") from error
    value = getattr(imported, name) if _MODULE_OF[name] else imported
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
