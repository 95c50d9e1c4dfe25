"""Files for other catalogues: their numbers are those of the board's JSON, and their formats are kept."""

import dataclasses
import json
from importlib import resources

import jsonschema
import pytest

from bench.choices import LabelMode
from bench.errors import BenchError
from bench.publish.build import build_site
from bench.publish.checks.site import check_site
from bench.publish.interchange import EVAL_SCHEMA, croissant, eval_records, model_index, plain_json, yaml_text
from bench.publish.tripod import tripod_draft
from bench.submission.manifest import Retraction
from bench.workspace import find_workspace
from tests.publish.boards import HOSTILE, loaded_board

FILES = ("croissant.json", "eval-results.json", "model-index.yaml", "tripod-ai.md")
# The 52 parts of the checklist as printed: Collins et al., BMJ 2024;385:e078378.
TRIPOD_AI = """
    1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 16 17
    18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c
"""
LOWER_IS_BETTER = ("brier",)  # of the bounded metrics of a binary target


@pytest.fixture(scope="module")
def rows(site):
    """(target, slug) -> row of the board's JSON, of scored entries."""
    board = json.loads((site / "leaderboard.json").read_bytes())
    return {(t["target"], r["slug"]): r for t in board["targets"] for r in t["rows"]}


@pytest.fixture(scope="module")
def records(site):
    return json.loads((site / "eval-results.json").read_bytes())


def read_yaml(data):
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(data)


def test_there_is_a_record_for_each_entry_and_target(records, rows):
    named = {tuple(r["evaluation_id"].split("/")[:2]) for r in records}
    assert len(named) == len(records)
    assert named == {(f"chexchobench.demo.{target}", slug) for target, slug in rows}


def test_every_value_of_a_record_is_that_of_the_boards_json(records, rows):
    for record in records:
        name, slug, _ = record["evaluation_id"].split("/")
        row = rows[name.rpartition(".")[2], slug]
        assert (record["model_info"]["name"], record["model_info"]["developer"]) == (row["name"], row["team"])
        shown = {r["evaluation_name"].rpartition(".")[2]: r for r in record["evaluation_results"]}
        assert "auroc" in shown
        for key, result in shown.items():
            found, details = row["metrics"][key], result["score_details"]
            interval = details["uncertainty"].get("confidence_interval", {})
            assert details["score"] == found["value"]
            assert (interval.get("lower"), interval.get("upper")) == (found["low"], found["high"])
            assert details["uncertainty"].get("standard_error", {}).get("value") == found["se"]
            low, high = (result["metric_config"][f"{end}_score"] for end in ("min", "max"))
            assert low <= details["score"] <= high
            assert result["metric_config"]["lower_is_better"] == (key in LOWER_IS_BETTER)


def test_records_have_the_fields_of_the_schema(records):
    required = {
        "schema_version",
        "evaluation_id",
        "retrieved_timestamp",
        "source_metadata",
        "model_info",
        "eval_library",
        "evaluation_results",
    }
    for record in records:
        assert set(record) == required
        assert record["retrieved_timestamp"].isdigit()
        for result in record["evaluation_results"]:
            assert set(result) == {"evaluation_name", "source_data", "metric_config", "score_details"}
            assert all(isinstance(v, str) for v in result["score_details"]["details"].values())


def test_the_schema_of_every_eval_ever_accepts_the_records(records):
    package = resources.files(pytest.importorskip("every_eval_ever"))
    schema = json.loads(package.joinpath("schemas", "eval.schema.json").read_text("utf-8"))
    assert schema["version"] == EVAL_SCHEMA
    for record in records:
        jsonschema.validate(record, schema)


def test_a_model_index_has_the_aurocs_of_the_boards_json(site, rows):
    by_slug = {path.parent.name: read_yaml(path.read_bytes()) for path in site.glob("e/*/model-index.yaml")}
    assert set(by_slug) == {slug for _, slug in rows}
    for slug, card in by_slug.items():
        (index,) = card["model-index"]
        values = {r["dataset"]["config"]: r["metrics"][0]["value"] for r in index["results"]}
        mine = {target: row for (target, other), row in rows.items() if other == slug}
        assert values == {target: row["metrics"]["auroc"]["value"] for target, row in mine.items()}
        assert {index["name"]} == {row["name"] for row in mine.values()}


@pytest.mark.parametrize("text", [*HOSTILE, "- a: b # c", "\x7f\x85\u2028\ufeff\U0001f9e0", "true", ""])
@pytest.mark.parametrize("number", [0.1 + 0.2, 1e-05, 1.5e-07, 0, 1])
def test_yaml_gives_back_every_text_and_number(text, number):
    value = {"a-b": [{"x": text, "y": {"z": number}}, {"x": text}]}
    assert read_yaml(yaml_text(value)) == value


def test_croissant_describes_fields_and_split_and_names_no_data(boards):
    document = croissant(boards[0])
    spec, held = boards[0].spec, boards[0].board.test_set
    sets = {s["name"]: s for s in document["recordSet"]}
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert all(str(v) in sets["split"]["description"] for v in spec.split.model_dump().values())
    assert [r["split/images"] for r in sets["split"]["data"]] == [
        held.train_images,
        held.val_images,
        held.images,
    ]
    assert [r["targets/target"] for r in sets["targets"]["data"]] == [t.name for t in spec.targets]
    columns = {(r["fields/column"], r["fields/role"]) for r in sets["fields"]["data"]}
    assert {(t.source, "target") for t in spec.targets} <= columns
    assert (spec.columns.image, "image") in columns
    assert not {"distribution", "url"} & set(document)
    assert not any("source" in f for s in sets.values() for f in s["field"])
    assert croissant(boards[0], "https://example.org/b/")["url"] == "https://example.org/b/"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries of mlcroissant
def test_mlcroissant_accepts_the_description(site):
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=str(site / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    assert {s.name for s in dataset.metadata.record_sets} == {"fields", "targets", "split"}


def test_a_retracted_entry_is_left_out():
    loaded = loaded_board(3)
    slug = loaded.board.targets[0].standings[0].slug
    gone = Retraction.model_validate({"schema": "retraction/1", "date": "2026-11-01", "reason": "A mistake."})
    entry = dataclasses.replace(loaded.entries[slug], retraction=gone)
    loaded = dataclasses.replace(loaded, entries={**loaded.entries, slug: entry})
    slugs = {r["model_info"]["id"] for r in eval_records(loaded)}
    assert slugs == {s.slug for t in loaded.board.targets for s in t.standings} - {slug}
    assert model_index(loaded.spec, entry, [loaded.spec.headline]) is None


@pytest.mark.parametrize("why", ["switch", *(m for m in LabelMode if m is not LabelMode.PUBLIC)])
def test_there_are_no_such_files_where_switched_off_or_labels_are_not_public(why, tmp_path):
    loaded = loaded_board(3)
    if why != "switch":
        spec = loaded.spec.model_copy(update={"labels": why})
        loaded = dataclasses.replace(loaded, spec=spec)
    out = tmp_path / "site"
    build_site([loaded], out, exports=why != "switch")
    assert not [path for path in out.rglob("*") if path.name in FILES]
    assert not any(name in (out / "data/index.html").read_text() for name in FILES)


def test_switching_off_removes_the_files_and_the_check_accepts_both(tmp_path):
    out = tmp_path / "site"
    for exports in (True, False):
        build_site([loaded_board(3)], out, exports=exports)
        assert any(path.name in FILES for path in out.rglob("*")) == exports
        assert check_site(out) == []


def test_bench_toml_switches_the_files_off(tmp_path):
    marker = tmp_path / "bench.toml"
    for text, exports in (("", True), ("[site]\nexports = false\n", False)):
        marker.write_text(text)
        assert find_workspace(tmp_path).pages.exports is exports
    marker.write_text('[site]\nexports = "no"\n')
    with pytest.raises(BenchError, match="exports must be true or false"):
        find_workspace(tmp_path)


def test_a_tripod_draft_states_what_is_known_and_leaves_the_rest_empty(boards):
    loaded = boards[0]
    entry = next(e for e in loaded.entries.values() if e.scorecard)
    text = tripod_draft(loaded, entry).decode()
    items = {}
    for part in text.split("\n### ")[1:]:
        head, _, body = part.partition("\n")
        items[head.split()[0]] = body.partition("\n## ")[0].strip()
    assert list(items) == TRIPOD_AI.split()
    assert [number for number in ("2", "3a", "17", "18a", "19", "25", "27c") if items[number]] == []
    score = entry.scorecard.target(loaded.spec.headline)
    assert f"AUROC {score.ranked.value:.3f}" in items["23a"]
    assert f"{score.positives:,} positive" in items["21"]
    assert f"{loaded.board.test_set.patients:,} patients" in items["20a"]


def test_tripod_items_of_one_kind_of_study_say_so(boards):
    loaded = boards[0]
    entry = next(e for e in loaded.entries.values() if e.scorecard)
    heads = [line for line in tripod_draft(loaded, entry).decode().splitlines() if line.startswith("### ")]
    for words, numbers in (
        ("development only", "9a 12a 12b 12c 15 22 27a 27b"),
        ("evaluation only", "12f 12g 20c 24"),
    ):
        assert [head.split()[1] for head in heads if head.endswith(f"({words})")] == numbers.split()


def test_texts_of_authors_are_escaped_in_a_tripod_draft(boards):
    loaded = boards[0]
    entry = next(e for e in loaded.entries.values() if e.scorecard)
    stated = {"name": "<script>x</script>", "description": "a\n### 25 Interpretation\n[good](x)"}
    hostile = dataclasses.replace(entry, manifest=entry.manifest.model_copy(update=stated))
    text = tripod_draft(loaded, hostile).decode()
    assert "<script>" not in text
    assert "[good]" not in text.replace("\\[", "")
    assert text.count("\n### 25 Interpretation\n") == 1


def test_numbers_keep_every_digit():
    assert json.loads(plain_json([0.1 + 0.2])) == [0.1 + 0.2]
