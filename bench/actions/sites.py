"""Hospitals: write the signed aggregate of one, and compute the board over several."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from bench.actions.board import read_board
from bench.actions.context import (
    CohortChoice,
    EntryChoice,
    WorkspaceChoice,
    open_cohort,
    open_workspace,
    scored_entries,
)
from bench.choices import Track
from bench.documents import Document, read_toml
from bench.errors import BenchError, Problem, collecting, raise_errors
from bench.federation.aggregate import PREDICATE, site_aggregate
from bench.federation.model import SiteAggregate, SitesBoard, TransferBoard
from bench.federation.pooled import ReadAggregate, check_sites, pooled_board
from bench.federation.signature import (
    PublicKey,
    new_key,
    parse_predicate,
    read_key,
    read_statement,
    write_statement,
)
from bench.federation.transfer import transfer
from bench.scoring.run import entry_replicates, make_plans
from bench.scoring.scorecard import Scorecard, hashed_scorecard
from bench.submission.manifest import SLUG_PATTERN, SLUG_RULE
from bench.submission.packed import read_stamp
from bench.submission.store import Submission
from bench.workspace import refuse_key_in_workspace, refuse_key_to_commit


class SiteKeys(Document):
    """``sites.toml``: the hospitals of a board with their public keys."""

    sites: dict[str, PublicKey] = Field(min_length=1)


def check_site_name(site: str) -> None:
    """Refuse a name that no hospital can have (``site-name``)."""
    if not re.fullmatch(SLUG_PATTERN, site):
        message = f"{site[:80]!r} cannot be the name of a site, which has {SLUG_RULE}."
        raise BenchError(Problem("site-name", message))


def make_site_key(file: str | Path, site: str) -> str:
    """Make the key pair that a hospital signs with; write the private key.

    Args:
        file: New file for the private key, which stays in the hospital.
        site: Name of the hospital.

    Returns:
        The public key as a line of ``sites.toml``.

    Raises:
        BenchError: The file exists (``sign-key-exists``) or lies in a workspace (``key-in-workspace``)
            or a checkout of git (``key-in-checkout``), or the extra ``sign`` is not installed.
    """
    check_site_name(site)
    refuse_key_in_workspace(Path(file))
    refuse_key_to_commit(Path(file))
    return f'{site} = "{new_key(Path(file))}"'


def require_signer(site: str, key: str | Path) -> Any:
    """Return the private key of a hospital; a name or key that cannot be used is found before scoring.

    Raises:
        BenchError: The name is no name of a hospital, or the key cannot be used or lies in a workspace.
    """
    check_site_name(site)
    if Path(key).exists():  # otherwise the file that is missing is named
        refuse_key_in_workspace(Path(key))
    return read_key(Path(key))


def write_aggregate(
    out: str | Path,
    *,
    site: str,
    key: str | Path,
    entries: EntryChoice | None = None,
    cohort: CohortChoice | None = None,
    data: str | Path | None = None,
    workspace: WorkspaceChoice | None = None,
) -> tuple[Problem, ...]:
    """Write the signed aggregate of scored entries: all that a hospital publishes.

    Args:
        out: File to write.
        site: Name of the hospital.
        key: File of its private key.
        entries: Scored entries; default: all. Hospitals compare one model: entries of the cv5 track and of
            several runs are left out.
        cohort: The cohort; default: the workspace's.
        data: Folder with the cohort's files; default: what the workspace says.
        workspace: The workspace; default: the one that holds the current folder.

    Returns:
        A notice of the entries that were left out (``aggregate-left-out``); empty where none was.

    Raises:
        BenchError: An entry is not scored or its scorecard is out of date, all of them would be left out
            (``aggregate-left-out``), there are more entries than the
            labels can be hidden from (``aggregate-too-many``), or the key cannot be used.
    """
    private = require_signer(site, key)
    space, opened = open_workspace(workspace), open_cohort(cohort, data, workspace)
    chosen = scored_entries(space.submissions(opened.spec.id), entries)
    left_out = [*map(_left_out, chosen)]
    stored = [entry for entry, reason in zip(chosen, left_out, strict=True) if not reason]
    counted = Counter(filter(None, left_out))
    listed = ", ".join(f"{number} {reason}" for reason, number in counted.items())
    notices = (Problem("aggregate-left-out", f"Left out: {listed}.", severity="notice"),) if listed else ()
    if not stored:
        empty = Problem("board-empty", f"Cohort {opened.spec.id} has no scored entry.")
        raise BenchError([replace(notice, severity="error") for notice in notices] or empty)
    cards = [hashed_scorecard(entry, Scorecard)[0] for entry in stored]
    draws = {(card.replicates, card.seed) for card in cards}
    if len(draws) > 1:
        raise BenchError(Problem("board-mixed", "The scorecards were computed with different draws."))
    replicates, seed = draws.pop()
    plans = make_plans(opened, stored, replicates=replicates, seed=seed)
    influences, models = {}, {}
    for entry, card in zip(stored, cards, strict=True):
        computed = entry_replicates(plans, entry, space.replicates, card.predictions_sha256)
        influences[entry.slug] = computed.influences
        models[entry.slug] = read_stamp(entry.predictions).model_sha256
    aggregate = site_aggregate(site, plans.by_track[Track.HOLDOUT], cards, influences, models)
    subjects = {card.slug: card.predictions_sha256 for card in cards}
    write_statement(Path(out), subjects, PREDICATE, aggregate.plain(), private)
    return notices


def _left_out(entry: Submission) -> str:
    """Why an entry is not in aggregates, as a group of entries; empty where it is."""
    if entry.manifest.track != Track.HOLDOUT:
        return f"of the track {entry.manifest.track}"
    return "of several runs" if entry.runs.exists() else ""


def sites_board(
    files: Sequence[str | Path],
    *,
    keys: str | Path | None = None,
    workspace: WorkspaceChoice | None = None,
) -> SitesBoard:
    """Compute the board over several hospitals from their signed aggregates; needs no data.

    Args:
        files: One file for each hospital.
        keys: File with the hospitals' public keys; default: ``sites.toml`` of the workspace.
        workspace: The workspace; default: the one that holds the current folder. Not needed with `keys`.

    Raises:
        BenchError: A file cannot be read or does not belong on the board; every fault of every file.
    """
    place = Path(keys) if keys is not None else open_workspace(workspace).site_keys
    trusted = read_toml(SiteKeys, place, "site-keys").sites
    aggregates: list[ReadAggregate] = []
    problems: list[Problem] = []
    for file in files:
        with collecting(problems):
            aggregates.append(_read(Path(file), trusted))
    raise_errors(problems)
    check_sites(aggregates)
    return pooled_board([signed.aggregate for signed in aggregates])


def transfer_board(
    cohorts: Sequence[CohortChoice], *, workspace: WorkspaceChoice | None = None
) -> TransferBoard:
    """Compare the entries of several cohorts of one workspace, by slug; needs no data.

    Args:
        cohorts: At least two; changes are taken from the first.
        workspace: The workspace; default: the one that holds the current folder.

    Raises:
        ValueError: Fewer than two cohorts.
        BenchError: A cohort has no scored entry (``board-empty``), or its board is out of date.
    """
    if len(cohorts) < 2:
        raise ValueError("name at least two cohorts")
    loaded = [read_board(cohort, workspace=workspace) for cohort in cohorts]
    cards = {
        board.spec.id: [entry.scorecard for entry in board.entries.values() if entry.scorecard is not None]
        for board in loaded
    }
    return transfer(cards, loaded[0].spec.headline)


def _read(file: Path, trusted: dict[str, str]) -> ReadAggregate:
    statement, signer = read_statement(file, PREDICATE, trusted)
    stated = parse_predicate(SiteAggregate, statement, str(file))
    subjects = {subject.name: subject.digest["sha256"] for subject in statement.subject}
    return ReadAggregate(stated, str(file), signer, subjects)
