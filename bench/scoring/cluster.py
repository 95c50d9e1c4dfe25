"""Scoring on a Dask cluster through joblib's backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.scoring.scorecard import SCORING_VERSION

CONNECT_S = 20
_MUST_AGREE = ("numpy", "scipy", "numba", "scikit-learn")


@contextmanager
def on_cluster(scheduler: str | None) -> Iterator[int | None]:
    """Run joblib calls within the block on the workers of a Dask scheduler.

    Dask reassigns the tasks of a lost worker, up to its own limit. Workers read the entries by the same paths
    as this process, so they need the same files.

    Args:
        scheduler: Address such as ``tcp://10.0.0.5:8786``; None to run on this machine.

    Yields:
        Number of threads of all workers; None without a scheduler.

    Raises:
        BenchError: Dask is not installed (``dask-missing``), the scheduler does not answer or has no worker
            (``scheduler-unreachable``), its workers have other versions and could give other bits
            (``scheduler-versions``), or it failed permanently (``scheduler-failed``); all exit 3.
    """
    if scheduler is None:
        yield None
        return
    if find_spec("distributed") is None:
        raise _environment_error(Problem("dask-missing", "The package `distributed` is not installed."))
    import dask
    from distributed import Client, KilledWorker
    from joblib import parallel_config

    connect: Any = Client  # it has no types
    try:
        client = connect(scheduler, timeout=CONNECT_S)
    except (OSError, ValueError, TypeError) as error:
        message = f"No scheduler answers at {scheduler[:100]} within {CONNECT_S} s."
        raise _environment_error(Problem("scheduler-unreachable", message)) from error
    with client:
        threads = sum(client.ncores().values())
        if not threads:
            message = f"The scheduler at {scheduler[:100]} has no worker."
            raise _environment_error(Problem("scheduler-unreachable", message))
        _refuse_other_versions(client)
        try:
            with (
                dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}),
                parallel_config(backend="dask", wait_for_workers_timeout=CONNECT_S),
            ):
                yield threads
        except KilledWorker as error:
            message = "A task was lost with its worker too often."
            raise _environment_error(Problem("scheduler-failed", message)) from error


def send_once(value: object) -> None:
    """Send an argument of many calls to the cluster once instead of with each batch; no effect without one.

    Data that joblib scatters is lost with the workers that hold it. The result of a task is not, since the
    scheduler can recompute it on another worker.
    """
    from joblib.parallel import get_active_backend

    backend = get_active_backend()[0]
    if hasattr(backend, "data_futures"):  # Dask's backend: id of a value → its future
        future = backend.client.submit(_identity, value, pure=False)
        future.stands_for = value  # keeps the value alive, so that its id stays unique
        backend.data_futures[id(value)] = future


def _identity(value: object) -> object:
    return value


def versions() -> dict[str, str]:
    """Return the versions that must agree on every machine for bit-equal results."""
    from importlib.metadata import version

    import bench

    own_version = f"{bench.__version__}, scoring {SCORING_VERSION}"
    return {"chexchobench": own_version, **{name: version(name) for name in _MUST_AGREE}}


def _refuse_other_versions(client: Any) -> None:
    own, differences = versions(), set[str]()
    for worker_versions in client.run(versions, on_error="return").values():
        if isinstance(worker_versions, dict):
            differences |= {
                f"{k} {worker_versions.get(k)}, here {v}"
                for k, v in own.items()
                if worker_versions.get(k) != v
            }
        else:  # an exception
            differences.add(f"chexchobench cannot be imported ({type(worker_versions).__name__})")
    if differences:
        message = f"Workers differ from this machine: {'; '.join(sorted(differences)[:5])}."
        raise _environment_error(Problem("scheduler-versions", message))


def _environment_error(problem: Problem) -> BenchError:
    return BenchError(problem, EXIT_ENVIRONMENT)
