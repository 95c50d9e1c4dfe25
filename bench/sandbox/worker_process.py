"""Sandboxed worker process with a time limit; whatever happens in it becomes a `WorkerFailure`."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem, Severity, catalogue
from bench.sandbox.launch import UNCONFINED_EXIT, SandboxLimits, minimal_environment
from bench.sandbox.messages import ArrayDict, Header, names_memory, read_exactly, read_message, write_message

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_HEADER_BYTES: Final = 2 * 2**20
MAX_ANSWER_BYTES: Final = 32 * 2**20
"""Most bytes of the header and arrays of an answer: a process that was taken over cannot fill our memory."""

Failing = Literal["crashed", "timeout", "out-of-memory", "failed"]


class WorkerFailure(Exception):  # noqa: N818
    """End of a worker that did not answer.

    Attributes:
        kind: ``crashed`` (killed by a signal), ``timeout``, ``out-of-memory`` or ``failed`` (with a reason).
        message: For people; no paths.
    """

    def __init__(self, kind: Failing, message: str) -> None:
        self.kind: Failing = kind
        self.message = message
        super().__init__(f"{kind}: {message}")


class Worker:
    """Process that runs a module in a sandbox and exchanges messages with this one.

    Args:
        module: Run as ``python -m module``; it calls `bench.sandbox.messages.serve`.
        limit_s: The process is killed when it has lived so long; None for no limit until `renew` sets one.
        limits: What it may use.

    Use as a context manager: leaving it ends the process.
    """

    def __init__(self, module: str, limit_s: float | None, limits: SandboxLimits) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._limit_s = limit_s
        self._late = False
        self._deadline: float | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._wakes_at: float | None = None
        self._process = self._start_and_watch(module, limits)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in = cast(Any, self._process.stdin)
        self._out = cast(Any, self._process.stdout)
        self.renew(limit_s)

    def _start_and_watch(self, module: str, limits: SandboxLimits) -> subprocess.Popen[bytes]:
        """Start the process in the thread that watches it until `close`.

        The system ends the process with the thread that started it, so it must not be a caller's.
        """
        started: Future[subprocess.Popen[bytes]] = Future()

        def start() -> None:
            try:
                process = subprocess.Popen(
                    limits.command(module),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._log,
                    pipesize=2**20,
                    env={
                        **minimal_environment(on_gpu=limits.readable is None),
                        **({"TMPDIR": limits.writable} if limits.writable else {}),
                    },
                    start_new_session=True,  # so that its children can be ended with it
                )
            except BaseException as error:
                started.set_exception(error)
            else:
                started.set_result(process)
                self._watch(process)

        threading.Thread(target=start, daemon=True).start()
        return started.result()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Return whether the process runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process and everything that it started."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        _kill(self._process)
        self._process.wait()
        for stream in (self._in, self._out, self._log):
            with suppress(BrokenPipeError):  # what was not yet written has no reader any more
                stream.close()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the process at its deadline; ends with `close`."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if self._deadline is not None and self._deadline <= now:
                    self._late = True
                    _kill(process)
                    return
                self._wakes_at = self._deadline
                self._changed.wait(None if self._deadline is None else self._deadline - now)

    def renew(self, limit_s: float | None) -> None:
        """Give the process so many seconds from now, whatever it has used; None for no limit."""
        with self._changed:
            if limit_s is None:
                self._deadline = None
                return
            self._limit_s = limit_s
            self._deadline = time.monotonic() + limit_s
            # One thread watches all limits: it sleeps until an earlier deadline has passed, then looks again.
            if self._wakes_at is None or self._deadline < self._wakes_at:
                self._changed.notify()

    def send(
        self,
        header: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]] | None = None,
        *,
        flush: bool = True,
    ) -> None:
        """Send a message; without `flush` it leaves with the bytes that follow.

        Raises:
            WorkerFailure: The worker has ended.
            BenchError: It was not started, because the sandbox is incomplete (``sandbox-missing``, exit 3).
        """
        try:
            write_message(self._in, header, arrays, flush=flush)
        except BrokenPipeError as error:
            raise self._failure() from error

    def send_bytes(self, blocks: Iterable[bytes]) -> None:
        """Send plain bytes after a message that announced them; errors as `send`."""
        try:
            for block in blocks:
                self._in.write(block)
            self._in.flush()
        except BrokenPipeError as error:
            raise self._failure() from error

    def receive_bytes(self, count: int) -> bytes:
        """Receive plain bytes that a message announced; errors as `receive`."""
        try:
            return read_exactly(self._out, count)
        except EOFError as error:
            raise self._failure() from error

    def receive_file(self, target: Path, count: int) -> None:
        """Write plain bytes that a message announced to a new file; errors as `receive`."""
        with target.open("xb") as file:
            for start in range(0, count, 2**20):
                file.write(self.receive_bytes(min(2**20, count - start)))

    def receive(self, most_bytes: int = MAX_ANSWER_BYTES) -> tuple[Header, ArrayDict]:
        """Receive the worker's next message.

        Args:
            most_bytes: Most bytes of its arrays.

        Raises:
            WorkerFailure: It reported a failure, or ended.
            BenchError: It was not started, because the sandbox is incomplete (``sandbox-missing``, exit 3).
        """
        try:
            header, arrays = read_message(self._out, MAX_HEADER_BYTES, most_bytes)
        except EOFError as error:
            raise self._failure() from error
        except ValueError as error:
            raise WorkerFailure("crashed", "The answer of the process is not a valid message.") from error
        if "failure" in header:
            raise _reported_failure(header)
        return header, arrays

    def _failure(self) -> WorkerFailure:
        """Say what became of a worker whose stream ended."""
        try:
            header, _ = read_message(
                self._out, MAX_HEADER_BYTES, 0
            )  # it may have sent a reason before it ended
            if "failure" in header:
                return _reported_failure(header)
        except (EOFError, ValueError):
            pass
        code = self._wait()
        if self._late:
            return WorkerFailure("timeout", f"It did not end within {self._limit_s:g} s.")
        log = self._log_tail()
        if code == UNCONFINED_EXIT:
            message = (
                f"Files from others are opened only in a sandbox, and this system lacks parts of it: {log}."
            )
            raise BenchError(Problem("sandbox-missing", message[:1500]), EXIT_ENVIRONMENT)
        if names_memory(log):
            return WorkerFailure("out-of-memory", "It exceeded its memory limit.")
        if code < 0:
            if -code == signal.SIGXCPU:
                return WorkerFailure("timeout", "It exceeded its limit of processor time.")
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


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _reported_failure(header: Header) -> WorkerFailure:
    """Return a failure as the worker reported it; unknown kinds count as a crash."""
    kinds: tuple[Failing, ...] = get_args(Failing)
    kind: Failing = next((kind for kind in kinds if kind == header["failure"]), "crashed")
    return WorkerFailure(kind, str(header.get("message", ""))[:500])


def problem_of(item: Mapping[str, Any]) -> Problem:
    """Convert a problem as a worker reports it, which is not believed to be one of ours.

    Raises:
        KeyError: It lacks a key.
        TypeError: It has a code or severity that no problem has.
    """
    code = str(item["code"])
    severity = next((known for known in get_args(Severity) if known == item["severity"]), None)
    if code not in catalogue() or severity is None:
        raise TypeError("not a problem")
    message, where, remedy = (
        str(item["message"])[:2000],
        str(item["where"])[:1000],
        str(item["remedy"])[:2000],
    )
    return Problem(code, message, where, remedy, severity)


def scrubbed(message: str, path: Path) -> str:
    """Shorten the model's path in a library's message to its name, on one line."""
    return " ".join(message.replace(str(path), path.name).split())[:500]
