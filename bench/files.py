"""Files that are whole or absent: atomic durable writes, canonical JSON, content hashes."""

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
    """`value` rounded to `digits` significant decimal digits."""
    return float(f"{value:.{digits}g}")


def _number(value: float) -> str:
    """`value` with 9 significant digits, as `repr` writes it."""
    if not math.isfinite(value):
        raise ValueError(f"{value} cannot be stored: undefined is null with a reason")
    text = f"{value:.{SIGNIFICANT_DIGITS}g}"
    if "." in text and "e" not in text:
        return text
    return repr(float(text) + 0.0)  # -0.0 and 0.0 are one value


def _text(value: Any, line: str) -> str:
    """JSON of `value`, whose lines begin with `line`: a line break and the spaces of its depth."""
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
    """JSON with sorted keys and 9 significant digits: equal content gives equal bytes.

    The bytes are those of `json.dumps(..., sort_keys=True, indent=1, ensure_ascii=False)`, which in Python
    takes three times as long.

    Raises:
        ValueError: A number is NaN or infinite.
        TypeError: Something is not plain data.
    """
    return _text(value, "\n").encode() + b"\n"


def sha256_bytes(data: bytes) -> str:
    """Lower-case hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Lower-case hex SHA-256 of a file's content, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Makes a folder with those above it, durably."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        _sync(folder.parent)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place, durably, when the block ends without an error."""
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
    """Writes `data` so that at any moment `path` is the whole old file or the whole new one."""
    with atomic_path(path) as part:
        part.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Writes canonical JSON atomically."""
    write_atomic(path, canonical_json(value))


@contextmanager
def atomic_folder(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends without an error.

    Where the system can, old and new change places in one step; elsewhere the old one is moved aside first,
    and `recover_folders` puts it back should the process die in between. Two processes must not do this for
    one path at the same time: hold a lock.

    Args:
        path: The folder.
        durable: Whether to wait until every file is on the disk; not worth it for what can be built again.
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
    """Puts `part` in the place of `path`; what was there is in `part` afterwards, or gone."""
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


def _exchange(one: Path, other: Path) -> bool:
    """Lets two paths change places in one step; False where the system or the file system cannot."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if function is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if function(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def recover_folders(folder: Path, name: str = "*") -> None:
    """Clears up in `folder` after processes that died within `atomic_folder`; hold the lock.

    A folder that was moved aside and whose successor never came is put back.

    Args:
        folder: What holds the folders.
        name: Name of the one that the lock is of; all of them by default.
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
    """Removes files that processes that died within `atomic_path` left in `folder`; hold its lock."""
    for part in folder.glob(f".*{PART}"):
        if part.is_file() and not part.is_symlink():
            part.unlink(missing_ok=True)


NAME = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(?:\./)?(.+)")


def read_sums(data: bytes) -> tuple[dict[str, str], int]:
    """The list in a checksum file, in any form that `sha256sum -c` or an editor of Windows leaves.

    Args:
        data: Lines ``SHA-256  file``; a byte order mark, carriage returns, upper-case digits, the mark ``*``
            of binary files and ``./`` before names are passed over.

    Returns:
        File → its SHA-256 in lower case; how many lines are of another form.

    Raises:
        UnicodeDecodeError: It is not UTF-8 text.
    """
    lines = [line.rstrip("\r") for line in data.decode("utf-8-sig").split("\n")]
    found = [_LINE.fullmatch(line) for line in lines if line.strip()]
    return {m[2]: m[1].lower() for m in found if m}, sum(m is None for m in found)


def write_sums(folder: Path) -> Path:
    """Writes the manifest of every file in `folder`; hidden files, such as locks, are left out.

    Raises:
        BenchError: There is no such folder or no file in it (``sums-missing``), or a name has a line
            break (``sums-name``).
    """
    files = _files(folder)
    if not files:
        message = "There is no file to hash in it." if folder.is_dir() else "There is no such folder."
        raise BenchError(Problem("sums-missing", message, str(folder)))
    if odd := sum("\n" in name or "\r" in name for name in files):
        raise BenchError(Problem("sums-name", f"{odd} names have a line break.", str(folder)))
    text = "".join(f"{sha256_file(path)}  {name}\n" for name, path in files.items())
    write_atomic(folder / NAME, text.encode())
    return folder / NAME


def check_sums(folder: Path) -> list[Problem]:
    """What differs between a folder and its manifest: files that changed, are gone, or were added.

    Raises:
        BenchError: There is no manifest, or it is none (``sums-missing``).
    """
    try:
        said, unread = read_sums((folder / NAME).read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(
            Problem("sums-missing", f"There is no readable {NAME} in it.", str(folder))
        ) from error
    if unread or not said:
        message = f"It is no manifest of {NAME}'s form: {unread} lines are not `SHA-256  file`."
        raise BenchError(Problem("sums-missing", message, str(folder / NAME)))
    files = _files(folder)
    return [
        Problem("sums-differ", f"{name} {what}.", str(folder))
        for names, what in (
            (said.keys() - files.keys(), "is not there"),
            (files.keys() - said.keys(), "is not in the manifest"),
            (
                {n for n in said.keys() & files.keys() if sha256_file(files[n]) != said[n]},
                "has other content",
            ),
        )
        for name in sorted(names)
    ]


def _files(folder: Path) -> dict[str, Path]:
    """Relative name → path; links are not followed."""
    found = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    return {
        n: p
        for n, p in found.items()
        if n != NAME and not any(part.startswith(".") for part in Path(n).parts)
    }
