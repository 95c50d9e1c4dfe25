"""Strangers' files, read by a sandboxed process that stays while this process lives; many files by two.

The file is streamed to the worker, which needs no access to any path, and hashed on the way: what is hashed
is what was read. The worker answers with plain data of bounded size, which is validated again here.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from bench.documents import MAX_BYTES as MAX_DOCUMENT_BYTES
from bench.documents import Document, parse_json
from bench.environment import usable_cores
from bench.errors import BenchError, Problem
from bench.sandbox.bounded_read import open_bounded
from bench.sandbox.launch import SandboxLimits
from bench.sandbox.messages import ArrayDict, Header
from bench.sandbox.worker_process import MAX_ANSWER_BYTES, Worker, WorkerFailure, problem_of

WORKER: Final = "bench.sandbox.read_worker"
LIMITS: Final = SandboxLimits(memory_mb=6144)
LIMIT_S: Final = 40.0
"""Seconds for one file, from its first byte to the answer."""
BLOCK: Final = 2**20
MAX_DOCUMENT_ANSWER: Final = 64 * 2**20
"""Largest document that an answer may hold; the largest boards need it."""

MANY: Final = 200
"""Number of items for which starting a second process saves time."""

D = TypeVar("D", bound=Document)
Item = TypeVar("Item")
Result = TypeVar("Result")
Fault = Callable[[str, str], BenchError]
"""Make the error out of what is wrong with a file and what to do about it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer of the worker about a file.

    Attributes:
        header: Plain data.
        arrays: Numeric arrays by name.
        document: Text of a document, as bytes; empty for other files.
        sha256: Hash of the bytes that were read.
    """

    header: Header
    arrays: ArrayDict = field(default_factory=dict)
    document: bytes = b""
    sha256: str = ""


class _Reader:
    """A worker of this process; started when first needed, and anew after a file has ended it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: Worker | None = None

    def start(self) -> Worker:
        """Start the worker, if it does not run; it loads its libraries while this process goes on."""
        if self._worker is None or not self._worker.alive:
            self.close()
            self._worker = Worker(WORKER, None, LIMITS)
        return self._worker

    @property
    def busy(self) -> bool:
        """Whether it reads a file."""
        return self._lock.locked()

    @property
    def started(self) -> bool:
        """Whether its worker was started."""
        return self._worker is not None

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
        self._worker = None

    def ask(
        self, request: Mapping[str, Any], blocks: Iterator[bytes], most_bytes: int
    ) -> tuple[Answer, Header]:
        """Send a request and the bytes of a file, and receive the answer."""
        digest = hashlib.sha256()

        def hashed() -> Iterator[bytes]:
            for block in blocks:
                yield block
                digest.update(block)  # while the worker reads the block

        with self._lock:
            worker = self.start()
            worker.renew(LIMIT_S)
            try:
                worker.send(request, flush=False)
                worker.send_bytes(hashed())
                header, arrays = worker.receive(most_bytes)
                size = int(header.get("bytes", 0))
                if not 0 <= size <= MAX_DOCUMENT_ANSWER:
                    raise WorkerFailure("crashed", f"It answered with a document of {size:,} bytes.")
                document = worker.receive_bytes(size)
            except BaseException:  # also an interrupt: half an exchange must not be continued
                self.close()
                raise
            worker.renew(None)
        return Answer(dict(header.get("answer", {})), arrays, document, digest.hexdigest()), header


_reader, _second = _Reader(), _Reader()


@atexit.register
def _end_readers() -> None:
    _reader.close()
    _second.close()


def _forget_readers() -> None:
    """Start anew in a forked process, which must not use its parent's workers, nor locks that they hold."""
    global _reader, _second
    _reader, _second = _Reader(), _Reader()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_readers)


def start_reader() -> None:
    """Start the process that reads strangers' files, so that it is ready when the first file is read."""
    _reader.start()


def reader_pids() -> tuple[int, ...]:
    """Return the ids of the processes that read strangers' files."""
    return tuple(reader.start().pid for reader in (_reader, _second) if reader.started)


def read_many(read: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Apply a function that reads strangers' files to every item, on all cores.

    While a sandboxed process reads the file of one item, those of the others are hashed and checked.

    Args:
        read: Called in several threads at once.
        items: What it is called with.

    Returns:
        Its results in the order of the items.
    """
    if len(items) >= MANY and usable_cores() > 1:
        _second.start()
    with ThreadPoolExecutor(max(usable_cores(), 2)) as pool:
        return list(pool.map(read, items))


def read_in_sandbox(
    function: str,
    path: Path,
    limit: int,
    fault: Fault,
    arguments: Mapping[str, Any] | None = None,
    *,
    most_bytes: int = MAX_ANSWER_BYTES,
) -> Answer:
    """Read a stranger's file in the sandboxed worker.

    Args:
        function: ``module:name`` of what the worker calls with the file's bytes and `arguments`; it
            returns a header of plain data, arrays and a document.
        path: The file, opened as `open_bounded` does.
        limit: Most bytes that are read.
        fault: Makes the error out of what is wrong with the file.
        arguments: Plain data.
        most_bytes: Most bytes of the arrays of the answer.

    Raises:
        BenchError: What the function raised; what `fault` made, where the file cannot be opened, or the
            worker crashed or needed too much memory or time for it; or the sandbox is incomplete
            (``sandbox-missing``, exit 3).
    """
    with open_bounded(path, limit, fault) as (file, size):
        request = {"function": function, "bytes": size, "arguments": dict(arguments or {})}
        return _answered(request, _exactly(file.read, size, fault), fault, most_bytes)


def _answered(
    request: Mapping[str, Any], blocks: Iterator[bytes], fault: Fault, most_bytes: int = MAX_ANSWER_BYTES
) -> Answer:
    try:
        reader = _second if _second.started and _reader.busy else _reader
        answer, header = reader.ask(request, blocks, most_bytes)
    except WorkerFailure as failure:
        raise fault(f"Reading it {_ENDS[failure.kind]}.", "") from failure
    except (ValueError, TypeError, KeyError) as error:
        raise fault("The process that read it gave no valid answer.", "") from error
    if problems := header.get("problems"):
        raise _error(problems, header.get("exit_code"), fault)
    return answer


_ENDS: Final = {
    "crashed": "ended the process that read it",
    "timeout": f"took longer than {LIMIT_S:g} s",
    "out-of-memory": f"needed more than {LIMITS.memory_mb:,} MiB of memory",
    "failed": "failed",
}


def _exactly(read: Callable[[int], bytes], size: int, fault: Fault) -> Iterator[bytes]:
    """Yield `size` bytes in blocks."""
    left = size
    while left:
        block = read(min(BLOCK, left))
        if not block:
            raise fault("The file shrank while it was read.", "Run the command again when the file is whole.")
        left -= len(block)
        yield block


def _error(problems: Any, exit_code: Any, fault: Fault) -> BenchError:
    """Return the error that the worker reports; an answer that is not one of ours is a fault of the file."""
    try:
        valid = [problem_of(item) for item in problems[:MOST_PROBLEMS]]
    except (TypeError, KeyError, AttributeError):
        return fault("The process that read it gave no valid answer.", "")
    return BenchError(valid, 3 if exit_code == 3 else 1)


MOST_PROBLEMS: Final = 200
"""Most problems of one file that are passed on; each kind is summed up long before."""


def read_document(
    model: type[D], path: Path, code: str, *, limit: int = MAX_DOCUMENT_BYTES, toml: bool = False
) -> tuple[D, str]:
    """Read a stranger's JSON or TOML document in the sandboxed worker.

    Args:
        model: What the document is.
        path: The file.
        code: Code of the problems.
        limit: Most bytes.
        toml: Whether it is TOML, with strict types.

    Returns:
        The document, and the SHA-256 of its file.

    Raises:
        BenchError: Every fault of the document, and those of `read_in_sandbox`.
    """
    arguments = {**_of_document(model, code, str(path)), "toml": toml}
    answer = read_in_sandbox(DOCUMENT, path, limit, _fault(code, str(path)), arguments)
    return parse_json(model, answer.document, code, str(path)), answer.sha256


def parse_in_sandbox(model: type[D], data: bytes, code: str, where: str) -> D:
    """Parse a JSON document that a stranger's file held, such as what an envelope contains.

    Args:
        model: What the document is.
        data: The document.
        code: Code of the problems.
        where: The file that held it.

    Raises:
        BenchError: As `read_document`.
    """
    arguments = {**_of_document(model, code, where), "toml": False}
    request = {"function": DOCUMENT, "bytes": len(data), "arguments": arguments}
    answer = _answered(request, iter([data]), _fault(code, where))
    return parse_json(model, answer.document, code, where)


DOCUMENT: Final = "bench.sandbox.read_worker:document"


def _of_document(model: type[Document], code: str, where: str) -> dict[str, Any]:
    return {"model": f"{model.__module__}:{model.__qualname__}", "code": code, "where": where}


def _fault(code: str, where: str) -> Fault:
    return lambda message, remedy: BenchError(Problem(code, message, where, remedy))
