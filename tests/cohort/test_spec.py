"""Specs: the built-in ones load, and every fault of a user's own is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cohort.spec import CohortSpec, ContinuousTarget, HashSplit, ListSplit, builtin_specs, load_spec
from bench.documents import parse_toml
from bench.errors import BenchError, Problem
from tests.faulty import assert_problem

SPEC = """\
schema = "cohort-spec/1"
id = "own"
version = "1"
title = "Our own"
headline = "large"
macro = ["large"]
prediction_aliases = { p_large = "large" }

[files]
table = "t.csv"

[columns]
image = "image"
patient = { column = "image", pattern = '^p\\d+' }
inputs = { sex = "sex" }

[split]
rule = "hash"
salt = "own"

[[targets]]
name = "large"
label = "Large"
source = "large"

[[targets]]
name = "width"
kind = "continuous"
label = "Width"
source = "width"
unit = "cm"
plausible = [1, 20]

[[subgroups]]
name = "age"
label = "Age"
column = "age"
bands = [0, 40.5]

[[label_rules]]
target = "large"
any_of = [{ column = "width", male = 6, female = 5 }]
"""


def faults(text: str) -> list[Problem]:
    with pytest.raises(BenchError) as caught:
        parse_toml(CohortSpec, text, "cohort-spec", "own.toml")
    assert {p.code for p in caught.value.problems} == {"cohort-spec"}
    assert all(p.where.startswith("own.toml") for p in caught.value.problems)
    return list(caught.value.problems)


def test_the_built_in_specs_load() -> None:
    assert builtin_specs() == (
        "chestxray14",
        "chexchonet",
        "chexpert",
        "chexpert-frontal",
        "demo",
        "demo-mimic",
        "echonext",
        "mimic-echo",
    )
    for name in builtin_specs():
        spec = load_spec(name)
        assert spec.id == name
        assert spec.headline in {t.name for t in spec.binary_targets}
        assert spec.columns.image
        assert spec.citation
        assert spec.licence


def test_chexchonet_is_as_it_was_released() -> None:
    spec = load_spec("chexchonet")
    assert (spec.expected_images, spec.expected_patients) == (71_589, 24_689)
    assert spec.files.images == ("images", "cxrs")
    assert spec.split == HashSplit(rule="hash", salt="chexchonet-v1", test=0.2, val=0.1)
    assert [t.name for t in spec.binary_targets] == ["composite_slvh_dlv", "slvh", "dlv"]
    assert [t.unit for t in spec.continuous_targets] == ["cm"] * 3
    assert not spec.synthetic


def test_the_demo_differs_from_chexchonet_in_name_and_salt_only() -> None:
    real, demo = load_spec("chexchonet").plain(), load_spec("demo").plain()
    differing = {key for key in real if real[key] != demo[key]}
    about = {"id", "version", "title", "description", "citation", "licence", "url", "synthetic"}
    assert differing == about | {"split", "expected_images", "expected_patients", "smallest_cell", "labels"}
    assert demo["synthetic"] is True


def test_the_fourteen_findings_of_both_public_sets_are_targets() -> None:
    nih, chexpert = load_spec("chestxray14"), load_spec("chexpert")
    assert len(nih.binary_targets) == len(chexpert.binary_targets) == 14
    assert isinstance(nih.split, ListSplit)
    assert (nih.expected_images, nih.expected_patients) == (112_120, 30_805)
    assert {(t.uncertain, t.blank) for t in chexpert.binary_targets} == {("exclude", "negative")}


def test_a_spec_of_ones_own_loads(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SPEC)
    spec = load_spec(str(tmp_path / "own.toml"))
    assert spec.files.table == ("t.csv",)
    assert isinstance(spec.targets[1], ContinuousTarget)
    assert spec.targets[0].kind == "binary"


def test_an_unknown_cohort_is_answered_with_the_built_in_ones(tmp_path: Path) -> None:
    for name in ("mimic", str(tmp_path), str(tmp_path / "absent.toml")):
        with pytest.raises(
            BenchError, match=r"cohort-unknown.*chestxray14, chexchonet, chexpert, chexpert-frontal, demo"
        ):
            load_spec(name)


def put(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


FAULTS: dict[str, tuple[Callable[[str], str], str]] = {
    "misspelt key": (
        put("headline", "headlnie"),
        r"^headlnie: This key is not known. Did you mean 'headline'",
    ),
    "no schema": (put('schema = "cohort-spec/1"\n', ""), "^schema: This key is missing"),
    "other schema": (put("cohort-spec/1", "cohort-spec/2"), "^schema: "),
    "id that climbs": (put('id = "own"', 'id = "../own"'), "^id: "),
    "empty id": (put('id = "own"', 'id = ""'), "^id: "),
    "version as a number": (put('version = "1"', "version = 1"), "^version: "),
    "no tables": (put('table = "t.csv"', "table = []"), "files.table: name the table"),
    "no targets": (lambda t: re.sub(r"(?s)\[\[targets\]\].*?\n\n", "", t), "^targets: This key is missing"),
    "two targets of one name": (put('name = "width"', 'name = "large"'), "two targets share a name"),
    "target name with a blank": (put('name = "width"', 'name = "the width"'), r"^targets \(2nd\)\.name: "),
    "unknown kind": (put('"continuous"', '"ordinal"'), r"^targets \(2nd\): "),
    "no unit": (put('unit = "cm"\n', ""), r"^targets \(2nd\)\.unit: This key is missing"),
    "range as text": (put("[1, 20]", '["1", "20"]'), r"^targets \(2nd\)\.plausible"),
    "unknown policy": (
        put('source = "large"\n', 'source = "large"\nblank = "guess"\n'),
        r"^targets \(1st\)\.blank: ",
    ),
    "headline that is no target": (put('headline = "large"', 'headline = "small"'), "headline: .* small"),
    "headline that is a measurement": (put('headline = "large"', 'headline = "width"'), "headline: .* width"),
    "macro that is no target": (put('["large"]', '["large", "x"]'), "macro: no binary target is named x"),
    "alias of no target": (put('p_large = "large"', 'p = "x"'), "prediction_aliases: no target is named x"),
    "unknown split rule": (put('rule = "hash"', 'rule = "random"'), "^split: "),
    "empty salt": (put('salt = "own"', 'salt = ""'), r"^split\.salt: "),
    "nothing to train on": (put('salt = "own"', 'salt = "own"\ntest = 0.9'), "test \\+ val must be below 1"),
    "share above 1": (put('salt = "own"', 'salt = "own"\ntest = 1.2'), r"^split\.test: "),
    "share not a number": (put('salt = "own"', 'salt = "own"\ntest = nan'), r"^split\.test: "),
    "pattern that is none": (put(r"'^p\d+'", "'p('"), "not a regular expression"),
    "bands out of order": (put("[0, 40.5]", "[40, 0]"), "must be strictly ascending"),
    "bands that repeat": (put("[0, 40.5]", "[0, 0]"), "must be strictly ascending"),
    "one band": (put("[0, 40.5]", "[0]"), "bands"),
    "rule of no target": (
        put('target = "large"', 'target = "x"'),
        "label_rules: .* named x",
    ),
    "rule of another rule's nothing": (
        put("any_of =", 'or_targets = ["x"]\nany_of ='),
        "label_rules: .* named x",
    ),
    "thresholds without sex": (put('inputs = { sex = "sex" }\n', ""), "thresholds need the input sex"),
    "not TOML": (put("title =", "title"), "^Not valid TOML: "),
    "deep": (lambda t: "x = " + "[" * 10_000, "^Not valid TOML: "),
}


@pytest.mark.parametrize(("change", "says"), FAULTS.values(), ids=FAULTS)
def test_each_fault_of_a_spec_is_named(change: Callable[[str], str], says: str) -> None:
    meant = [p for p in faults(change(SPEC)) if re.search(says, p.message)]
    assert meant
    assert_problem(
        meant[0], "cohort-spec", message=says, where=r"^own\.toml", remedy="Correct the (key|line|file)"
    )


def test_the_spec_that_the_faults_are_made_from_is_right() -> None:
    assert parse_toml(CohortSpec, SPEC, "cohort-spec", "own.toml").id == "own"


def test_all_faults_of_a_spec_are_reported_at_once() -> None:
    assert len(faults('schema = "x"\nid = "UPPER"\nextra = 1\n')) >= 7


def test_a_folder_or_binary_file_is_refused_as_a_spec(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BenchError, match="cohort-spec: Not UTF-8"):
        load_spec(str(tmp_path / "s.toml"))
