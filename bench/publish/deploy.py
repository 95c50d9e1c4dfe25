"""Publishing a built site as one commit on a branch, without touching the work tree or any local branch.

The commit is made whole from the folder and pushed as one reference, so that readers see the old site or the
new one. ghp-import would do most of this, but moves a local branch before it pushes, and a failed import ends
in a message only.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem

TIMEOUT_S = 600
NO_JEKYLL = ".nojekyll"
"""File that keeps GitHub from rewriting pages; every published site has it."""


@dataclass(frozen=True, slots=True)
class Published:
    """Outcome of a deployment: `changed` is False where the branch held exactly this site already."""

    commit: str
    changed: bool


def publish_folder(site: Path, repository: Path, *, remote: str, branch: str, message: str) -> Published:
    """Push all files of `site`, and nothing else, as the next commit of `branch`.

    Names that begin with a dot stay out, but for `NO_JEKYLL`.

    Args:
        site: A built and checked site.
        repository: A folder of the repository that knows the remote.
        remote: Name or address of the remote.
        branch: Branch at the remote; made where it is absent.
        message: Message of the commit.

    Raises:
        BenchError: git or the repository is missing (``publish-git``), the branch holds other files than a
            site (``publish-branch``), or the remote refused (``publish-refused``), for example since its
            branch moved meanwhile.
    """
    if remote.startswith("-") or not remote.isprintable():
        message = f"{remote[:60]!r} is neither the name nor the address of a remote."
        raise BenchError(Problem("publish-git", message), EXIT_ENVIRONMENT)
    git = _Git(repository)
    git("rev-parse", "--git-dir")
    reference = f"refs/heads/{branch}"
    git("check-ref-format", reference)
    parent = _tip(git, remote, reference)
    if parent and NO_JEKYLL not in (names := git("ls-tree", "--name-only", parent).splitlines()):
        message = f"Branch {branch!r} holds {len(names):,} files and folders that are not a built site."
        raise BenchError(Problem("publish-branch", message, remote))
    tree = _tree(git, site)
    if parent and git("rev-parse", f"{parent}^{{tree}}") == tree:
        return Published(parent, changed=False)
    parents = ("-p", parent) if parent else ()
    commit = git("commit-tree", tree, *parents, "-m", message)
    lease = f"--force-with-lease={reference}:{parent}"
    git("push", "--quiet", lease, "--end-of-options", remote, f"{commit}:{reference}", code="publish-refused")
    return Published(commit, changed=True)


def _tip(git: _Git, remote: str, reference: str) -> str:
    """The branch's commit at the remote, fetched; empty where there is no such branch."""
    listed = git("ls-remote", "--end-of-options", remote, reference, code="publish-refused").split()
    if not listed:
        return ""
    git("fetch", "--quiet", "--no-tags", "--end-of-options", remote, listed[0], code="publish-refused")
    return listed[0]


def _tree(git: _Git, site: Path) -> str:
    """The site as a tree object, by an index of its own; bytes go in as they are."""
    with tempfile.TemporaryDirectory() as temporary:
        own = {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
        names = [p.relative_to(site).as_posix() for p in sorted(site.rglob("*")) if p.is_file()]
        shown = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
        paths = "".join(f"{site / name}\n" for name in shown)
        hashes = git("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=paths).split()
        empty = git("hash-object", "-w", "--stdin")
        lines = [
            f"100644 {blob}\t{name}\n"
            for blob, name in [*zip(hashes, shown, strict=True), (empty, NO_JEKYLL)]
        ]
        git("update-index", "--add", "--index-info", stdin="".join(lines), extra=own)
        return git("write-tree", extra=own)


class _Git:
    """git in a repository; what fails becomes a problem."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository

    def __call__(
        self, *words: str, stdin: str = "", extra: dict[str, str] | None = None, code: str = "publish-git"
    ) -> str:
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(extra or {})}
        try:
            done = subprocess.run(
                ["git", *words],
                cwd=self.repository,
                env=environment,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            message = f"git {words[0]}: {type(error).__name__}."
            raise BenchError(Problem("publish-git", message), EXIT_ENVIRONMENT) from error
        if done.returncode:
            reason = " ".join(done.stderr.split())[:300] or f"exit {done.returncode}"
            exit_code = EXIT_ENVIRONMENT if code == "publish-git" else 1
            raise BenchError(Problem(code, f"git {words[0]}: {reason}"), exit_code)
        return done.stdout.strip()
