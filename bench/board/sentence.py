"""What a board says in words: the same sentences on pages, in the terminal and in JSON."""

from __future__ import annotations

from bench.board.model import TargetBoard


def board_sentence(board: TargetBoard, level: float) -> str:
    """Which entries may be first.

    Args:
        board: One target's board.
        level: Confidence of all statements about pairs together.
    """
    ranked = sum(standing.rank is not None for standing in board.standings)
    number, confidence = board.others_may_be_first, f"{100 * level:g}% confidence, adjusted for all pairs"
    if ranked == 0:
        return "No entry is ranked."
    if ranked == 1:
        return "One entry is ranked, so there is nothing to compare it with."
    if number == 0:
        return f"No other entry may be first ({confidence})."
    if number == 1:
        return f"1 other entry may be first ({confidence})."
    every = "All " if number == ranked - 1 else ""
    return f"{every}{number:,} other entries may be first ({confidence})."


def leader_sentence(board: TargetBoard) -> str:
    """How far the leader's AUROC is expected to be too high; empty where nothing was chosen."""
    ranked = [standing for standing in board.standings if standing.rank is not None]
    if len(ranked) < 2 or board.shrunken_auroc is None or ranked[0].auroc is None:
        return ""
    return (
        f"The leader's AUROC of {ranked[0].auroc:.3f} is the highest of {len(ranked):,} and so expected "
        f"to be too high; corrected for this choice it is {board.shrunken_auroc:.3f}."
    )
