"""Comparison of one board everywhere it is shown: finds every place where two answers differ."""

from __future__ import annotations

import csv
import functools
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import bench
from bench.board.format import decimal, p_text, signed
from bench.board.load import load_board
from bench.board.matrix import PairComparison
from bench.board.model import Board, LoadedBoard, Standing, TargetBoard
from bench.cohort.spec import CohortSpec
from bench.publish.build import build_site
from tests.conftest import Cli
from tests.publish.pages import Node
from tests.publish.pages import read as read_page
from tests.uncertainty.test_family import slow_family

LIMIT = 0.05
read = functools.cache(read_page)


def check_everywhere(
    spec: CohortSpec, store: Path, out: Path, cli: Cli, cohort: str, words: tuple[str, ...]
) -> Board:
    """Sentence, table, matrix, compare page, entry pages, `bench compare` and JSON of a stored board agree.

    Args:
        spec: The cohort's spec.
        store: Its folder of entries.
        out: Where the site is built.
        cli: The command line, in the board's workspace.
        cohort: The cohort as commands name it.
        words: Options that name the cohort and its data.
    """
    loaded = load_board(spec, store)
    assert loaded.board is not None
    for target in (*loaded.board.targets, *loaded.board.cv5):
        check_target(target)
    build_site([loaded], out)
    # The cohort's own folder, or the top where it is the only one.
    (path,) = (p for p in out.rglob("leaderboard.json") if "v" not in p.relative_to(out).parts)
    published = json.loads(path.read_text())
    for target in loaded.board.targets:
        found = next(t for t in published["targets"] if t["target"] == target.target)
        check_json(target, found)
        check_pages(loaded, target, path.parent, found["sentence"])
        check_terminal(cohort, target, cli, found["sentence"])
    for target in loaded.board.cv5:
        check_terminal(cohort, target, cli, "", track="cv5")
    check_compare(loaded.board, cli, words)
    return loaded.board


def ranked(target: TargetBoard) -> list[Standing]:
    return [standing for standing in target.standings if standing.rank is not None]


def check_target(target: TargetBoard) -> None:
    """Ranks, ties and differences follow from the matrix; copies have those of their first entry."""
    every, pairs = ranked(target), target.pairs
    if not every:
        return
    if len(every) == 1:
        assert pairs is None
        return
    assert pairs is not None
    rows = [standing for standing in every if standing.slug in pairs.slugs]
    by_slug = {standing.slug: standing for standing in every}
    copies = {slug for group in target.same_ranking for slug in group.slugs[1:]}
    assert {standing.slug for standing in rows} == set(by_slug) - copies
    for group in target.same_ranking:
        shown = [by_slug[slug].plain() for slug in group.slugs if slug in by_slug]
        assert all(s | {"slug": "", "flags": []} == shown[0] | {"slug": "", "flags": []} for s in shown)
    assert list(pairs.slugs) == [s.slug for s in rows]
    above = dict.fromkeys(pairs.slugs, 0)
    below = dict.fromkeys(pairs.slugs, 0)
    for a, b in itertools.permutations(pairs.slugs, 2):
        pair = pairs.pair(a, b)
        assert pair.low is not None
        assert pair.high is not None
        assert pair.low <= pair.difference <= pair.high
        assert ((pair.low > 0) or (pair.high < 0)) == (pair.p_adjusted <= LIMIT)
        assert pair.p_adjusted >= pair.p
        above[b] += pair.low > 0
        below[a] += pair.low > 0
    first = rows[0]
    assert first.slug == target.leader
    assert first.auroc is not None
    assert target.shrunken_auroc is not None
    for standing in rows:
        assert standing.auroc is not None
        assert standing.rank == 1 + sum(s.auroc > standing.auroc for s in rows if s.auroc is not None)
        assert standing.rank_low == 1 + above[standing.slug]
        assert standing.rank_high == len(rows) - below[standing.slug]
        assert standing.may_be_first == (standing.rank_low == 1)
        if standing is first:
            assert standing.may_be_first
            assert standing.tied_with_leader
            assert standing.difference is None
            continue
        pair = pairs.pair(standing.slug, first.slug)
        assert pair.high is not None
        assert standing.tied_with_leader == (pair.high >= 0)
        assert [standing.difference, standing.difference_low, standing.difference_high] == pytest.approx(
            [pair.difference, pair.low, pair.high], rel=1e-5, abs=1e-12
        )
        assert standing.p_value == pytest.approx(pair.p_adjusted, rel=1e-5)
    assert target.others_may_be_first == sum(s.may_be_first for s in every) - 1


def check_recomputed(
    target: TargetBoard,
    scores: dict[str, np.ndarray],
    y: np.ndarray,
    patient: np.ndarray,
    replicates: int,
    seed: int,
) -> None:
    """A stored board is what its definition gives, from predictions, labels and draws alone.

    Args:
        target: The board.
        scores: Slug → (n,) predictions.
        y: (n,) labels.
        patient: (n,) patients.
        replicates: Number of draws.
        seed: Their seed.
    """
    boot = bench.PatientBootstrap(patient, replicates, seed)
    counts = boot.counts
    rows = ranked(target)
    drawn, values, influences = [], [], []
    for standing in rows:
        score = scores[standing.slug]
        drawn.append([roc_auc_score(y, score, sample_weight=draw[boot.patient_code]) for draw in counts])
        values.append(roc_auc_score(y, score))
        order = np.sign(score[y == 1][:, None] - score[y == 0]) / 2 + 0.5
        phi = np.empty(len(y))
        phi[y == 1] = (order.mean(axis=1) - order.mean()) / (y == 1).sum()
        phi[y == 0] = (order.mean(axis=0) - order.mean()) / (y == 0).sum()
        influences.append(np.bincount(boot.patient_code, phi))
    assert [s.auroc for s in rows] == pytest.approx(values, rel=1e-8)
    assert values == sorted(values, reverse=True)
    critical, _, _, intervals, adjusted, low, high = slow_family(
        np.array(drawn), np.array(values), np.array(influences), 1 - LIMIT
    )
    assert target.critical == pytest.approx(critical, rel=1e-6)
    assert [(s.rank_low, s.rank_high) for s in rows] == list(zip(low, high, strict=True))
    assert [s.may_be_first for s in rows] == [first == 1 for first in low]
    assert target.others_may_be_first == low.count(1) - 1
    assert target.pairs is not None
    for i, j in itertools.combinations(range(len(rows)), 2):
        pair = target.pairs.pair(rows[i].slug, rows[j].slug)
        assert pair.difference == pytest.approx(values[i] - values[j], abs=1e-6)
        assert (pair.low, pair.high) == pytest.approx(intervals[i, j], rel=1e-5, abs=1e-6)
        if adjusted[i, j] < 1:
            assert pair.p_adjusted == pytest.approx(adjusted[i, j], rel=1e-4)
    for i, standing in enumerate(rows[1:], 1):
        assert standing.tied_with_leader == (intervals[0, i][0] <= 0)


def check_json(target: TargetBoard, found: dict) -> None:
    """``leaderboard.json`` holds the same, and its sentence the right number."""
    assert [row["slug"] for row in found["rows"]] == [s.slug for s in target.standings]
    for row, standing in zip(found["rows"], target.standings, strict=True):
        assert row["standing"] == standing.plain()
        assert row["cells"]["rank"]["value"] == standing.rank
        assert row["cells"]["may_be_first"]["value"] == standing.may_be_first
        assert row["cells"]["p_value"]["value"] == standing.p_value
    assert found["pairs"] == (target.pairs.plain() if target.pairs else None)
    words = found["sentence"].split()
    if len(ranked(target)) > 1:
        number = words[1] if words[0] == "All" else "0" if words[0] == "No" else words[0]
        assert int(number) == target.others_may_be_first
        assert " may be first " in found["sentence"]


def check_pages(loaded: LoadedBoard, target: TargetBoard, folder: Path, sentence: str) -> None:
    """The board's page and the entries' pages."""
    name = "" if target.target == loaded.spec.headline else target.target
    page = read(folder / name / "index.html")
    lead = next(p for p in page.find_all("p") if p.get("class") == "lead")
    assert sentence in lead.text()
    table = next(t for t in page.find_all("table") if t.get("id") == "board")
    rows = {r.get("data-e"): r for r in table.find_all("tr") if r.get("data-e")}
    number = len(ranked(target))
    for standing in ranked(target):
        low, high = standing.rank_low, standing.rank_high
        row = rows[standing.slug]
        assert (row.get("class") == "tie") == standing.may_be_first
        cell = row.find_all("td")[0].text().split()[0]
        assert cell == (f"{low}" if low == high else f"{low}–{high}")
        entry = read(folder / "e" / standing.slug / "index.html")
        (finding,) = (r for r in entry.find_all("tr") if r.get("data-t") == target.target)
        shown = [c.text() for c in finding.find_all("td")]
        assert shown[0] == cell
        assert shown[1].startswith(decimal(standing.auroc))
        if not name:
            rank = f"Rank {low}" if low == high else f"Rank {low} to {high}"
            tie = ", may be first" if standing.may_be_first and low != high else ""
            assert f"{rank} of {number}{tie}." in entry.text()
            check_entry_pairs(target, standing.slug, entry)
    check_compare_page(target, read(folder / "compare" / "index.html"), headline=not name)


def check_entry_pairs(target: TargetBoard, slug: str, page: Node) -> None:
    """The table of an entry's page that sets it against the others is a row of the matrix."""
    for table in (t for t in page.find_all("table") if t.get("class") == "diff"):
        for row in table.find_all("tr")[1:]:
            other = row.find_all("a")[0].get("href").split("/")[-2]
            assert target.pairs is not None
            pair = target.pairs.pair(slug, other)
            figure, verdict = (cell.text().strip() for cell in row.find_all("td")[-2:])
            assert figure.split()[0] == signed(pair.difference)
            assert verdict == expected_verdict(pair)


def expected_verdict(pair: PairComparison) -> str:
    if pair.p_adjusted <= LIMIT:
        return "separated"
    return "suggestive" if pair.p < LIMIT else "could be chance"


def check_compare_page(target: TargetBoard, page: Node, *, headline: bool) -> None:
    """Rows, the first two entries, and the pairs that the script reads."""
    table = next(t for t in page.find_all("table") if t.get("id") == "compare")
    heads = [h.attributes for h in table.find_all("th") if h.get("scope") == "col"]
    rows = {r.get("data-e"): [c.text() for c in r.find_all("td")] for r in table.find_all("tr")}

    def cell(slug: str, key: str, of: str | None) -> str:
        (place,) = (i for i, h in enumerate(heads) if h.get("data-c") == key and h.get("data-t") == of)
        return rows[slug][place - 1].split("(")[0].strip()

    for standing in ranked(target):
        assert cell(standing.slug, "auroc", target.target).startswith(decimal(standing.auroc))
        if headline:
            low, high = standing.rank_low, standing.rank_high
            assert cell(standing.slug, "rank", None) == (f"{low}" if low == high else f"{low}–{high}")
            if standing.difference is not None:
                assert cell(standing.slug, "p_value", target.target) == p_text(standing.p_value)
                difference = cell(standing.slug, "difference", target.target)
                assert difference.startswith(decimal(standing.difference))
    pairs = target.pairs
    if pairs is None:
        return
    section = next(s for s in page.find_all("section") if s.get("id") == "against")
    carried = next(p for p in json.loads(section.get("data-pairs")) if p["target"] == target.target)
    both = list(itertools.combinations(carried["slugs"], 2))
    assert len(both) == len(carried["difference"])
    for (a, b), d, low, high, p in zip(
        both, carried["difference"], carried["low"], carried["high"], carried["p"], strict=True
    ):
        pair = pairs.pair(a, b)
        assert d == pytest.approx(pair.difference, abs=1e-5)
        assert (low > 0 or high < 0) == (pair.p_adjusted <= LIMIT)
        assert (p < LIMIT) == (pair.p < LIMIT)
    if headline:
        first, second, *_ = pairs.slugs
        row = section.find_all("tr")[1]
        assert row.find_all("td")[1].text().split()[0] == signed(pairs.pair(first, second).difference)
        assert row.find_all("td")[2].text() == expected_verdict(pairs.pair(first, second))


def check_terminal(cohort: str, target: TargetBoard, cli: Cli, sentence: str, track: str = "holdout") -> None:
    """`bench board` as text and as CSV."""
    words = ("board", "--cohort", cohort, "--target", target.target, "--track", track)
    assert sentence in " ".join(cli(*words).stdout.split())
    rows = {row["slug"]: row for row in csv.DictReader(cli(*words, "--csv").stdout.splitlines())}
    for standing in ranked(target):
        row = rows[standing.slug]
        assert [int(row[k]) for k in ("rank", "rank_low", "rank_high")] == [
            standing.rank, standing.rank_low, standing.rank_high
        ]  # fmt: skip
        assert row["may_be_first"] == ("yes" if standing.may_be_first else "no")
        if standing.p_value is not None:
            assert float(row["p_value"]) == pytest.approx(standing.p_value, rel=1e-8)
            assert float(row["difference_high"]) == pytest.approx(standing.difference_high, rel=1e-8)


def check_compare(board: Board, cli: Cli, words: tuple[str, ...]) -> None:
    """`bench compare` of some pairs gives the unadjusted figures of the matrix."""
    draws = ("--replicates", str(board.replicates), "--seed", str(board.seed), "--json")
    for boards, metric in ((board.targets, "auroc"), (board.cv5, "fold_averaged")):
        both = [t for t in boards if t.pairs and len(t.pairs.slugs) > 1]
        if not both:
            continue
        slugs = next(t.pairs.slugs for t in both if t.pairs)
        for a, b in ((slugs[0], slugs[1]), (slugs[-1], slugs[0])):
            found = cli("compare", a, b, *draws, *words).object["result"]["comparisons"]
            for line in found:
                target = next(t for t in both if t.target == line["target"])
                assert target.pairs is not None
                if not {a, b} <= set(target.pairs.slugs):
                    continue
                pair = target.pairs.pair(a, b)
                shown = next(m for m in line["metrics"] if m["metric"] == metric)
                assert shown["difference"] == pytest.approx(pair.difference, rel=1e-5, abs=1e-12)
                assert shown["p_value"] == pytest.approx(pair.p, rel=1e-5)
                assert pair.low is not None
                assert pair.high is not None
                assert pair.low <= shown["low"] + 1e-9
                assert shown["high"] <= pair.high + 1e-9
