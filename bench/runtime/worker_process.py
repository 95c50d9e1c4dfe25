"""A worker process with a time limit: whatever happens in it ends as a `WorkerFailure`, not as our crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy.typing as npt

from bench.runtime.messages import ArrayDict, Header, names_memory, read_message, write_message
from bench.runtime.sandbox import SandboxLimits, minimal_environment

Failing = Literal["crashed", "timeout", "out-of-memory", "failed"]


class WorkerFailure(Exception):  # noqa: N818
    """How a worker ended instead of answering.

    Attributes:
        kind: ``crashed`` (killed by a signal), ``timeout``, ``out-of-memory`` or ``failed`` (said why).
        message: For people; no paths.
    """

    def __init__(self, kind: Failing, message: str) -> None:
        self.kind: Failing = kind
        self.message = message
        super().__init__(f"{kind}: {message}")


class Worker:
    """A process that runs a module and exchanges messages with us.

    Args:
        module: Run as ``python -m module``; it calls `bench.runtime.messages.serve`.
        limit_s: The process is killed when it has lived so long.
        confinement: What it may use, where it reads a stranger's file; None for a worker of our own.

    Use as a context manager: leaving it ends the process.
    """

    def __init__(self, module: str, limit_s: float, confinement: SandboxLimits | None = None) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._limit_s = limit_s
        self._late = False
        self._process = subprocess.Popen(
            confinement.command(module) if confinement else [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=minimal_environment() if confinement else None,
            start_new_session=confinement is not None,  # so that its children can be ended with it
        )
        self._confined = confinement is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in = cast(Any, self._process.stdin)
        self._out = cast(Any, self._process.stdout)
        self._watch = threading.Timer(limit_s, self._expire)
        self._watch.daemon = True
        self._watch.start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.cancel()
        self._kill()
        self._process.wait()
        for stream in (self._in, self._out, self._log):
            with suppress(BrokenPipeError):  # what was not yet written has no reader any more
                stream.close()

    def _expire(self) -> None:
        self._late = True
        self._kill()

    def _kill(self) -> None:
        if self._confined:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def renew(self, limit_s: float) -> None:
        """Give the process so many seconds from now, whatever it has used."""
        self._watch.cancel()
        self._limit_s = limit_s
        self._watch = threading.Timer(limit_s, self._expire)
        self._watch.daemon = True
        self._watch.start()

    def send(self, header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]] | None = None) -> None:
        """Sends a message.

        Raises:
            WorkerFailure: The worker has ended.
        """
        try:
            write_message(self._in, header, arrays)
        except BrokenPipeError as error:
            raise self._failure() from error

    def receive(self) -> tuple[Header, ArrayDict]:
        """The worker's next message.

        Raises:
            WorkerFailure: It said why it cannot go on, or ended.
        """
        try:
            header, arrays = read_message(self._out)
        except EOFError as error:
            raise self._failure() from error
        except ValueError as error:
            raise WorkerFailure("crashed", "What the process answered is no message.") from error
        if "failure" in header:
            raise _said(header)
        return header, arrays

    def _failure(self) -> WorkerFailure:
        """What became of a worker whose stream ended."""
        try:
            header, _ = read_message(self._out)  # it may have said why before it ended
            if "failure" in header:
                return _said(header)
        except (EOFError, ValueError):
            pass
        code = self._wait()
        if self._late:
            return WorkerFailure("timeout", f"It did not end within {self._limit_s:g} s.")
        log = self._log_tail()
        if names_memory(log):
            return WorkerFailure("out-of-memory", "The memory that it may use was not enough.")
        if code < 0:
            if -code == signal.SIGXCPU:
                return WorkerFailure("timeout", "It used more processor time than it may.")
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            hint = "; where memory runs out the system does this" if name == "SIGKILL" else ""
            return WorkerFailure("crashed", f"The process was ended by {name}{hint}.")
        return WorkerFailure("crashed", f"The process ended with status {code} before it answered.")

    def _wait(self) -> int:
        try:
            return self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _log_tail(self) -> str:
        self._log.seek(0, 2)
        self._log.seek(max(0, self._log.tell() - 4096))
        return self._log.read().decode("utf-8", "replace")


def _said(header: Header) -> WorkerFailure:
    """A failure as the worker said it, which is not believed to be one of ours."""
    kinds: tuple[Failing, ...] = get_args(Failing)
    kind: Failing = next((kind for kind in kinds if kind == header["failure"]), "crashed")
    return WorkerFailure(kind, str(header.get("message", ""))[:500])


def scrubbed(message: str, path: Path) -> str:
    """A library's message with the model's path shortened to its name, on one line."""
    return " ".join(message.replace(str(path), path.name).split())[:500]
