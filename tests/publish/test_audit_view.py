"""Tables of an entry's page beyond its metrics, and the board of the cv5 track, read from the built HTML."""

from __future__ import annotations

import dataclasses
import json
import re

from bench.board.model import LoadedBoard, TargetBoard
from bench.publish.build import build_site
from tests.publish.boards import loaded_board
from tests.publish.pages import read


def text(path):
    """The page's words, white space made even."""
    page = re.sub(r"<svg.*?</svg>", "", path.read_text("utf-8"), flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def _without_val(score):
    """The score of an entry without predictions for the validation images."""
    points = (p.model_copy(update={"chosen_on": "test"}) for p in score.operating_points)
    return score.model_copy(update={"recalibrated": None, "operating_points": tuple(points)})


def with_cv5(loaded: LoadedBoard) -> LoadedBoard:
    """The board with its second entry moved to the cv5 track."""
    slug = loaded.board.targets[0].standings[1].slug
    entry = loaded.entries[slug]
    moved = dataclasses.replace(
        entry,
        manifest=entry.manifest.model_copy(update={"track": "cv5"}),
        scorecard=entry.scorecard.model_copy(
            update={"track": "cv5", "targets": tuple(map(_without_val, entry.scorecard.targets))}
        ),
    )
    boards = []
    for target in loaded.board.targets:
        standing = next(s for s in target.standings if s.slug == slug)
        alone = standing.model_copy(
            update={
                **dict.fromkeys(("difference", "difference_low", "difference_high", "p_value")),
                **{"rank": 1, "rank_low": 1, "rank_high": 1, "may_be_first": True},
            }
        )
        boards.append(
            TargetBoard(
                target=target.target,
                label=target.label,
                leader=slug,
                others_may_be_first=0,
                standings=(alone,),
            )
        )
    board = loaded.board.model_copy(update={"cv5": tuple(boards)})
    return dataclasses.replace(loaded, board=board, entries={**loaded.entries, slug: moved})


def test_an_entry_shows_thresholds_recalibration_and_gaps(tmp_path):
    loaded = loaded_board(6)
    build_site([loaded], tmp_path / "site")
    slug = next(s for s, e in loaded.entries.items() if e.scorecard and e.scorecard.scores == "probability")
    words = text(tmp_path / "site" / "e" / slug / "index.html")
    assert (
        "Composite, 90% specificity on validation images 240 52.0% (42.0%–62.0%) 90.0% (89.0%–91.0%)" in words
    )
    assert "by 3 images at most" in words
    assert "Composite, recalibrated on val (slope 1.12, intercept −0.05) 0.080 (0.070–0.090)" in words
    assert "Sex Female (n = 400) −0.040 (−0.100 to 0.020)" in words
    assert not (tmp_path / "site" / "cv5").exists()


def test_an_entry_shows_what_guidance_asks_for(tmp_path):
    loaded = loaded_board(9)
    build_site([loaded], tmp_path / "site")
    slug = next(s for s, e in loaded.entries.items() if e.scorecard and e.scorecard.scores == "probability")
    words = text(tmp_path / "site" / "e" / slug / "index.html")
    assert "Random order Highest 5% Highest 20%" in words
    assert "Composite 13.8 48.2 (17.5%) 33.0 (47.9%)" in words
    assert "138 in 1,000" in words  # the prevalence of the test set among the others
    assert "prevalence_shifts" in words
    assert "Composite 0.012 0.009 0.031 0.087 0.150 (0.110–0.190) 0.004 0.030 0.118" in words
    assert "above 1.2 cm 310 0.710 (0.690–0.730)" in words
    assert "above 1.6 cm – Fewer than 20 patients." in words
    assert "Sex: Female 0.470 (0.360–0.580) 0.910 (0.890–0.930)" in words
    assert "(a calibrated model would show 0.021)" in words
    uncalibrated = next(
        s for s, e in loaded.entries.items() if e.scorecard and e.scorecard.scores == "uncalibrated"
    )
    assert "Calibration in figures" not in text(tmp_path / "site" / "e" / uncalibrated / "index.html")


def test_the_cv5_track_has_a_page_and_its_entries_their_rank_there(tmp_path):
    loaded = with_cv5(loaded_board(6))
    (shown,) = loaded.board.cv5[0].standings
    build_site([loaded], tmp_path / "site")
    words = text(tmp_path / "site" / "cv5" / "index.html")
    assert "1 entry with out-of-fold predictions" in words
    assert loaded.entries[shown.slug].manifest.name[:20] in words
    assert "five-fold track" in text(tmp_path / "site" / "index.html")
    assert "Rank 1 of 1" in text(tmp_path / "site" / "e" / shown.slug / "index.html")


def test_an_entry_is_set_beside_the_baseline_on_age_and_sex(site):
    tree = read(site / "e" / "entry-0001" / "index.html")
    section = next(s for s in tree.find_all("section") if "Against age and sex" in s.text())
    auroc = json.loads((site / "e" / "entry-0001" / "entry.json").read_text())["standings"]["slvh"]["auroc"]
    row = [c.text() for c in section.find_all("tr")[2].children if not isinstance(c, str)]
    low, high = (f"{auroc - 0.5 + shift:.3f}" for shift in (-0.03, 0.03))
    assert row == ["SLVH", f"{auroc - 0.5:.3f} ({low}–{high})", "< 0.001", "control"]
