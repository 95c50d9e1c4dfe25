"""Messages between a process and its worker: a JSON header and plain arrays. Nothing is unpickled."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_LENGTH = struct.Struct("<Q")
_KINDS = "biuf"  # booleans, whole numbers, floating-point numbers

Header = dict[str, Any]
ArrayDict = dict[str, npt.NDArray[Any]]


def write_message(
    stream: BinaryIO, header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]] | None = None
) -> None:
    """Writes a message and flushes the stream.

    Args:
        stream: The other side reads it.
        header: Plain data.
        arrays: Numeric arrays by name.

    Raises:
        TypeError: An array is of objects or text.
    """
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
    stream.flush()


def read_message(stream: BinaryIO) -> tuple[Header, ArrayDict]:
    """Reads the next message.

    Raises:
        EOFError: The other side ended, before or within a message.
    """
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    message = json.loads(_exactly(stream, length))
    arrays: ArrayDict = {}
    for name, dtype, shape in message["arrays"]:
        array = np.empty(shape, np.dtype(dtype))
        if array.size:
            _fill(stream, array.reshape(-1).view(np.uint8).data)
        arrays[name] = array
    return message["header"], arrays


def _exactly(stream: BinaryIO, length: int) -> bytes:
    buffer = bytearray(length)
    _fill(stream, memoryview(buffer))
    return bytes(buffer)


def _fill(stream: BinaryIO, view: memoryview) -> None:
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError(f"the other side ended after {done} of {len(view)} bytes")
        done += count
