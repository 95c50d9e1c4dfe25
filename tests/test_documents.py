"""Documents on disk: nothing unknown, nothing converted, every fault with its key."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest
from pydantic import Field

from bench.cohort.spec import CohortSpec
from bench.documents import Document, parse, parse_json, parse_toml, read_json, read_toml, schema_field
from bench.errors import BenchError
from bench.submission.manifest import Manifest


class Inner(Document):
    size: float = 1.0


class Example(Document):
    schema_: str = Field(default="example/1", alias="schema")
    name: str
    count: int = 0
    day: datetime.date | None = None
    parts: tuple[Inner, ...] = ()


GOOD = 'name = "a"\ncount = 2\nday = 2026-01-01\n[[parts]]\nsize = 3\n'


def test_toml_is_read_with_lists_numbers_and_dates() -> None:
    document = parse_toml(Example, GOOD, "cohort-spec", "x")
    assert document == Example(name="a", count=2, day=datetime.date(2026, 1, 1), parts=(Inner(size=3.0),))
    assert document.plain() == {
        "schema": "example/1",
        "name": "a",
        "count": 2,
        "day": "2026-01-01",
        "parts": [{"size": 3.0}],
    }
    assert parse(Example, document.plain(), "cohort-spec", "x") == document


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('count = "2"', "count"),
        ("count = true", "count"),
        ("count = 2.0", "count"),
        ("name = 3", "name"),
        ("day = 2026-01-01T10:00:00", "day"),
        ("parts = [{ size = nan }]", "parts (1st).size"),
        ('parts = [{ size = "1" }]', "parts (1st).size"),
        ("parts = [{ sise = 1 }]", "parts (1st).sise"),
        ("extra = 1", "extra"),
    ],
)
def test_values_are_not_converted_and_every_fault_has_its_key(text: str, key: str) -> None:
    text = text if text.startswith("name") else f'name = "a"\n{text}'
    with pytest.raises(BenchError) as caught:
        parse_toml(Example, text, "cohort-spec", "x.toml")
    (problem,) = caught.value.problems
    assert problem.message.startswith(f"{key}: ")
    assert (problem.code, problem.where) == ("cohort-spec", "x.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("coumt = 1", "coumt: This key is not known. Did you mean 'count'?"),
        ("NAME = 1", "NAME: This key is not known. Did you mean 'name'?"),
        ("schema_ = 1", "schema_: This key is not known. Did you mean 'schema'?"),
        ("parts = [{ sise = 1 }]", "parts (1st).sise: This key is not known. Did you mean 'size'?"),
        ("parts = [{ zzz = 1 }]", "parts (1st).zzz: This key is not known. Known here are size."),
        (
            "zzz = 1",
            "zzz: This key is not known. Known here are count, day, name, parts, schema.",
        ),
    ],
)
def test_an_unknown_key_gets_the_nearest_of_its_own_table(text: str, says: str) -> None:
    with pytest.raises(BenchError) as caught:
        parse_toml(Example, f'name = "a"\n{text}', "cohort-spec", "x.toml")
    assert [p.message for p in caught.value.problems] == [says]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "team: This key is missing."),
        ('inputs = "image"', "inputs: This should be a list, in square brackets."),
        ("name = 7", "name: This should be text, in double quotes."),
        ('date = "24.11.2026"', "date: This should be a date such as 2026-01-31, without quotes."),
        ("date = 2026", "date: This should be a date such as 2026-01-31, without quotes."),
        ('parameters = "7M"', "parameters: This should be a whole number, without quotes."),
        ("links = 3", "links: This should be a table of keys."),
        ("model = 3", "model: This should be a table of keys."),
        ('kind = "best"', "kind: This should be 'model', 'ensemble', 'baseline' or 'reported', not 'best'."),
        ("inputs = []", "inputs: This needs at least 1 item."),
        ("inputs = [1]", "inputs (1st): This should be text, in double quotes."),
        ('inputs = ["image", "", "age"]', "inputs (2nd): This text is empty."),
        ("parameters = -1", "parameters: This should be at least 0."),
        (f'name = "{"a" * 201}"', "name: This text is longer than 200 characters."),
        (
            'scores = "probabilty"',
            "scores: This should be 'probability' or 'uncalibrated', not 'probabilty'. "
            "Did you mean 'probability'?",
        ),
        ('[links]\ncode = "x"', "links.code: must begin with https:// or http://."),
        (
            "[links]\nparameters = 7",
            "links.parameters: This key belongs to no table: write it above the first line in brackets.",
        ),
        (
            '[model]\nscores = "probability"',
            "model.scores: This key belongs to no table: write it above the first line in brackets.",
        ),
    ],
)
def test_faults_are_reported_in_terms_of_toml(text: str, says: str) -> None:
    with pytest.raises(BenchError) as caught:
        parse_toml(Manifest, text, "manifest-invalid", "x.toml")
    assert says in [p.message for p in caught.value.problems]


MISPLACED = "This key belongs to no table: write it above the first line in brackets."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[links]\nmodel = "huggingface.co/x"', "links.model: must begin with https:// or http://."),
        ('name = "a"\n[model]\nname = "x"', "model.name: This key is not known. Known here are "),
        (
            'name = "a"\n[model]\noutputs = { name = 5 }',
            "model.outputs.name: This should be text, in double quotes.",
        ),
    ],
)
def test_a_key_that_may_well_stand_in_its_table_is_not_sent_out_of_it(text: str, says: str) -> None:
    with pytest.raises(BenchError) as caught:
        parse_toml(Manifest, text, "manifest-invalid", "x.toml")
    messages = [p.message for p in caught.value.problems]
    assert any(message.startswith(says) for message in messages), messages
    assert not any(MISPLACED in message for message in messages)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("split = {}", "split: The key 'rule' is missing."),
        (
            'split = { rule = "random" }',
            "split: 'rule' is 'random', which is not one of 'hash', 'column', 'list', 'tables', 'all-test'.",
        ),
    ],
)
def test_a_table_of_several_kinds_says_which_there_are(text: str, says: str) -> None:
    with pytest.raises(BenchError) as caught:
        parse_toml(CohortSpec, text, "cohort-spec", "x.toml")
    assert says in [p.message for p in caught.value.problems]


def test_an_unknown_key_of_a_table_of_several_kinds_gets_the_nearest_of_all() -> None:
    text = '[[targets]]\nname = "y"\nkind = "continuous"\nunti = "cm"\n'
    with pytest.raises(BenchError) as caught:
        parse_toml(CohortSpec, text, "cohort-spec", "x.toml")
    messages = [p.message for p in caught.value.problems if "not known" in p.message]
    assert messages == ["targets (1st).unti: This key is not known. Did you mean 'unit' or 'uncertain'?"]


def test_a_syntax_fault_is_named_with_its_place() -> None:
    with pytest.raises(BenchError) as caught:
        parse_toml(Example, 'name = "a"\ncount = two\n', "cohort-spec", "x.toml")
    (problem,) = caught.value.problems
    assert (problem.code, problem.where) == ("cohort-spec", "x.toml, line 2, column 9")


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"name": "a"}')
    assert read_toml(Example, tmp_path / "x.toml", "cohort-spec").count == 2
    assert read_json(Example, tmp_path / "x.json", "cohort-spec").name == "a"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "It is an empty file, not JSON."),
        (b" \n", "It is an empty file, not JSON."),
        (b"<html>", "It is HTML or XML, perhaps the page of a login, not JSON."),
        (b"PK\x03\x04\xff", "It is a zip archive or spreadsheet, not text."),
        (
            b'{"other": 1, "things": 2}',
            "document: This is another document: it has other, things, and none of",
        ),
        (b'{"name": "a"', "Not valid JSON"),
        (b"[" * 100_000, "Not valid JSON"),
        (b'{"name": "\xff"}', "Not UTF-8"),
        (b"[]", "document: "),
        (b'{"name": "a", "count": NaN}', "count: "),
        (b'{"name": "a", "parts": [{"size": Infinity}]}', "parts (1st).size: "),
        (None, "There is no such file."),
    ],
)
def test_a_file_of_another_kind_is_named(content: bytes | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BenchError) as caught:
        read_json(Example, path, "board-invalid")
    (problem,) = caught.value.problems
    assert (problem.code, problem.where.removesuffix(", line 1")) == ("board-invalid", str(path))
    assert caught.value.problems[0].message.startswith(says)


def test_a_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"name": "a"}')
    fstat = os.fstat

    def grow_after(descriptor: int) -> os.stat_result:
        state = fstat(descriptor)
        with path.open("ab") as file:
            file.write(b" " * 100)
        return state

    monkeypatch.setattr(os, "fstat", grow_after)
    with pytest.raises(BenchError) as caught:
        read_json(Example, path, "board-invalid")
    (problem,) = caught.value.problems
    assert problem.message == "The file grew while it was read."
    assert (problem.code, problem.where) == ("board-invalid", str(path))


def test_documents_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Example(name="a").name = "b"  # type: ignore[misc]


class FirstVersion(Document):
    schema_: str = schema_field("thing", 1)
    name: str
    parts: tuple[Inner, ...] = ()


class SecondVersion(FirstVersion):
    schema_: str = schema_field("thing", 1, 2)
    note: str = "none"


def test_an_older_file_lacks_an_optional_field_and_is_read() -> None:
    document = parse_json(SecondVersion, b'{"schema": "thing/1", "name": "a"}', "board-invalid", "x")
    assert (document.schema_, document.note) == ("thing/1", "none")


def test_a_newer_file_has_fields_that_are_not_known_and_is_read() -> None:
    newer = b'{"schema": "thing/1.3", "name": "a", "colour": 1, "parts": [{"size": 2, "weight": 1}]}'
    for model in (FirstVersion, SecondVersion):
        document = parse_json(model, newer, "board-invalid", "x")
        assert (document.schema_, document.name, document.parts) == ("thing/1.3", "a", (Inner(size=2.0),))
    wrong = newer.replace(b'"name": "a"', b'"name": 3')
    with pytest.raises(BenchError, match=r"name: This should be text"):
        parse_json(FirstVersion, wrong, "board-invalid", "x")


@pytest.mark.parametrize("schema", ["thing/1", "thing/1.1", "thing/1.2"])
def test_an_unknown_field_in_a_file_of_the_own_version_or_an_older_one_is_a_fault(schema: str) -> None:
    data = f'{{"schema": "{schema}", "name": "a", "colour": 1}}'.encode()
    with pytest.raises(BenchError, match="colour: This key is not known"):
        parse_json(SecondVersion, data, "board-invalid", "x")


@pytest.mark.parametrize(
    "schema", ["thing/2", "thing/2.1", "thing/10", "other/1", "thing/1.0", "thing/1.x", ""]
)
def test_another_major_version_or_kind_is_refused_by_name(schema: str) -> None:
    data = f'{{"schema": "{schema}", "name": "a", "colour": 1}}'.encode()
    with pytest.raises(BenchError) as caught:
        parse_json(SecondVersion, data, "board-invalid", "x")
    words = [problem.message for problem in caught.value.problems]
    assert f"schema: This is {schema!r}, and this version of bench reads 'thing/1.2'." in words
