"""What a board with private labels says of comparisons, which it withholds."""

from __future__ import annotations

import dataclasses
import json

from bench.board.column import Group
from bench.board.published import published_board
from bench.board.table import board_table, leader_sentence
from bench.choices import LabelMode
from tests.publish.boards import loaded_board

HEADLINE = "composite_slvh_dlv"
AT_CHANCE = "not separated from chance: the CI of its AUROC, 0.4331 to 0.6121, contains 0.5"


def test_a_private_board_claims_no_comparison_and_holds_no_limit_of_an_interval():
    loaded = loaded_board(6)
    target = loaded.board.target(HEADLINE)
    last = target.standings[-1].model_copy(
        update={"rank": None, "rank_low": None, "rank_high": None, "unranked_reason": AT_CHANCE}
    )
    changed = target.model_copy(update={"standings": (*target.standings[:-1], last)})
    targets = tuple(changed if t.target == HEADLINE else t for t in loaded.board.targets)
    whole = loaded.board.model_copy(update={"targets": targets})
    private = published_board(whole, LabelMode.PRIVATE, {})
    assert "0.4331" in json.dumps(whole.plain())
    assert "0.4331" not in json.dumps(private.plain())
    assert private.target(HEADLINE).standings[-1].unranked_reason == "not separated from chance"
    tables = [board_table(dataclasses.replace(loaded, board=b), HEADLINE) for b in (whole, private)]
    assert [table.compared for table in tables] == [True, False]
    assert "may be first" in tables[0].sentence
    assert tables[1].sentence.endswith("which other entries may be first is withheld.")
    groups = [{column.group for column in table.page_columns} for table in tables]
    assert [Group.LEADER in shown for shown in groups] == [True, False]
    ranked = [row for row in tables[1].rows if row.standing.rank is not None and not row.leader]
    for key in ("may_be_first", "verdict"):
        assert {tables[1].cells[row.slug][key].value for row in ranked} == {None}


def test_a_correction_that_does_not_lower_the_auroc_is_not_called_one():
    target = loaded_board(3).board.target(HEADLINE)
    first = target.standings[0].auroc
    lower, higher = (
        leader_sentence(target.model_copy(update={"shrunken_auroc": first + change}))
        for change in (-0.01, 0.002)
    )
    assert f"{first - 0.01:.3f}" in lower
    assert "too high" in lower
    assert "too high" not in higher
    assert f"{first + 0.002:.3f}" not in higher
