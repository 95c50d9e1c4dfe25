"""A site built from read of stored scorecards is the site built from whole ones."""

import pytest

from bench.board.load import load_board, whole_scorecard
from bench.cohort.spec import load_spec
from bench.errors import BenchError
from bench.publish.build import build_site
from bench.scoring.scorecard import BoardInputs
from tests.publish.store import write_store
from tests.publish.test_site import contents


@pytest.fixture
def stored(tmp_path):
    write_store(tmp_path / "store", 6)
    return tmp_path / "store"


def test_read_hold_no_curve_and_give_the_same_pages(stored, tmp_path):
    spec = load_spec("demo")
    read, whole = load_board(spec, stored, BoardInputs), load_board(spec, stored)
    card = read.entries["entry-0001"].scorecard
    assert not [t for t in card.targets if hasattr(t, "roc") or hasattr(t, "operating_points")]
    assert whole_scorecard(read.entries["entry-0001"], read.board) == (whole.entries["entry-0001"].scorecard)
    build_site([read], tmp_path / "a")
    build_site([whole], tmp_path / "b")
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert {k: v for k, v in a.items() if k != ".build.json"} == {
        k: v for k, v in b.items() if k != ".build.json"
    }


def test_a_scorecard_that_changes_while_pages_are_built_stops_the_build(stored, tmp_path):
    read = load_board(load_spec("demo"), stored, BoardInputs)
    path = stored / "entry-0002" / "scorecard.json"
    path.write_text(path.read_text("utf-8").replace('"seed": 0', '"seed": 1'), "utf-8")
    with pytest.raises(BenchError, match="entry-0002") as caught:
        build_site([read], tmp_path / "site")
    assert [p.code for p in caught.value.problems] == ["board-stale"]
    assert not (tmp_path / "site").exists()
