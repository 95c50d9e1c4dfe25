"""Atomic durable writes, canonical JSON, content hashes and SHA256SUMS."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from bench.errors import BenchError, Problem
from bench.locks import locked as locked

PART, OLD = ".part", ".old"
SIGNIFICANT_DIGITS = 9


def round_significant(value: float, digits: int = SIGNIFICANT_DIGITS) -> float:
    """Round to `digits` significant decimal digits."""
    return float(f"{value:.{digits}g}")


def _number(value: float) -> str:
    """Format with 9 significant digits, as `repr` does."""
    if not math.isfinite(value):
        raise ValueError(f"{value} cannot be stored: undefined is null with a reason")
    text = f"{value:.{SIGNIFICANT_DIGITS}g}"
    if "." in text and "e" not in text:
        return text
    return repr(float(text) + 0.0)  # -0.0 becomes 0.0


def _text(value: Any, line: str) -> str:
    """Encode `value` as JSON; `line` is a line break followed by the indentation of its depth."""
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, float):
        return _number(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    deeper = line + " "
    if isinstance(value, Mapping):
        named = {str(key): item for key, item in value.items()}
        rows = [f"{encode_basestring(key)}: {_text(named[key], deeper)}" for key in sorted(named)]
        return f"{{{deeper}{f',{deeper}'.join(rows)}{line}}}" if rows else "{}"
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        rows = [_text(item, deeper) for item in value]
        return f"[{deeper}{f',{deeper}'.join(rows)}{line}]" if rows else "[]"
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")


def canonical_json(value: Any) -> bytes:
    """Encode as JSON with sorted keys and 9 significant digits, so that equal content gives equal bytes.

    The bytes equal those of `json.dumps(..., sort_keys=True, indent=1, ensure_ascii=False)`, which takes
    three times as long.

    Raises:
        ValueError: A number is NaN or infinite.
        TypeError: A value is not plain data.
    """
    return _text(value, "\n").encode() + b"\n"


def sha256_bytes(data: bytes) -> str:
    """Return the lower-case hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the lower-case hex SHA-256 of a file's content, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Flush a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create a folder and its parents, durably."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        _sync(folder.parent)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that durably replaces it when the block ends without an error."""
    make_folder(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
    os.close(descriptor)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that at any moment `path` is the whole old file or the whole new one."""
    with atomic_path(path) as part:
        part.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write canonical JSON atomically."""
    write_atomic(path, canonical_json(value))


@contextmanager
def atomic_folder(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that replaces it when the block ends without an error.

    If the system can, old and new are exchanged in one step; otherwise the old one is moved aside first, and
    `recover_folders` restores it if the process dies in between. Hold a lock: two processes must not replace
    the same path at the same time.

    Args:
        path: The folder.
        durable: Whether to wait until every file is on the disk; unnecessary for files that can be rebuilt.
    """
    make_folder(path.parent)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent))
    part.chmod(0o755)
    try:
        yield part
        if durable:
            for inner in (*part.rglob("*"), part):
                _sync(inner)
        _swap_in(part, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _swap_in(part: Path, path: Path) -> None:
    """Replace `path` by `part`; the old folder is at `part` afterwards, or removed."""
    if not path.exists():
        part.replace(path)
        return
    if _exchange(part, path):
        return
    old = part.with_suffix(OLD)
    path.replace(old)
    try:
        part.replace(path)
    except BaseException:
        old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two paths in one step; return False if the system or the file system cannot."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if function is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if function(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(second))


def recover_folders(folder: Path, name: str = "*") -> None:
    """Clean up in `folder` after processes that died within `atomic_folder`; hold the lock.

    A folder that was moved aside and not replaced is restored.

    Args:
        folder: Parent of the folders.
        name: Name of the folder that the lock protects; all of them by default.
    """
    for old in folder.glob(f".{name}.*{OLD}"):
        path = folder / old.name[1:].rsplit(".", 2)[0]
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.replace(path)
    for part in folder.glob(f".{name}.*{PART}"):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)


def clear_parts(folder: Path) -> None:
    """Remove temporary files left in `folder` by processes that died within `atomic_path`; hold its lock."""
    for part in folder.glob(f".*{PART}"):
        if part.is_file() and not part.is_symlink():
            part.unlink(missing_ok=True)


NAME = "SHA256SUMS"
_SUMS_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(?:\./)?(.+)")


def read_sums(data: bytes) -> tuple[dict[str, str], int]:
    """Parse a checksum file in any form that `sha256sum -c` accepts or an editor of Windows leaves.

    Args:
        data: Lines ``SHA-256  file``. Byte order mark, carriage returns, upper-case digits, the mark ``*`` of
            binary files and ``./`` before names are accepted; blank lines are skipped.

    Returns:
        File → its SHA-256 in lower case, and the number of lines in another form.

    Raises:
        UnicodeDecodeError: Not UTF-8 text.
    """
    lines = [line.rstrip("\r") for line in data.decode("utf-8-sig").split("\n")]
    matches = [_SUMS_LINE.fullmatch(line) for line in lines if line.strip()]
    return {m[2]: m[1].lower() for m in matches if m}, sum(m is None for m in matches)


def write_sums(folder: Path) -> Path:
    """Write ``SHA256SUMS`` for every file in `folder`, except hidden files such as locks.

    Raises:
        BenchError: No such folder or no file in it (``sums-missing``), or a name has a line break
            (``sums-name``).
    """
    files = _files(folder)
    if not files:
        message = "There is no file to hash in it." if folder.is_dir() else "There is no such folder."
        raise BenchError(Problem("sums-missing", message, str(folder)))
    if unwritable := sum("\n" in name or "\r" in name for name in files):
        raise BenchError(Problem("sums-name", f"{unwritable} names have a line break.", str(folder)))
    text = "".join(f"{sha256_file(path)}  {name}\n" for name, path in files.items())
    write_atomic(folder / NAME, text.encode())
    return folder / NAME


def check_sums(folder: Path) -> list[Problem]:
    """Report files that changed, are missing or were added since ``SHA256SUMS`` was written.

    Raises:
        BenchError: ``SHA256SUMS`` is missing or has another form (``sums-missing``).
    """
    try:
        listed, unread = read_sums((folder / NAME).read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(
            Problem("sums-missing", f"There is no readable {NAME} in it.", str(folder))
        ) from error
    if unread or not listed:
        message = (
            f"{unread:,} lines do not have the form 'SHA-256  file'." if unread else "The file is empty."
        )
        raise BenchError(Problem("sums-missing", message, str(folder / NAME)))
    files = _files(folder)
    return [
        Problem("sums-differ", f"{name} {what}.", str(folder))
        for names, what in (
            (listed.keys() - files.keys(), "is not there"),
            (files.keys() - listed.keys(), "is not in the manifest"),
            (
                {n for n in listed.keys() & files.keys() if sha256_file(files[n]) != listed[n]},
                "has other content",
            ),
        )
        for name in sorted(names)
    ]


def _files(folder: Path) -> dict[str, Path]:
    """Map relative names to paths; links are not followed."""
    paths = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    return {
        n: p
        for n, p in paths.items()
        if n != NAME and not any(part.startswith(".") for part in Path(n).parts)
    }
