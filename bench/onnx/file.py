"""Reading of an untrusted ONNX file: parsed as data, never executed, no other file followed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.sandbox.bounded_read import read_bounded

MODEL_LIMIT_BYTES = 2 * 1024**3 - 1  # a protobuf message cannot be longer

# Field numbers of ONNX's ModelProto; a file whose first level holds others is no ONNX file.
_MODEL_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

_OTHER_FORMATS = (
    (b"PK\x03\x04", "a zip archive (PyTorch's .pt and .pth files are such)"),
    (b"\x80", "a Python pickle"),
    (b"\x89HDF\r\n", "an HDF5 file (Keras)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"ftrt", "a TensorRT engine"),
    (b"ptrt", "a TensorRT engine"),
)


def require_onnx() -> Any:
    """The `onnx` package.

    Raises:
        BenchError: It is not installed (``onnx-missing``, exit 3).
    """
    if find_spec("onnx") is None:
        message = "The package `onnx` is not installed; models cannot be read without it."
        raise BenchError(Problem("onnx-missing", message), EXIT_ENVIRONMENT)
    import onnx

    return onnx


def read_onnx(path: Path, limit_bytes: int = MODEL_LIMIT_BYTES) -> Any:
    """The parsed `onnx.ModelProto` of a file; external data are not loaded.

    Raises:
        BenchError: The file is missing (``model-unreadable``), too large (``model-size``), of another format
            (``model-format``) or cut off (``model-truncated``); or `onnx` is not installed.
    """
    onnx = require_onnx()
    refuse_folder_or_large(path, limit_bytes)
    data = read_bounded(path, limit_bytes, unreadable(path))
    if problem := _not_onnx(data, path):
        raise BenchError(problem)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError has no public home that all its versions share
        message = f"{len(data):,} bytes begin as an ONNX file does, but cannot be decoded further."
        raise BenchError(Problem("model-truncated", message, str(path))) from error
    if not model.HasField("graph") or not model.graph.node:
        message = f"{len(data):,} bytes were read and no graph with operators is in them."
        raise BenchError(Problem("model-format", message, str(path)))
    return model


def refuse_folder_or_large(path: Path, limit_bytes: int = MODEL_LIMIT_BYTES) -> None:
    """Refuse a folder (``model-format``) and a file of more than `limit_bytes` (``model-size``)."""
    if path.is_dir():
        message = "This is a folder; a model is submitted as one ONNX file."
        raise BenchError(Problem("model-format", message, str(path)))
    if path.is_file() and (size := path.stat().st_size) > limit_bytes:
        message = f"The file has {size:,} bytes; at most {limit_bytes:,} are accepted."
        raise BenchError(Problem("model-size", message, str(path)))


def unreadable(path: Path) -> Callable[[str, str], BenchError]:
    """Return what makes the error of a model file that cannot be opened, from a message and a remedy."""
    return lambda message, remedy: BenchError(Problem("model-unreadable", message, str(path), remedy))


def _not_onnx(data: bytes, path: Path) -> Problem | None:
    if not data:
        return Problem("model-format", "The file is empty.", str(path))
    for magic, kind in _OTHER_FORMATS:
        if data.startswith(magic):
            return Problem("model-format", f"This is {kind}, not an ONNX file.", str(path))
    if data[4:8] == b"ORTM":
        return Problem("model-format", "This is ONNX Runtime's own format, not an ONNX file.", str(path))
    end = _walk(data)
    if end is None:
        return Problem("model-format", f"{len(data):,} bytes that are not an ONNX model.", str(path))
    if end > len(data):
        message = f"The file has {len(data):,} bytes; its content declares at least {end:,}."
        return Problem("model-truncated", message, str(path))
    return None


def _walk(data: bytes) -> int | None:
    """Return the end of the last first-level field; beyond the data if cut off, None if not ONNX."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind, number = tag & 7, tag >> 3
        if number not in _MODEL_FIELDS:
            return None
        if kind == _VARINT:
            _, position = _varint(data, position)
        elif kind == _LENGTH:
            length, position = _varint(data, position)
            position += length
        elif kind in (_FIXED32, _FIXED64):
            position += 4 if kind == _FIXED32 else 8
        else:
            return None
    return position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A base-128 number and where it ends; past the data if it is cut off."""
    value = 0
    for index, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    return value, len(data) + 1
