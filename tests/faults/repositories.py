"""A workspace that is a git repository, and the bare one that its pages are pushed to."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

REMOTE, BRANCH = "pages.git", "gh-pages"
_FOLDERS = (".git", REMOTE)
SETTINGS = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}
"""The same site is the same commit in every run."""


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words],
        cwd=folder,
        env={**os.environ, **SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{done.returncode} {done.stdout}{done.stderr}"


def make_repositories(root: Path) -> None:
    """Make both, empty; nothing is packed in the background, so that calls can be counted."""
    _git(root, "init", "--quiet", "--template=", "--initial-branch=main")
    _git(root, "init", "--quiet", "--template=", "--bare", REMOTE)
    _git(root, "remote", "add", "origin", f"./{REMOTE}")
    for folder in (root, root / REMOTE):
        for key, value in {"user.name": "A", "user.email": "a@example.org", "gc.auto": "0"}.items():
            _git(folder, "config", key, value)


def move_repositories(root: Path, folder: Path) -> None:
    """Take both out of a workspace."""
    folder.mkdir()
    for name in _FOLDERS:
        (root / name).rename(folder / name)


def add_repositories(folder: Path, root: Path) -> None:
    """Puts copies of both into a workspace."""
    for name in _FOLDERS:
        shutil.copytree(folder / name, root / name)


def belongs(path: Path) -> bool:
    """Whether a file of a workspace, by its relative path, is git's own."""
    return path.parts[0] in _FOLDERS


def described(root: Path) -> dict[str, bytes]:
    """What git finds in both: that every object is whole, and where their own branches are."""
    if not (root / REMOTE).is_dir():
        return {}
    looks = (("fsck", "--full", "--strict", "--no-dangling", "--no-progress"), ("for-each-ref", "refs/heads"))
    return {f"{name}: {words[0]}": _git(root / name, *words).encode() for name in _FOLDERS for words in looks}


def stale_locks(root: Path) -> list[Path]:
    """Locks of git, which outlive a holder that was killed."""
    return [path for name in _FOLDERS for path in (root / name).rglob("*.lock")]
