"""Workspaces and the key pair that predictions are sealed with where labels are shared."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from bench.actions.context import WorkspaceChoice, choose_spec, open_workspace, workspace_specs
from bench.actions.maintain import init_workspace
from bench.choices import LabelMode
from bench.cohort.spec import CohortSpec, load_spec
from bench.errors import BenchError
from bench.files import locked, write_atomic
from bench.submission.sealed import (
    PrivateKey,
    new_key,
    open_entry,
    require_place_for_key,
    seal_entry,
    write_key,
)
from bench.submission.store import Submission, list_submissions
from bench.workspace import (
    LOCAL_FILES,
    STORE_LOCK,
    Workspace,
    add_ignored,
    find_workspace,
    ignore_kept_back,
)


@dataclass(frozen=True, slots=True)
class NewWorkspace:
    """A new workspace.

    Attributes:
        space: The workspace.
        spec: Spec of its default cohort.
        key_file: New file with the private key, outside the workspace; None where no key pair was made.
    """

    space: Workspace
    spec: CohortSpec
    key_file: Path | None


def init(folder: str | Path, cohort: str = "demo", key_file: str | Path | None = None) -> NewWorkspace:
    """Make a workspace as `init_workspace` does, with the key pair that shared labels need.

    Args:
        folder: Its folder.
        cohort: Default cohort: a built-in id or the path of a spec.
        key_file: New file for the private key, outside the workspace; default: beside its folder, with the
            ending ``.agekey``. Only used where labels are shared.

    Raises:
        BenchError: The folder is a workspace, the spec is not valid, or the key file exists or lies where
            it could be published.
    """
    spec, root = load_spec(cohort), Path(folder)
    shared = spec.labels is LabelMode.SHARED
    chosen = Path(key_file) if key_file else root.resolve().with_suffix(".agekey")
    key = new_key() if shared else None
    if key is not None:
        require_place_for_key(chosen, root)
    space, spec = init_workspace(root, cohort)
    add_ignored(space.root, (*LOCAL_FILES, "*.agekey", "*.pem"))
    ignore_kept_back(space, spec.id, spec.labels)
    if key is None:
        return NewWorkspace(space, spec, None)
    write_key(chosen, key)
    return NewWorkspace(_with_key(space, key), spec, chosen)


def _with_key(space: Workspace, key: PrivateKey) -> Workspace:
    """Write the public key into bench.toml and read the workspace again."""
    text, line = space.marker.read_text("utf-8-sig"), f"key = {json.dumps(key.public)}\n"
    changed, count = re.subn(r"(?m)^key\s*=.*\n?", line, text, count=1)
    write_atomic(space.marker, (changed if count else line + text).encode())
    return find_workspace(space.root)


@dataclass(frozen=True, slots=True)
class SealResult:
    """Sealed entries.

    Attributes:
        key: The public key.
        sealed: Entries that were sealed anew: their slugs, with the cohort before it where that is not the
            default one (``hospital/resnet``).
        unreadable: Entries that stay sealed for another key, since their predictions are not here.
    """

    key: str
    sealed: tuple[str, ...]
    unreadable: tuple[str, ...]


def new_board_key(key_file: str | Path, *, workspace: WorkspaceChoice | None = None) -> SealResult:
    """Make a new key pair for the workspace, and seal the entries of its cohorts with shared labels for it.

    Entries whose predictions are only there sealed are opened first, with the key that is in use until now.

    Args:
        key_file: New file for the private key, outside the workspace.
        workspace: The workspace; default: the one that holds the current folder.

    Raises:
        BenchError: The file exists, or lies in a workspace or a checkout of git. Nothing was changed then.
    """
    space = open_workspace(workspace)
    require_place_for_key(Path(key_file), *space.published)
    unreadable = _open_all(space)
    key = new_key()
    write_key(Path(key_file), key)
    with locked(space.store / STORE_LOCK):
        space = _with_key(space, key)
    return _seal_all(space, unreadable)


def seal_entries(*, workspace: WorkspaceChoice | None = None) -> SealResult:
    """Seal the entries of all cohorts with shared labels that are not sealed for the workspace's public key.

    Args:
        workspace: The workspace; default: the one that holds the current folder.

    Raises:
        BenchError: The workspace has no public key (``key-invalid``).
    """
    space = open_workspace(workspace)
    return _seal_all(space, _open_all(space))


def _entries(space: Workspace) -> dict[str, Submission]:
    """Return the entries with predictions of all cohorts with shared labels, named as in `SealResult`."""
    default = choose_spec(None, space).id
    return {
        entry.slug if spec.id == default else f"{spec.id}/{entry.slug}": entry
        for spec in workspace_specs(space)
        if spec.labels is LabelMode.SHARED
        for entry in list_submissions(space.submissions(spec.id))
        if entry.manifest.kind != "reported"
    }


def _open_all(space: Workspace) -> tuple[str, ...]:
    """Decrypt what is only there sealed; return the names of entries that no given key opens."""
    unreadable = []
    for name, entry in _entries(space).items():
        try:
            open_entry(entry, space.root)
        except BenchError as error:
            if {problem.code for problem in error.problems} - {"key-missing", "key-wrong"}:
                raise
            unreadable.append(name)
    return tuple(unreadable)


def _seal_all(space: Workspace, unreadable: tuple[str, ...]) -> SealResult:
    stored = {name: entry for name, entry in _entries(space).items() if entry.predictions.exists()}
    sealed = tuple(name for name, entry in stored.items() if seal_entry(entry, space.key))
    return SealResult(space.key, sealed, unreadable)
