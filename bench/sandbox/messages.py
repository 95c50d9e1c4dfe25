"""Messages between a process and its worker: a JSON header and plain arrays. Nothing is unpickled."""

from __future__ import annotations

import json
import math
import os
import re
import struct
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_LENGTH = struct.Struct("<Q")
_LONGEST_HEADER = 64 * 2**20
_LARGEST_ARRAY = 8 * 2**30
_KINDS = "biuf"  # booleans, whole numbers, floating-point numbers

Header = dict[str, Any]
ArrayDict = dict[str, "npt.NDArray[Any]"]


def write_message(
    stream: BinaryIO,
    header: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[Any]] | None = None,
    *,
    flush: bool = True,
) -> None:
    """Write a message.

    Args:
        stream: The other side reads it.
        header: Plain data.
        arrays: Numeric arrays by name.
        flush: Whether the other side gets it at once; not where plain bytes follow.

    Raises:
        TypeError: An array is of objects or text.
    """
    if arrays:
        import numpy as np  # here: documents are read without it
    whole = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    for name, array in whole.items():
        if array.dtype.kind not in _KINDS:
            raise TypeError(f"array {name!r} is of {array.dtype}, not of numbers")
    parts = [[name, array.dtype.str, list(array.shape)] for name, array in whole.items()]
    text = json.dumps({"header": header, "arrays": parts}).encode()
    stream.write(_LENGTH.pack(len(text)))
    stream.write(text)
    for array in whole.values():
        stream.write(array.reshape(-1).view(np.uint8).data if array.size else b"")
    if flush:
        stream.flush()


def read_message(
    stream: BinaryIO, most_header: int = _LONGEST_HEADER, most_bytes: int = _LARGEST_ARRAY
) -> tuple[Header, ArrayDict]:
    """Read the next message; sizes are bounded, since the other side may run a stranger's code.

    Args:
        stream: The other side writes it.
        most_header: Most bytes of its header.
        most_bytes: Most bytes of all arrays together.

    Raises:
        EOFError: The other side ended, before or within a message.
        ValueError: It is no message, or of a size that none has.
    """
    (length,) = _LENGTH.unpack(read_exactly(stream, _LENGTH.size))
    if length > most_header:
        raise ValueError(f"a header of {length} bytes")
    try:
        message = json.loads(read_exactly(stream, length))
        parts = [(str(name), _kind(str(dtype)), _shape(shape)) for name, dtype, shape in message["arrays"]]
        header = dict(message["header"])
    except (KeyError, TypeError, RecursionError, AttributeError) as error:
        raise ValueError("not a message") from error
    arrays: ArrayDict = {}
    if parts:
        import numpy as np
    if sum(math.prod(shape) * kind.itemsize for _, kind, shape in parts) > most_bytes:
        raise ValueError("arrays that are too large")
    for name, kind, shape in parts:
        array = np.empty(shape, kind)
        if array.size:
            _fill(stream, array.reshape(-1).view(np.uint8).data)
        arrays[name] = array
    return header, arrays


def _kind(text: str) -> np.dtype[Any]:
    if not re.fullmatch(rf"[<>|]?[{_KINDS}][0-9]{{1,2}}", text):  # numpy would parse more than this
        raise ValueError("not a type of numbers")
    import numpy as np

    return np.dtype(text)


def _shape(sizes: Any) -> tuple[int, ...]:
    if not all(isinstance(size, int) and 0 <= size < 2**40 for size in sizes) or len(sizes) > 32:
        raise ValueError("not a shape")
    return tuple(sizes)


def read_exactly(stream: BinaryIO, length: int) -> bytes:
    """Read `length` bytes.

    Raises:
        EOFError: The other side ended before.
    """
    data = stream.read(length)
    if len(data) < length:
        raise EOFError(f"the other side ended after {len(data)} of {length} bytes")
    return data


def _fill(stream: BinaryIO, view: memoryview) -> None:
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError(f"the other side ended after {done} of {len(view)} bytes")
        done += count


# As Python, C++, ONNX Runtime, PyTorch, CUDA and TensorRT put it.
_MEMORY_WORDS = (
    "bad_alloc",
    "memoryerror",
    "out of memory",
    "outofmemory",
    "out_of_memory",
    "failed to allocate",
    "cannot allocate",
    "could not be allocated",
    "memory allocation fail",
)


def names_memory(text: str) -> bool:
    """Return whether an error's text says that memory ran out."""
    lowered = text.lower()
    return any(word in lowered for word in _MEMORY_WORDS)


def serve(work: Callable[[BinaryIO, BinaryIO], None]) -> None:
    """Run `work(requests, answers)`; an exception becomes a message, then the process ends.

    What libraries print goes to the error stream, so that it cannot disturb the answers.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    try:
        work(requests, answers)
    except EOFError:
        return  # the other side has gone
    except MemoryError:
        _say(answers, "out-of-memory", "It exceeded its memory limit.")
    except Exception as error:  # whatever a native library raises ends in a message
        text = " ".join(str(error).split()) or type(error).__name__
        _say(answers, "out-of-memory" if names_memory(text) else "failed", text[:500])


def _say(answers: BinaryIO, failure: str, message: str) -> None:
    with suppress(BrokenPipeError):
        write_message(answers, {"failure": failure, "message": message})


def limit_memory(megabytes: int | None) -> None:
    """Let the process use no more than so much address space, where the system can enforce it."""
    if megabytes is None:
        return
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far; None where the system does not tell."""
    with suppress(OSError, ValueError):  # not getrusage: its peak is inherited from the process that forked
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    return None
