"""Optional packages: which extra installs each, and the error where one is not installed."""

from __future__ import annotations

from importlib.util import find_spec

from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem

CORE = ("numpy", "scipy", "numba", "bench")
EXTRA_OF = {
    "matplotlib": "plot",
    "torch": "torch",
    "monai": "baselines",
    "lightning": "baselines",
    "onnxscript": "baselines",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "dask": "dask",
    "distributed": "dask",
    "tensorrt": "tensorrt",
}
"""Package → extra that installs it; every other package that is not of the core comes with ``board``."""


class MissingExtraError(BenchError, ImportError):
    """A function needs a package that an extra installs (``extra-missing``, exit 3)."""


def require(package: str, what: str) -> None:
    """Refuse to go on without a package.

    Args:
        package: Name by which it is imported.
        what: What needs it, as the message begins.

    Raises:
        MissingExtraError: It is not installed.
    """
    if find_spec(package) is None:
        raise _error(package, what)


def missing_extra(error: ModuleNotFoundError, what: str) -> ImportError:
    """Return the error that names the extra; `error` itself for a missing module of this package or core."""
    package = (error.name or "").partition(".")[0]
    return error if package in ("", *CORE) else _error(package, what)


def _error(package: str, what: str) -> MissingExtraError:
    extra = EXTRA_OF.get(package, "board")
    message = f"{what} needs the package {package}, which is not installed."
    remedy = f"pip install 'chexchobench[{extra}]'"
    return MissingExtraError(Problem("extra-missing", message, remedy=remedy), EXIT_ENVIRONMENT)
