"""Scoring on a Dask cluster: joblib's own backend sends the same calls to workers elsewhere."""

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
    """Let everything that joblib runs within the block run on the workers of a Dask scheduler.

    A task of a worker that dies is given to another one, up to Dask's own limit. Workers read the entries by
    the same paths as this process, so they need the same files.

    Args:
        scheduler: Its address, such as ``tcp://10.0.0.5:8786``; None to stay on this machine.

    Yields:
        Threads of all workers; None without a scheduler.

    Raises:
        BenchError: Dask is not installed (``dask-missing``), nothing answers there or it has no worker
            (``scheduler-unreachable``), its workers have other versions, which could give other bits
            (``scheduler-versions``), or it failed for good (``scheduler-failed``); all exit 3.
    """
    if scheduler is None:
        yield None
        return
    if find_spec("distributed") is None:
        raise _stop(Problem("dask-missing", "The package `distributed` is not installed."))
    import dask
    from distributed import Client, KilledWorker
    from joblib import parallel_config

    connect: Any = Client  # it has no types
    try:
        client = connect(scheduler, timeout=CONNECT_S)
    except (OSError, ValueError, TypeError) as error:
        message = f"No scheduler answers at {scheduler[:100]} within {CONNECT_S} s."
        raise _stop(Problem("scheduler-unreachable", message)) from error
    with client:
        threads = sum(client.ncores().values())
        if not threads:
            message = f"The scheduler at {scheduler[:100]} has no worker."
            raise _stop(Problem("scheduler-unreachable", message))
        _refuse_other_versions(client)
        try:
            with (
                dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}),
                parallel_config(backend="dask", wait_for_workers_timeout=CONNECT_S),
            ):
                yield threads
        except KilledWorker as error:
            message = "A task was lost with its worker too often."
            raise _stop(Problem("scheduler-failed", message)) from error


def send_once(value: object) -> None:
    """Let an argument of many calls travel to the cluster once, not with each batch; nothing without one.

    What joblib scatters by itself is lost with the workers that hold it. The result of a task is not: the
    scheduler keeps what it takes to give it to another worker.
    """
    from joblib.parallel import get_active_backend

    backend = get_active_backend()[0]
    if hasattr(backend, "data_futures"):  # Dask's: futures, by the identity of what they stand for
        future = backend.client.submit(_same, value, pure=False)
        future.stands_for = value  # kept, so that nothing else gets its identity
        backend.data_futures[id(value)] = future


def _same(value: object) -> object:
    return value


def versions() -> dict[str, str]:
    """What must be the same on every machine for the same bits: this package and what computes."""
    from importlib.metadata import version

    import bench

    mine = f"{bench.__version__}, scoring {SCORING_VERSION}"
    return {"chexchobench": mine, **{name: version(name) for name in _MUST_AGREE}}


def _refuse_other_versions(client: Any) -> None:
    mine, odd = versions(), set[str]()
    for theirs in client.run(versions, on_error="return").values():
        if isinstance(theirs, dict):
            odd |= {f"{k} {theirs.get(k)}, here {v}" for k, v in mine.items() if theirs.get(k) != v}
        else:  # what stopped it
            odd.add(f"chexchobench cannot be imported ({type(theirs).__name__})")
    if odd:
        message = f"Workers differ from this machine: {'; '.join(sorted(odd)[:5])}."
        raise _stop(Problem("scheduler-versions", message))


def _stop(problem: Problem) -> BenchError:
    return BenchError(problem, EXIT_ENVIRONMENT)
