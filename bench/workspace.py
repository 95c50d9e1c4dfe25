"""Paths of a workspace; no other module names them.

A workspace is a folder with a ``bench.toml``. This repository is one; `bench init` creates others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.choices import LabelMode
from bench.documents import read_table
from bench.errors import BenchError, Problem, did_you_mean
from bench.files import write_atomic

MARKER = "bench.toml"
SITE_KEYS = "sites.toml"
DEFAULTS = {
    "cohort": "demo",
    "submissions": "submissions",
    "site": "site/public",
    "key": "",
    "team_entries": "all",
    "ladder": "off",
}
DATA_VARIABLE = "BENCH_DATA"

MANIFEST = "submission.toml"
PREDICTIONS = "predictions.parquet"
VAL_PREDICTIONS = "val_predictions.parquet"
LABEL_EFFICIENCY = "label_efficiency.parquet"
RUNS = "runs.parquet"
SCORECARD = "scorecard.json"
RETRACTION = "retraction.json"
TIMINGS = "timings"
"""Files and the folder of one stored submission."""
SEALED_PREDICTIONS = "predictions.age"
SEALED_VAL_PREDICTIONS = "val_predictions.age"
SEALED_LABEL_EFFICIENCY = "label_efficiency.age"
SEALED_RUNS = "runs.age"
SEAL = "seal.json"
PUBLISHED = "published.json"
"""Files of an entry of a cohort whose labels are not public: what may be published in place of the others."""
ENTRY_FILES = (
    MANIFEST,
    PREDICTIONS,
    VAL_PREDICTIONS,
    LABEL_EFFICIENCY,
    RUNS,
    SCORECARD,
    RETRACTION,
    SEALED_PREDICTIONS,
    SEALED_VAL_PREDICTIONS,
    SEALED_LABEL_EFFICIENCY,
    SEALED_RUNS,
    SEAL,
    PUBLISHED,
)
"""Files that an entry may hold, beside the records in its folder of timings."""

STORE_LOCK = ".lock"
RENAMING = ".renaming.json"
BOARD = "board.json"
PUBLISHED_BOARD = "published_board.json"
SPLIT_LOCK = "split.lock.json"
ATTEMPTS = "_attempts"
REGISTERED = "_registered"
"""Files and the folder beside a cohort's submissions; no slug can have these names."""

PREDICTIONS_CSV = "predictions.csv"
VAL_PREDICTIONS_CSV = "val-predictions.csv"
"""Predictions files of a template or of a baseline's run."""

NEW_WORKSPACE = """\
# This file marks a CheXchoBench workspace. Paths are relative to it.
cohort = {cohort}  # used where --cohort is not given
{site}
# [site]  # the pages
# title = "Our board"
# announcement = "Submissions close on 1 March."
# base = "https://example.org/board/"

[data]  # where each cohort's files lie; default data/<cohort id>
"""


SITE_TITLE = "CheXchoBench"


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """The table ``[site]`` of ``bench.toml``.

    Attributes:
        cohorts: Cohorts that the pages show, the first at the root; empty for all that have entries.
        base: Path or address under which the pages stand.
        announcement: What every page says at its top, such as a deadline; plain text.
        exports: Whether boards with public labels are published in the formats of other catalogues too.
        title: Name of the site at the top of every page, in titles and feeds; plain text.
    """

    cohorts: tuple[str, ...] = ()
    base: str = "/"
    announcement: str = ""
    exports: bool = True
    title: str = SITE_TITLE


@dataclass(frozen=True, slots=True)
class Workspace:
    """The paths of one workspace.

    Attributes:
        root: Folder that holds ``bench.toml``.
        cohort: Default cohort: a built-in id or the path of a spec.
        data_folders: Cohort id → data folder, as ``bench.toml`` says.
        cohorts: Cohorts that have boards beside the default one: built-in ids or paths of specs.
        pages: What the pages show, as the table ``[site]`` says.
        key: Public key that predictions are encrypted to where labels are shared; empty without one.
        one_per_team: Whether a board ranks only the highest entry of each team.
        ladder: Whether a team's new entry is shown only if it beats its best by more than noise.
        store: Folder of stored submissions, one folder per cohort.
        site: Folder the site is built into.
    """

    root: Path
    cohort: str
    store: Path
    site: Path
    data_folders: dict[str, Path] = field(default_factory=dict)
    cohorts: tuple[str, ...] = ()
    pages: SiteSettings = field(default_factory=lambda: SiteSettings())
    key: str = ""
    one_per_team: bool = False
    ladder: bool = False

    def data(self, cohort_id: str, override: Path | None = None) -> Path:
        """Folder of a cohort's files: `override`, ``BENCH_DATA``, bench.toml's, or ``data/<cohort>``."""
        if override is not None:
            return override
        if os.environ.get(DATA_VARIABLE):
            return Path(os.environ[DATA_VARIABLE])
        return self.data_folders.get(cohort_id, self.root / "data" / cohort_id)

    def submissions(self, cohort_id: str) -> Path:
        """Folder of a cohort's stored submissions, one folder per slug."""
        return self.store / cohort_id

    def submission(self, cohort_id: str, slug: str) -> Path:
        """Folder of one stored submission."""
        return self.submissions(cohort_id) / slug

    def board(self, cohort_id: str) -> Path:
        """Stored board of a cohort: comparisons of all its entries, written by `bench score`."""
        return board_file(self.submissions(cohort_id))

    def split_lock(self, cohort_id: str) -> Path:
        """Split lock of a cohort: fingerprint and counts, without ids."""
        return self.submissions(cohort_id) / SPLIT_LOCK

    def model(self, sha256: str) -> Path:
        """Local copy of a submitted model, named by its content; never published."""
        return self.root / "models" / f"{sha256}.onnx"

    def run(self, cohort_id: str, name: str) -> Path:
        """Working folder of a baseline's training run."""
        return self.root / "runs" / cohort_id / name

    @property
    def cache(self) -> Path:
        """Folder of files that can be recomputed: replicates, decoded images."""
        return self.root / ".bench" / "cache"

    @property
    def replicates(self) -> Path:
        """Cached bootstrap replicates, one file for each entry and its draws."""
        return self.cache / "replicates"

    @property
    def marker(self) -> Path:
        """The file that marks the workspace and configures it."""
        return self.root / MARKER

    def demo(self, size: str = "") -> Path:
        """Folder of the demo's own workspace; `size` sets boards of other sizes apart."""
        return self.root / "data" / f"demo-board{size}"

    def demo_data(self, size: str = "") -> Path:
        """Data folder of a demo cohort of another size than the default."""
        return self.root / "data" / f"demo{size}"

    @property
    def site_keys(self) -> Path:
        """Hospitals of a board over several, with their public keys."""
        return self.root / SITE_KEYS

    @property
    def hospitals(self) -> Path:
        """Folder of the signed aggregates of hospitals, one file each."""
        return self.root / "hospitals"

    @property
    def published(self) -> tuple[Path, ...]:
        """Folders whose files are committed or published, wherever they lie."""
        return self.root, self.store, self.site

    @property
    def ignoring(self) -> Path:
        """Folder whose .gitignore keeps files of the store back: the root, unless the store is elsewhere."""
        return self.root if self.store.is_relative_to(self.root) else self.store

    @property
    def releases(self) -> Path:
        """Folder of archives of frozen releases of the site."""
        return self.root / "releases"


def board_file(submissions: Path, labels: LabelMode = LabelMode.PUBLIC) -> Path:
    """The board beside a cohort's submissions; its published part where labels are not public."""
    return submissions / (BOARD if labels is LabelMode.PUBLIC else PUBLISHED_BOARD)


KEPT_BACK = {
    LabelMode.PUBLIC: (),
    LabelMode.SHARED: (PREDICTIONS, VAL_PREDICTIONS, LABEL_EFFICIENCY, RUNS, SCORECARD, BOARD),
    LabelMode.PRIVATE: (
        PREDICTIONS,
        VAL_PREDICTIONS,
        LABEL_EFFICIENCY,
        RUNS,
        SEALED_PREDICTIONS,
        SEALED_VAL_PREDICTIONS,
        SEALED_LABEL_EFFICIENCY,
        SEALED_RUNS,
        SEAL,
        SCORECARD,
        BOARD,
        TIMINGS,
    ),
}
"""Files of a cohort's submissions that are never published, by who has the labels."""


def kept_back_files(submissions: Path, labels: LabelMode) -> list[Path]:
    """Files in a cohort's folder of submissions that must not be published."""
    if not (names := KEPT_BACK[labels]):
        return []
    paths = (path for path in submissions.rglob("*") if path.is_file())
    return sorted(p for p in paths if set(p.relative_to(submissions).parts) & set(names))


def unpublishable_files(folder: Path) -> list[Path]:
    """Files in any folder that must not be published: their published form stands beside them."""
    named = [
        (name, (SEAL, PUBLISHED))
        for name in (PREDICTIONS, VAL_PREDICTIONS, LABEL_EFFICIENCY, RUNS, SCORECARD)
    ]
    return sorted(
        path
        for name, siblings in (*named, (BOARD, (PUBLISHED_BOARD,)))
        for path in folder.rglob(name)
        if any((path.parent / sibling).exists() for sibling in siblings)
    )


LOCAL_FILES = ("/data/", "/models/", "/runs/", "/.bench/", "/site/public/", "*.part", "*.old", ".lock")
"""What the .gitignore of a workspace names besides files that are kept back."""


def ignored_files(space: Workspace, cohort_id: str, labels: LabelMode) -> tuple[str, ...]:
    """Lines that the .gitignore of `Workspace.ignoring` needs to keep back what must not be published."""
    place = space.submissions(cohort_id).relative_to(space.ignoring).as_posix()
    return tuple(f"/{place}/**/{name}" for name in KEPT_BACK[labels])


def ignore_kept_back(space: Workspace, cohort_id: str, labels: LabelMode) -> None:
    """Make git ignore what must not be published of a cohort, also of one that `bench init` did not name."""
    add_ignored(space.ignoring, ignored_files(space, cohort_id, labels))


def add_ignored(folder: Path, wanted: Iterable[str]) -> None:
    """Add those of these lines that the .gitignore of a folder lacks, whatever else it holds."""
    path = folder / ".gitignore"
    before = path.read_bytes() if path.exists() else b""
    missing = [line for line in map(str.encode, wanted) if line not in before.splitlines()]
    if missing:
        ending = b"\n" if before and not before.endswith(b"\n") else b""
        write_atomic(path, before + ending + b"".join(line + b"\n" for line in missing))


def attempts_folder(submissions: Path) -> Path:
    """The ledger of attempts beside a cohort's submissions, one file for each slug."""
    return submissions / ATTEMPTS


def find_workspace(start: Path | None = None) -> Workspace:
    """Find the workspace that contains `start` (default: the current folder).

    Raises:
        BenchError: No ``bench.toml`` here or above (``workspace-missing``), or one that cannot be read.
    """
    folder = (start or Path.cwd()).resolve()
    for root in (folder, *folder.parents):
        if is_workspace(root):
            return _read_workspace(root)
    raise BenchError(
        Problem("workspace-missing", f"No {MARKER} in this folder or above it.", where=str(folder))
    )


def is_workspace(folder: Path) -> bool:
    """Return whether a folder is the root of a workspace."""
    return (folder / MARKER).is_file()


def refuse_key_in_workspace(path: Path, *folders: Path) -> None:
    """Refuse a file of a private key that lies in a workspace, or in other folders of one.

    Args:
        path: The file, which need not exist.
        folders: Folders beside the roots of workspaces: a store or site elsewhere, a root that is yet to be.

    Raises:
        BenchError: It does (``key-in-workspace``).
    """
    place = path.resolve()
    inside = any(map(place.is_relative_to, (folder.resolve() for folder in folders)))
    if inside or any(map(is_workspace, place.parents)):
        message = "A private key in the workspace could be published with it."
        raise BenchError(Problem("key-in-workspace", message, str(path)))


def refuse_key_to_commit(path: Path) -> None:
    """Refuse a new file of a private key in a checkout of git, which could be committed.

    Raises:
        BenchError: A folder above it is a checkout (``key-in-checkout``).
    """
    for parent in path.resolve().parents:
        if (parent / ".git").exists():
            message = f"A private key in the git checkout {parent} could be committed and pushed."
            raise BenchError(Problem("key-in-checkout", message, str(path)))


def create_workspace(
    root: str | Path,
    cohort: str = "demo",
    data: Mapping[str, str | Path] | None = None,
    site: str | Path | None = None,
) -> Workspace:
    """Create an empty workspace in `root`, which may exist but must not be a workspace.

    Args:
        root: Its folder.
        cohort: Default cohort.
        data: Cohort id → folder of its files, where it is not ``data/<cohort>``.
        site: Folder of its pages, where it is not ``site/public``.

    Raises:
        BenchError: `root` is a workspace already (``workspace-exists``).
    """
    root = Path(root)
    marker = root / MARKER
    if marker.exists():
        raise BenchError(Problem("workspace-exists", f"{MARKER} is there already.", where=str(marker)))
    (root / "submissions").mkdir(parents=True, exist_ok=True)
    folders = "".join(f"{_quoted(name)} = {_quoted(str(path))}\n" for name, path in (data or {}).items())
    pages = f"site = {_quoted(str(site))}\n" if site else ""
    marker.write_text(NEW_WORKSPACE.format(cohort=_quoted(cohort), site=pages) + folders, "utf-8")
    return _read_workspace(root.resolve())


def _quoted(text: str) -> str:
    """A TOML string; JSON's quoting is TOML's, but for its pairs of escapes beyond the basic plane."""
    return json.dumps(text, ensure_ascii=False)


def _read_workspace(root: Path) -> Workspace:
    where = root / MARKER
    try:
        text = where.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _config_error(f"Not UTF-8 text: {error.reason}.", where) from error
    config = read_table(text, "workspace-config", str(where))
    if unknown := sorted(set(config) - set(TOP_KEYS)):
        raise _config_error(f"Unknown keys {unknown}.{did_you_mean(unknown[0], TOP_KEYS)}", where)
    cohorts = _texts(config.pop("cohorts", []), "cohorts", where)
    pages, folder = _site_settings(config.pop("site", {}), where)
    config["site"] = folder
    folders = config.pop("data", {})
    misplaced = _misplaced(folders) if isinstance(folders, dict) else ""
    if misplaced or not isinstance(folders, dict) or not all(isinstance(v, str) for v in folders.values()):
        raise _config_error(f"[data] must map cohort ids to folders.{misplaced}", where)
    config_with_defaults: dict[str, Any] = {**DEFAULTS, **config}
    if wrong := [key for key, value in config_with_defaults.items() if not isinstance(value, str)]:
        raise _config_error(f"{' and '.join(wrong)} must be text.", where)
    if config_with_defaults["team_entries"] not in ("one", "all"):
        raise _config_error('team_entries must be "one" or "all".', where)
    if config_with_defaults["ladder"] not in ("on", "off"):
        raise _config_error('ladder must be "on" or "off".', where)
    return Workspace(
        root=root,
        cohort=config_with_defaults["cohort"],
        store=root / config_with_defaults["submissions"],
        site=root / config_with_defaults["site"],
        data_folders={name: root / folder for name, folder in folders.items()},
        cohorts=cohorts,
        pages=pages,
        key=config_with_defaults["key"],
        one_per_team=config_with_defaults["team_entries"] == "one",
        ladder=config_with_defaults["ladder"] == "on",
    )


TOP_KEYS = (*DEFAULTS, "data", "cohorts")
"""Keys of ``bench.toml`` that stand above its first table."""


def _misplaced(keys: Iterable[str]) -> str:
    """Say which of a table's keys belong to the file itself; empty where none does."""
    settings = sorted(set(keys) & (set(TOP_KEYS) - {"data", "site"}))
    return f" Write {' and '.join(settings)} above the first [table] of the file." if settings else ""


LONGEST_TITLE = 60


def _site_settings(section: Any, where: Path) -> tuple[SiteSettings, str]:
    """The settings of the pages and their folder; ``site = "DIR"`` names the folder alone."""
    if not isinstance(section, dict):
        return SiteSettings(), section
    known = ["folder", "cohorts", "base", "announcement", "exports", "title"]
    if unknown := sorted(set(section) - set(known)):
        hint = _misplaced(unknown) or did_you_mean(unknown[0], known)
        raise _config_error(f"[site]: unknown keys {unknown}.{hint}", where)
    base, announcement = section.get("base", "/"), section.get("announcement", "")
    title = section.get("title", SITE_TITLE)
    if not all(isinstance(text, str) for text in (base, announcement, title)):
        raise _config_error("[site] base, announcement and title must be text.", where)
    if not title.strip() or len(title) > LONGEST_TITLE:
        raise _config_error(f"[site] title must have 1 to {LONGEST_TITLE} characters.", where)
    exports = section.get("exports", True)
    if not isinstance(exports, bool):
        raise _config_error("[site] exports must be true or false.", where)
    cohorts = _texts(section.get("cohorts", []), "[site] cohorts", where)
    return SiteSettings(cohorts, base, announcement, exports, title.strip()), section.get(
        "folder", DEFAULTS["site"]
    )


def _texts(value: Any, name: str, where: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _config_error(f"{name} must be a list of texts.", where)
    return tuple(value)


def _config_error(message: str, where: Path) -> BenchError:
    return BenchError(Problem("workspace-config", message, where=str(where)))
