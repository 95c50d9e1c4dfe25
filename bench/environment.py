"""Software and hardware of this machine for the record, without host, user or folder; and worker processes.

The functions that describe the machine never raise.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final, Literal

import bench
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

Fact = str | int | float | bool | None | dict[str, str]

PACKAGES = (
    *("numpy", "scipy", "pandas", "pyarrow", "scikit-learn", "numba", "pillow", "pydantic"),
    *("onnx", "onnxruntime", "onnxruntime-gpu", "torch", "monai", "tensorrt", "tensorrt-rtx", "nvidia-ml-py"),
)


def environment() -> dict[str, Fact]:
    """Describe versions, processor, memory, load and GPUs of this machine as plain data.

    Keys: ``harness``, ``commit``, ``python``, ``system``, ``cpu``, ``physical_cores``, ``logical_cores``,
    ``usable_cores``, ``memory_gb``, ``load_average``, ``gpus``, ``driver``, ``packages``.
    """
    gpus, driver = _gpus()
    physical, memory = _cores_and_memory()
    return {
        "harness": bench.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}".strip(),
        "cpu": cpu_name(),
        "physical_cores": physical,
        "logical_cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "memory_gb": memory,
        "load_average": load_average(),
        "gpus": gpus,
        "driver": driver,
        "packages": package_versions(),
    }


def cpu_name() -> str:
    """Return the processor's model name, such as ``AMD EPYC 7R13``."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown"


def usable_cores() -> int:
    """Return the number of processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        with suppress(OSError):
            return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float | None:
    """Return the system's load average over the last minute; None if not available."""
    with suppress(OSError, AttributeError):
        return round(os.getloadavg()[0], 2)
    return None


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of the installed ones among `names`."""
    versions = {}
    for name in names:
        with suppress(PackageNotFoundError, OSError, KeyError):
            versions[name] = version(name)
    return versions


def public_argv(argv: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return a command line fit for publication: absolute paths are cut to their last part.

    Args:
        argv: The arguments; by default those of this process.
    """
    words = list(sys.argv if argv is None else argv)
    return tuple(_public_word(word, first=index == 0) for index, word in enumerate(words))


def _public_word(word: str, *, first: bool) -> str:
    head, equals, tail = word.partition("=")
    if word.startswith("-") and equals:
        return f"{head}={_public_word(tail, first=False)}"
    path = word.replace("\\", "/")
    private = path.startswith(("/", "~", "../")) or path[1:3] == ":/" or first
    return path.rstrip("/").rpartition("/")[2] if private else word


def _cores_and_memory() -> tuple[int | None, float | None]:
    try:
        import psutil

        return psutil.cpu_count(logical=False), round(psutil.virtual_memory().total / 1e9, 1)
    except Exception:  # unknown hardware is not an error
        return None, None


def commit() -> str | None:
    """Return the commit of the checkout that the harness runs from, with ``+`` if files are changed."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        completed = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        return completed.stdout.strip() or None
    return None


def tracked_files(folder: Path) -> set[Path]:
    """Return the files below a folder that git tracks; empty where there is no git or no repository."""
    command = ["git", "-C", str(folder), "ls-files", "-z", "--full-name", "--", "."]
    top = ["git", "-C", str(folder), "rev-parse", "--show-toplevel"]
    with suppress(OSError, subprocess.SubprocessError):
        root = subprocess.run(top, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
        listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        return {(Path(root) / name).resolve() for name in listed.split("\0") if name}
    return set()


def _gpus() -> tuple[str | None, str | None]:
    """Return the names of the NVIDIA GPUs and the driver's version; None without a GPU."""
    if find_spec("pynvml") is None:
        return None, None
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no driver, no device or no permission
        return None, None
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        names = [_text(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
        return ", ".join(names) or None, _text(pynvml.nvmlSystemGetDriverVersion())
    except Exception:  # a driver that does not answer
        return None, None
    finally:
        with suppress(Exception):
            pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@contextmanager
def process_pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of spawned processes that end with their parent, even if the parent is killed.

    Only the parent receives an interrupt; pending work is then cancelled.
    """
    from concurrent.futures import ProcessPoolExecutor  # takes 15 ms, which readers need not wait for
    from multiprocessing import get_context

    try:
        pool = ProcessPoolExecutor(
            jobs, mp_context=get_context("spawn"), initializer=_ignore_interrupts_and_watch_parent
        )
    except OSError as error:  # the pool needs semaphores
        message = f"Shared memory (/dev/shm) cannot be used: {error.strerror or error}."
        raise BenchError(Problem("shared-memory", message, "/dev/shm"), EXIT_ENVIRONMENT) from error
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_interrupts_and_watch_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    from multiprocessing import parent_process

    if (parent := parent_process()) is not None:
        parent.join()
    os._exit(1)


Libraries = Literal["none", "tables", "statistics"]
LEAST_ADDRESS_SPACE_MB: Final[Mapping[Libraries, int]] = {"none": 0, "tables": 640, "statistics": 1280}
"""Least address space in MiB: below it numpy, pandas and pyarrow (``tables``), or also scipy and numba
(``statistics``), cannot be loaded, or wait for memory without end."""


def address_space_limit_mb() -> int | None:
    """The limit of this process's address space (``ulimit -v``, ``h_vmem``) in MiB; None without one."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit // 2**20
