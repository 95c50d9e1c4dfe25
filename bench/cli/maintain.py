"""`bench retract` and `bench rename`."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import CohortOption, JsonOption
from bench.cli.output import reporting


def retract(
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="The entry.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for every reader of the board.")],
    cohort: CohortOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an entry out of the ranking; it stays on the board, struck out, with date and reason.

    Example: bench retract our-net --reason "Trained on test images."
    """
    from bench.actions.maintain import retract as retract_entry

    with reporting(as_json) as report:
        done = retract_entry(slug, reason, cohort=cohort)
        report.result(slug=done.slug, ranked_again=done.board is not None)
        report.show(f"Retracted {done.slug}. Next: bench site build")


def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The entry.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new slug.")],
    cohort: CohortOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an entry another slug, with its scorecard, timings, attempts and place on the board.

    Example: bench rename our-net our-densenet
    """
    from bench.actions.maintain import rename as rename_entry

    with reporting(as_json) as report:
        done = rename_entry(old, new, cohort=cohort)
        report.result(slug=done.slug, ranked_again=done.board is not None)
        report.show(f"Renamed {old} to {done.slug}. Next: bench site build")
