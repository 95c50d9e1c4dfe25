"""Rankings of both tracks for every target, with the attempts of each team and the ladder."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from bench.board.model import TargetBoard
from bench.board.ranking import KnownCopies, RankedEntry, target_board, unranked
from bench.choices import Track
from bench.cohort.spec import BinaryTarget, CohortSpec
from bench.scoring.attempts import by_team, read_ledger
from bench.scoring.score import LEVEL
from bench.submission.manifest import Retraction
from bench.submission.store import Submission
from bench.uncertainty.reuse import expected_optimism
from bench.uncertainty.reuse import ladder as published_by_ladder

ELSEWHERE = "cv5 track: scored on all patients, not on the test set"


@dataclass(frozen=True, slots=True)
class Rankings:
    """Boards of both tracks, and the slugs that the ladder does not publish."""

    targets: tuple[TargetBoard, ...]
    cv5: tuple[TargetBoard, ...]
    withheld: tuple[str, ...]


def rank_tracks(
    spec: CohortSpec,
    entries: Sequence[RankedEntry],
    retracted: Mapping[str, Retraction],
    attempts: TeamAttempts,
    pool: ThreadPoolExecutor,
    *,
    one_per_team: bool,
    ladder: bool,
    known: Mapping[tuple[Track, str], KnownCopies] | None = None,
) -> Rankings:
    """Rank the entries of each track for each target; no cv5 board without an entry of that track.

    Args:
        spec: The cohort's spec.
        entries: Entries of both tracks, also retracted ones.
        retracted: Slug → retraction; these entries follow the ranked ones with the reason.
        attempts: What the teams had scored.
        pool: Ranks several targets at once.
        one_per_team: Whether only the highest entry of each team is ranked.
        ladder: Whether a team's new entry is shown only if it beats its best by more than noise.
        known: Track and target → what an earlier board says of copies, where predictions are not to be read.
    """
    targets = spec.binary_targets
    out = [c.card for c in entries if c.card.slug in retracted]
    kept = [c for c in entries if c.card.slug not in retracted]
    withheld = _withheld(kept, attempts, spec.headline) if ladder else ()
    holdout, cv5 = (
        [c for c in kept if c.card.track == track and c.card.slug not in withheld] for track in Track
    )

    def board(track: Track, target: BinaryTarget) -> TargetBoard:
        on_holdout = track == Track.HOLDOUT
        others = [unranked(c.card, target.name, ELSEWHERE) for c in cv5] if on_holdout else []
        shown = [card for card in out if on_holdout or card.track == track]
        others += [unranked(card, target.name, retracted[card.slug].sentence) for card in shown]
        ranked = holdout if on_holdout else cv5
        copies = None if known is None else known.get((track, target.name), KnownCopies())
        ranking = target_board(target, ranked, others, LEVEL, one_per_team=one_per_team, known=copies)
        return _with_attempts(ranking, holdout, attempts) if on_holdout else ranking

    boards = tuple(pool.map(lambda target: board(Track.HOLDOUT, target), targets))
    has_cv5 = any(c.card.track == Track.CV5 for c in entries)
    boards_cv5 = tuple(board(Track.CV5, target) for target in targets) if has_cv5 else ()
    return Rankings(boards, boards_cv5, withheld)


@dataclass(frozen=True, slots=True)
class TeamAttempts:
    """The ledger as boards use it.

    Attributes:
        of_team: Team → number of sets of predictions of the holdout track that were scored.
        first: Slug → day of its first attempt.
    """

    of_team: dict[str, int]
    first: dict[str, datetime.date]

    @classmethod
    def of(cls, entries: Sequence[Submission]) -> TeamAttempts:
        """The attempts of these entries of one cohort's store."""
        ledger = read_ledger(entries[0].folder.parent) if entries else {}
        teams = by_team(ledger.values())
        counts = {
            t: len({a.predictions_sha256 for a in attempts if a.track == "holdout"})
            for t, attempts in teams.items()
        }
        return cls(
            counts, {slug: min(a.date for a in attempts) for slug, attempts in ledger.items() if attempts}
        )


def _with_attempts(board: TargetBoard, ranked: Sequence[RankedEntry], attempts: TeamAttempts) -> TargetBoard:
    """Add each team's attempts to the standings, with what so many can gain by chance."""
    teams = {c.card.slug: c.team for c in ranked}
    shown = {s.slug for s in board.standings if s.rank is not None}
    replicates = [c.computed.replicates[board.target] for c in ranked if c.card.slug in shown]
    counts = {
        s.slug: attempts.of_team.get(teams.get(s.slug, ""), 0) for s in board.standings if s.slug in shown
    }
    gains = {k: expected_optimism(np.stack(replicates), k) for k in set(counts.values()) if k}
    standings = tuple(
        s.model_copy(
            update={"attempts": k, "chance_gain": gains[k].best_of, "adaptive_gain": gains[k].adaptive}
        )
        if (k := counts.get(s.slug, 0)) and teams[s.slug]
        else s
        for s in board.standings
    )
    return board.model_copy(update={"standings": standings})


def _withheld(entries: Sequence[RankedEntry], attempts: TeamAttempts, headline: str) -> tuple[str, ...]:
    """Return slugs of entries that do not beat the best earlier entry of their team by more than noise."""
    by_team_and_track: dict[tuple[str, str], list[RankedEntry]] = {}
    for entry in entries:
        if entry.team and entry.value(headline) is not None:
            by_team_and_track.setdefault((entry.team, entry.card.track), []).append(entry)
    withheld: list[str] = []
    for group in by_team_and_track.values():
        last = datetime.date.max
        group.sort(key=lambda c: (attempts.first.get(c.card.slug, last), c.card.slug))
        computed = [c.computed for c in group]
        published = published_by_ladder(
            [c.values[headline] for c in computed], np.stack([c.replicates[headline] for c in computed])
        )
        withheld += [c.card.slug for c, keep in zip(group, published, strict=True) if not keep]
    return tuple(sorted(withheld))
