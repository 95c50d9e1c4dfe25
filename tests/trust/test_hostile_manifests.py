"""Manifests made to exhaust, forge or confuse: refused with few words, or read in a bounded process."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bench.documents import MOST_NAMED
from bench.errors import BenchError, Problem
from bench.scoring.attempts import team_key
from bench.submission.store import MAX_MANIFEST_BYTES, read_manifest
from tests.tiny import MANIFEST, REPORTED


def refused(text: str, folder: Path) -> tuple[Problem, ...]:
    (folder / "submission.toml").write_text(text)
    with pytest.raises(BenchError) as caught:
        read_manifest(folder / "submission.toml")
    assert {p.code for p in caught.value.problems} == {"manifest-invalid"}
    assert len(caught.value.problems) <= MOST_NAMED + 1
    assert sum(len(str(p)) for p in caught.value.problems) < 20_000
    return caught.value.problems


def repeated(unit: str) -> Callable[[], str]:
    """A manifest that repeats a text until it has the largest size."""
    return lambda: MANIFEST + unit * ((MAX_MANIFEST_BYTES - len(MANIFEST)) // len(unit))


LARGE: dict[str, Callable[[], str]] = {
    "dotted key": lambda: MANIFEST + ".".join("a" * 20_000) + "=1",
    "dotted table": lambda: MANIFEST + "[" + ".".join("a" * 20_000) + "]",
    "dotted array of tables": lambda: MANIFEST + "[[" + ".".join("a" * 20_000) + "]]",
    "dotted key of quoted parts": lambda: MANIFEST + ".".join(['"a b"'] * 9_000) + "=1",
    "dotted key in an inline table": lambda: MANIFEST + "x = {" + ".".join("a" * 20_000) + "=1}",
    "dotted key with blanks": lambda: MANIFEST + " . ".join("a" * 15_000) + " = 1",
    "many dotted keys": lambda: MANIFEST + "\n".join(f"{'.'.join('abcdefghijk')}{i}=1" for i in range(2_000)),
    "unknown keys": lambda: MANIFEST + "\n".join(f"k{i}=1" for i in range(6_000)),
    "unknown tables": lambda: MANIFEST + "\n".join(f"[t{i}]" for i in range(6_000)),
    "long unknown key": lambda: MANIFEST + "k" * 60_000 + " = 1",
    "nested arrays": lambda: MANIFEST + "x = " + "[" * 30_000,
    "nested tables": lambda: MANIFEST + "x = " + "{a=" * 20_000,
    "long number": lambda: MANIFEST + "parameters = " + "9" * 60_000,
    "quotes without end": repeated('"""\\"'),
    "words without end": repeated("a-"),
    "brackets": repeated("["),
    "many inputs": lambda: MANIFEST.replace('inputs = ["image"', "inputs = [" + '"a", ' * 9_000 + '"image"'),
    "many links": lambda: MANIFEST + "[links]\n" + "\n".join(f'a{i} = "https://a.b"' for i in range(2_000)),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_manifest_cannot_exhaust_this_process(name: str, tmp_path: Path) -> None:
    text = LARGE[name]()
    assert len(text) <= MAX_MANIFEST_BYTES
    before = psutil.Process().memory_info().rss
    refused(text, tmp_path)
    assert psutil.Process().memory_info().rss - before < 32 * 2**20


def test_a_large_manifest_is_not_read(tmp_path: Path) -> None:
    (problem,) = refused(MANIFEST + "#" * MAX_MANIFEST_BYTES, tmp_path)
    assert "at most 0.0625 are read" in problem.message


def test_more_faults_are_counted(tmp_path: Path) -> None:
    problems = refused(MANIFEST + "\n".join(f"k{i}=1" for i in range(1_000)), tmp_path)
    assert problems[-1].message == f"{1_000 - MOST_NAMED} more faults are not listed."


def test_ten_parts_of_a_key_and_dots_in_texts_are_read(tmp_path: Path) -> None:
    dots = ".".join("abcdefghijklmno")
    text = MANIFEST + f"description = '''{dots}\n{dots}'''  # {dots}\nlicence = \"{dots}\"\n"
    (tmp_path / "submission.toml").write_text(text)
    assert read_manifest(tmp_path / "submission.toml").licence == dots


@pytest.mark.parametrize(
    ("team", "says"),
    [
        ("A\u200bgroup", "U+200B"),
        ("A\u00adgroup", "U+00AD"),
        ("A\u2060group", "U+2060"),
        ("A group\U000e0041", "U+E0041"),
        ("A\u034fgroup", "U+034F"),
        ("A\u200dgroup", "U+200D"),
        ("A group\ufe0f", "U+FE0F"),
        ("A gr\u3164oup", "U+3164"),
        ("Zalgo" + "\u0301" * 40, "U+0301"),
        ("\ue000 group", "U+E000"),
        ("\u0410 gr\u043eup", "mixes Cyrillic and Latin letters"),
        ("\u0391lpha team", "mixes Greek and Latin letters"),
        ("G\u13e2oup", "mixes Cherokee and Latin letters"),
    ],
)
def test_invisible_and_confusable_characters(team: str, says: str, tmp_path: Path) -> None:
    problems = refused(MANIFEST.replace("A group", team), tmp_path)
    assert any(says in problem.message for problem in problems), problems


@pytest.mark.parametrize(
    "team",
    [
        "Équipe 心臓",
        "فريق القلب",
        "می‌خواهم",
        "Кардио Team",
        "👩‍⚕️ team",
        "Ωmega".replace("Ω", "O"),
        "क्षेत्र",
        "Zoë & Jørgen",
    ],
)
def test_names_of_every_script_are_accepted(team: str, tmp_path: Path) -> None:
    (tmp_path / "submission.toml").write_text(MANIFEST.replace("A group", team))
    assert read_manifest(tmp_path / "submission.toml").team == team


def test_teams_that_look_alike_are_one_team() -> None:
    assert team_key("\u0410\u0412\u0421") == team_key("ABC") == team_key("ａｂｃ") == "abc"
    assert team_key("心臓") != team_key("ABC")


def test_dates_out_of_range(tmp_path: Path) -> None:
    stated = next(line for line in MANIFEST.splitlines() if line.startswith("date"))
    for date in ("9999-12-31", "0001-01-01", str(datetime.date.today() + datetime.timedelta(days=30))):
        (problem,) = refused(MANIFEST.replace(stated, f"date = {date}"), tmp_path)
        assert "must lie between 2000-01-01 and today" in problem.message


@pytest.mark.parametrize(
    "link",
    [
        "https://doi.org@evil.example/",
        "https://user:secret@host.example/",
        "https:///nothing",
        "https://host.example:99999/",
        "https://ex\u0430mple.org/",
        "https://host.example/a b",
        "https://host.example\\\\@evil.example",
    ],
)
def test_links_that_lead_elsewhere(link: str, tmp_path: Path) -> None:
    problems = refused(MANIFEST + f'[links]\npaper = "{link}"\n', tmp_path)
    assert problems[0].message.startswith("links.paper")


def test_a_reported_interval_in_the_wrong_order(tmp_path: Path) -> None:
    (tmp_path / "submission.toml").write_text(REPORTED)
    reported = read_manifest(tmp_path / "submission.toml").reported
    assert reported is not None
    for values in ("auroc = 0.7, low = 0.8, high = 0.6", "auroc = 0.9, low = 0.6, high = 0.8"):
        problems = refused(REPORTED.replace("auroc = 0.8", values), tmp_path)
        assert "ascending order" in problems[0].message
