"""Five hospitals on one board: pooled against central, signatures, tampering, files that do not belong."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench.actions.sites import make_site_key, sites_board, write_aggregate
from bench.choices import LabelMode
from bench.errors import BenchError
from bench.federation.aggregate import PREDICATE, STEP
from bench.federation.model import SiteAggregate, SitesBoard
from bench.federation.signature import read_key, write_statement
from tests.conftest import Cli
from tests.faulty import assert_problem
from tests.federation.conftest import MISCALIBRATED, PREVALENCE, SCANNER, SITES, STRENGTHS, Hospital

HEADLINE = "composite_slvh_dlv"


@pytest.fixture(scope="module")
def board(hospitals: list[Hospital], keys: Path) -> SitesBoard:
    return sites_board([hospital.file for hospital in hospitals], keys=keys)


def stated(hospital: Hospital) -> dict[str, Any]:
    """Predicate of the file that a hospital publishes."""
    envelope = json.loads(hospital.file.read_text())
    return json.loads(base64.b64decode(envelope["payload"]))["predicate"]


def signed(hospital: Hospital, out: Path, *, site: str = "", subjects: str = "b", **changes: Any) -> Path:
    """A file with other content that the hospital signs properly."""
    predicate = {**stated(hospital), **({"site": site} if site else {}), **changes}
    hashes = dict.fromkeys(STRENGTHS, subjects * 64)
    write_statement(out, hashes, PREDICATE, predicate, read_key(hospital.key))
    return out


def codes(caught: pytest.ExceptionInfo[BenchError]) -> list[str]:
    return [problem.code for problem in caught.value.problems]


def test_means_and_differences_are_those_of_central_data(
    hospitals: list[Hospital], board: SitesBoard
) -> None:
    target = board.target(HEADLINE)
    assert [entry.slug for entry in target.entries] == list(STRENGTHS)
    areas = {
        slug: [
            bench.evaluate(
                h.cohort.targets[HEADLINE], h.values[slug][HEADLINE], h.cohort.patients, metrics=("auroc",)
            ).auroc
            for h in hospitals
        ]
        for slug in STRENGTHS
    }
    for entry in target.entries:
        central = np.mean([area.value for area in areas[entry.slug]])
        error = STEP / 2 * np.mean([area.se for area in areas[entry.slug]])
        assert abs(entry.mean_auroc - central) <= 1.1 * error, "half a rounding step of each hospital"
        assert [entry.rank_low, entry.rank_high] == [entry.rank, entry.rank]


def test_the_pooled_auroc_covers_that_of_all_patients_together(
    hospitals: list[Hospital], board: SitesBoard
) -> None:
    same = [h for h in hospitals if h.name not in (SCANNER,)]
    y = np.concatenate([h.cohort.targets[HEADLINE] for h in same])
    for entry in board.target(HEADLINE).entries:
        p = np.concatenate([h.values[entry.slug][HEADLINE] for h in same])
        patients = np.concatenate([[f"{h.name} {name}" for name in h.cohort.patients] for h in same])
        central = bench.evaluate(y, p, patients, replicates=100, metrics=("auroc",)).auroc.value
        pooled = entry.pooled["auroc"]
        assert pooled.low < central < pooled.high
        assert pooled.prediction_low < pooled.low < pooled.high < pooled.prediction_high


def test_planted_shifts_are_seen(hospitals: list[Hospital], board: SitesBoard) -> None:
    target = board.target(HEADLINE)
    share = {count.site: count.positives / count.images for count in target.counts}
    assert share[PREVALENCE] > 1.3 * np.mean([share[site] for site in SITES if site != PREVALENCE])
    strong = target.entries[0]
    large = {site: strong.sites[site]["calibration_in_the_large"].value for site in SITES}
    assert min(large, key=large.get) == MISCALIBRATED
    assert large[MISCALIBRATED] < large["north"] - 0.6
    areas = {site: strong.sites[site]["auroc"].value for site in SITES}
    assert min(areas, key=areas.get) == SCANNER
    assert strong.pooled["auroc"].i2 > 0.5


def test_errors_of_differences_are_those_of_the_paired_comparison(hospitals: list[Hospital]) -> None:
    hospital = hospitals[0]
    target = next(t for t in stated(hospital)["targets"] if t["target"] == HEADLINE)
    slugs = [entry["slug"] for entry in target["entries"]]
    assert slugs == sorted(STRENGTHS)
    for i, row in enumerate(target["difference_se"], 1):
        for j, error in enumerate(row):
            a, b = (hospital.values[slugs[k]][HEADLINE] for k in (i, j))
            found = bench.compare(
                hospital.cohort.targets[HEADLINE], a, b, hospital.cohort.patients, replicates=1000
            )
            assert error == pytest.approx(found.se, rel=0.12)


def test_the_file_holds_no_prediction_no_label_and_no_id(hospitals: list[Hospital]) -> None:
    for hospital in hospitals:
        envelope = json.loads(hospital.file.read_text())
        payload = base64.b64decode(envelope["payload"]).decode()
        assert not [name for name in {*hospital.cohort.images, *hospital.cohort.patients} if name in payload]
        statement = json.loads(payload)
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        predicate = SiteAggregate.model_validate(statement["predicate"])
        assert max(len(entry.roc) for target in predicate.targets for entry in target.entries) <= 4
        for target in predicate.targets:
            assert all(n is None or n % 10 == 0 for n in (target.images, target.patients, target.positives))
        assert "PRIVATE KEY" not in payload
        assert hospital.key.stat().st_mode & 0o077 == 0


def test_where_labels_are_private_the_auroc_alone_leaves_the_hospital(
    hospitals: list[Hospital], keys: Path, tmp_path: Path
) -> None:
    hospital, *others = hospitals
    spec = hospital.cohort.spec.model_copy(update={"labels": LabelMode.PRIVATE})
    cohort = replace(hospital.cohort, spec=spec)
    file = tmp_path / "private.json"
    write_aggregate(file, site=hospital.name, key=hospital.key, cohort=cohort, workspace=hospital.space)
    payload = json.loads(base64.b64decode(json.loads(file.read_text())["payload"]))["predicate"]
    whole = {target["target"]: target for target in stated(hospital)["targets"]}
    assert set(whole) == {target["target"] for target in payload["targets"]}
    for target in payload["targets"]:
        for entry, public in zip(target["entries"], whole[target["target"]]["entries"], strict=True):
            assert set(entry["figures"]) == {"auroc"}
            assert not entry.get("roc")
            auroc, stated_auroc = entry["figures"]["auroc"], public["figures"]["auroc"]
            assert auroc["value"] == round(auroc["value"], 3)
            assert abs(auroc["value"] - stated_auroc["value"]) <= 0.0005
            assert auroc["se"] == stated_auroc["se"], "pooling needs it, with two digits"
    pooled = sites_board([file, *(other.file for other in others)], keys=keys).target(HEADLINE)
    strong = pooled.entries[0]
    assert (strong.slug, strong.rank) == ("strong", 1)
    assert set(strong.sites[hospital.name]) == {"auroc"}
    assert len(strong.sites) == len(SITES)
    assert strong.pooled["calibration_slope"].value is not None, "of the other four hospitals"


def test_every_flipped_bit_is_found(hospitals: list[Hospital], keys: Path, tmp_path: Path) -> None:
    hospital = hospitals[0]
    data = bytearray(hospital.file.read_bytes())
    random = np.random.default_rng(0)
    for place in random.choice(len(data) - 1, 60, replace=False):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            (tmp_path / "f.json").write_bytes(flipped)
            if _same_content(flipped, data):
                continue
            with pytest.raises(BenchError) as caught:
                sites_board([tmp_path / "f.json"], keys=keys)
            assert set(codes(caught)) <= {"statement-invalid", "signature-invalid", "signer-unknown"}


def _same_content(flipped: bytearray, data: bytearray) -> bool:
    """Whether only blanks of the envelope differ, which nothing depends on."""
    try:
        return bool(json.loads(flipped) == json.loads(data))
    except ValueError:
        return False


def test_a_forged_signature_is_refused(hospitals: list[Hospital], keys: Path, tmp_path: Path) -> None:
    north, south = hospitals[:2]
    make_site_key(tmp_path / "thief.pem", "north")
    write_statement(
        tmp_path / "thief.json",
        {"strong": "a" * 64},
        PREDICATE,
        stated(north),
        read_key(tmp_path / "thief.pem"),
    )
    with pytest.raises(BenchError) as caught:
        sites_board([tmp_path / "thief.json"], keys=keys)
    assert codes(caught) == ["signer-unknown"]
    with pytest.raises(BenchError) as caught:
        sites_board([signed(south, tmp_path / "other.json", site="north")], keys=keys)
    assert codes(caught) == ["signer-unknown"], "a hospital signs for itself only"
    envelope = json.loads(north.file.read_text())
    envelope["signatures"][0]["sig"] = json.loads(south.file.read_text())["signatures"][0]["sig"]
    (tmp_path / "swapped.json").write_text(json.dumps(envelope))
    with pytest.raises(BenchError) as caught:
        sites_board([tmp_path / "swapped.json"], keys=keys)
    assert codes(caught) == ["signature-invalid"]


def test_files_that_do_not_belong_are_refused(hospitals: list[Hospital], keys: Path, tmp_path: Path) -> None:
    north, south, east, *_ = hospitals
    hash_rule = {"split": "hash of the patient: test 0.2, val 0.1", "split_salt": "a"}
    first = signed(north, tmp_path / "north.json", **hash_rule)
    old = signed(south, tmp_path / "old.json", subjects="c", scoring_version=1)
    other = signed(
        south, tmp_path / "south.json", subjects="c", split="hash of the patient: test 0.3, val 0.1"
    )
    salted = signed(east, tmp_path / "east.json", subjects="d", **{**hash_rule, "split_salt": "b"})
    shutil.copy(north.file, tmp_path / "again.json")
    same = signed(south, tmp_path / "same.json", subjects="b")
    for files, code in (
        ([north.file, old], "site-scoring-version"),
        ([first, other], "site-split"),
        ([first, salted], "site-split"),
        ([north.file, tmp_path / "again.json"], "site-twice"),
        ([first, same], "site-twice"),
    ):
        with pytest.raises(BenchError) as caught:
            sites_board(files, keys=keys)
        assert code in codes(caught), files
        assert all(problem.where and problem.as_dict()["remedy"] for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("name", "spoil", "message", "remedy"),
    [
        ("empty.json", lambda _: b"", "an empty file, not JSON", "Ask the hospital"),
        ("login.json", lambda _: b"<html></html>", "HTML or XML.*, not JSON", "Ask the hospital"),
        ("north.json.gz", gzip.compress, "a gzip file, not text", "Ask the hospital"),
        ("table.json", lambda _: b"PAR1\xff\x00", "a Parquet file, not text", "Ask the hospital"),
        ("wide.json", lambda data: data.decode().encode("utf-16"), "UTF-16", "Save the file as UTF-8"),
        ("list.json", lambda _: b"[]", "should be a table of keys", "Ask the hospital"),
        ("cut.json", lambda data: data[:200], "^Not valid JSON", "Ask the hospital"),
        (
            "payload.json",
            lambda data: base64.b64decode(json.loads(data)["payload"]),
            r"another document: it has _type, predicate, .*, and none of payload, payloadType, signatures",
            "Ask the hospital",
        ),
    ],
)
def test_other_files_in_place_of_a_statement_are_named(
    hospitals: list[Hospital],
    keys: Path,
    tmp_path: Path,
    name: str,
    spoil: Callable[[bytes], bytes],
    message: str,
    remedy: str,
) -> None:
    (tmp_path / name).write_bytes(spoil(hospitals[0].file.read_bytes()))
    with pytest.raises(BenchError) as caught:
        sites_board([tmp_path / name], keys=keys)
    (problem,) = caught.value.problems
    assert_problem(problem, "statement-invalid", message=message, where=re.escape(name), remedy=remedy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "sites: This key is missing"),
        ("[sites]\n", "needs at least 1 item"),
        ('north = "x"\n', "another document: it has north, and none of sites"),
        ('[sites]\nnorth = "x"\n', "sites.north: this is no public key, which has 44 characters"),
    ],
)
def test_keys_of_hospitals_that_are_none_are_named(
    hospitals: list[Hospital], tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "sites.toml").write_text(text)
    with pytest.raises(BenchError) as caught:
        sites_board([hospitals[0].file], keys=tmp_path / "sites.toml")
    (problem,) = caught.value.problems
    assert_problem(
        problem, "site-keys", message=message, where=r"sites\.toml$", remedy="bench keygen. prints the line"
    )


def test_two_hospitals_are_ranked_but_not_pooled(hospitals: list[Hospital], keys: Path) -> None:
    found = sites_board([hospital.file for hospital in hospitals[:2]], keys=keys).target(HEADLINE)
    assert found.entries[0].rank == 1
    assert found.entries[0].pooled["auroc"].value is None
    assert "not estimable" in found.entries[0].pooled["auroc"].reason


def test_the_board_is_shown_and_given_as_json(hospitals: list[Hospital], keys: Path, cli: Cli) -> None:
    files = [hospital.file for hospital in hospitals]
    ran = cli("board", "--sites", *files, "--keys", keys)
    assert ran.exit_code == 0, ran.stderr
    assert all(name in ran.stdout for name in (*SITES, *STRENGTHS, "prediction interval"))
    plain = cli("board", "--sites", *files, "--keys", keys, "--json").object["result"]
    assert SitesBoard.model_validate(plain["sites_board"]) == sites_board(files, keys=keys)
    assert cli("board", "--sites", "--json").exit_code == 2
    assert cli("board", "--sites", files[0], "--keys", hospitals[0].key, "--json").codes[0] == "site-keys"


def test_the_command_line_goes_from_the_store_to_the_file(
    hospitals: list[Hospital], cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hospitals[0].space.root)
    made = cli("keygen", tmp_path / "k.pem", "--site", "north")
    assert made.exit_code == 0
    assert cli("keygen", tmp_path / "k.pem", "--site", "north", "--json").codes == ["sign-key-exists"]
    (problem,) = cli("keygen", "k.pem", "--site", "north", "--json").object["problems"]
    assert_problem(
        problem,
        "key-in-workspace",
        message="could be published",
        where=r"^k\.pem$",
        remedy="outside the workspace",
    )
    (tmp_path / "checkout" / ".git").mkdir(parents=True)
    (problem,) = cli("keygen", tmp_path / "checkout/k.pem", "--site", "north", "--json").object["problems"]
    assert_problem(
        problem,
        "key-in-checkout",
        message="checkout could be committed",
        where=r"checkout/k\.pem$",
        remedy="outside the checkout",
    )
    assert not Path("k.pem").exists()
    assert not (tmp_path / "checkout/k.pem").exists()
    assert cli("board", "--keys", tmp_path / "k.pem", "--json").exit_code == 2
    for text, message in (("PUBLIC KEY", "a public key"), ("ENCRYPTED PRIVATE KEY", "has a password")):
        (tmp_path / "other.pem").write_text(f"-----BEGIN {text}-----\nx\n-----END {text}-----\n")
        signing = ("--aggregate-out", tmp_path / "a.json", "--site", "north", "--key", tmp_path / "other.pem")
        (problem,) = cli("score", "--all", *signing, "--json").object["problems"]
        assert_problem(
            problem, "sign-key-invalid", message=message, where=r"other\.pem$", remedy="bench keygen"
        )
    words = ("score", "--all", "--replicates", "100", "--jobs", "1", "--aggregate-out", tmp_path / "a.json")
    assert cli(*words, "--site", "north").exit_code == 2
    assert cli(*words, "--site", "north", "--key", tmp_path / "a.json", "--json").exit_code == 1
