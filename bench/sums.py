"""One manifest of hashes for a folder that is handed on: ``SHA256SUMS``, as `sha256sum -c` reads it."""

from __future__ import annotations

import re
from pathlib import Path

from bench.errors import BenchError, Problem
from bench.files import sha256_file, write_atomic

NAME = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


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
        lines = (folder / NAME).read_bytes().decode().removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(
            Problem("sums-missing", f"There is no readable {NAME} in it.", str(folder))
        ) from error
    found = [_LINE.fullmatch(line) for line in lines]
    if not all(found):
        raise BenchError(Problem("sums-missing", f"It is no manifest of {NAME}'s form.", str(folder / NAME)))
    said = {match[2]: match[1] for match in found if match}
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
