"""Link of MIMIC: every planted trap is found and counted, labels against a slow reading, bad input."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from bench.cohort.images import ImageFolders, read_batches
from bench.cohort.link import measurements as kinds
from bench.cohort.link import mimic
from bench.cohort.link.mimic import REPORT, TABLE, EchoRule, Linked, link_mimic
from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.cohort.synthetic.mimic import SyntheticMimic, write_mimic
from bench.errors import BenchError
from bench.files import atomic_path
from bench.workspace import create_workspace
from tests.conftest import Cli

LENGTHS = ("ivsd", "lvpwd", "lvidd")
LIMITS = {"M": (1.5, 1.5, 5.9), "F": (1.4, 1.4, 5.3)}  # Bhave et al. 2024, strictly above
ECHO, METADATA = "structured-measurement.csv.gz", "mimic-cxr-2.0.0-metadata.csv.gz"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SyntheticMimic:
    """Three synthetic releases; tests only read them."""
    return write_mimic(tmp_path_factory.mktemp("mimic") / "releases", patients=600)


@pytest.fixture(scope="module")
def linked(made: SyntheticMimic) -> Linked:
    return link_mimic(made.cxr, made.echo, made.iv, made.cxr.parent.parent / "linked")


def slow_link(made: SyntheticMimic, rule: EchoRule) -> dict[str, tuple[float | None, ...]]:
    """Image → septum, wall, diameter, SLVH, DLV, composite, image by image from the true values."""
    of_patient: dict[int, list[dict[Any, Any]]] = {}
    for day in made.days.to_dict("records"):
        of_patient.setdefault(day["subject_id"], []).append(day)
    found: dict[str, tuple[float | None, ...]] = {}
    for row in made.images.to_dict("records"):
        image = SimpleNamespace(**{str(name): value for name, value in row.items()})
        if image.view not in ("AP", "PA") or pd.isna(image.time) or pd.isna(image.sex) or image.age < 18:
            continue
        near = []
        for day in of_patient.get(image.subject_id, ()):
            distance = abs((day["time"] - image.time).total_seconds()) / 86_400
            if distance <= 365:
                near.append((distance, day["time"], [day[length] for length in LENGTHS]))
        if not near:
            continue
        cm = min(near, key=lambda day: day[:2])[2]
        if rule == "maximum":
            cm = [
                max((c for c in column if c == c), default=np.nan)
                for column in zip(*(d[2] for d in near), strict=True)
            ]
        septum, wall, diameter = (None if c != c else round(c, 6) for c in cm)
        limits = LIMITS[image.sex]
        slvh = None if septum is None or wall is None else int(septum > limits[0] or wall > limits[1])
        dlv = None if diameter is None else int(diameter > limits[2])
        composite = None if slvh is None or dlv is None else max(slvh, dlv)
        if slvh is not None or dlv is not None:
            found[image.dicom_id] = (septum, wall, diameter, slvh, dlv, composite)
    return found


@pytest.mark.parametrize("rule", ["nearest", "maximum"])
def test_images_get_the_labels_of_a_slow_link(rule: EchoRule, made: SyntheticMimic, tmp_path: Path) -> None:
    link_mimic(made.cxr, made.echo, made.iv, tmp_path / "out", rule=rule)
    table = pd.read_csv(tmp_path / "out" / TABLE)
    columns = [*LENGTHS, "slvh", "dlv", "composite_slvh_dlv"]
    found = {
        row[0]: tuple(None if pd.isna(v) else v for v in row[1:])
        for row in table[["dicom_id", *columns]].itertuples(index=False)
    }
    expected = slow_link(made, rule)
    assert len(expected) > 1_000
    assert found.keys() == expected.keys()
    assert all(found[k] == pytest.approx(expected[k]) for k in expected)
    assert 0 < table["composite_slvh_dlv"].mean() < 1
    assert table["composite_slvh_dlv"].isna().any()


def test_every_planted_trap_is_counted(made: SyntheticMimic, linked: Linked) -> None:
    of_trap = {
        "mm": kinds.MM,
        "mm without unit": kinds.MM_WITHOUT_UNIT,
        "mm as cm": kinds.MM_AS_CM,
        "cm as mm": kinds.CM_AS_MM,
        "no number": kinds.NO_NUMBER,
        "unknown unit": kinds.UNKNOWN_UNIT,
        "implausible": kinds.IMPLAUSIBLE,
        "repeated": kinds.REPEATED,
        "unreadable date": kinds.UNREADABLE_DATE,
    }
    for length in LENGTHS:
        planted, counted = made.planted[length], linked.report.corrections[length]
        assert all(planted.values())
        assert {trap: counted[kind] for trap, kind in of_trap.items()} == {t: planted[t] for t in of_trap}
        assert counted[kinds.DISAGREE] == 2 * planted["disagree"]  # both values of the day
        rows = sum(planted.values()) - planted["not measured"] + planted["repeated"] + planted["disagree"]
        assert linked.report.selected_rows[length] == rows
    assert linked.report.echo_rows_by_test["tte"] > 2_000
    assert {"stress", "tee"} <= linked.report.echo_rows_by_test.keys()
    assert {p.code: p.severity for p in linked.problems} == {"link-dates": "warning", "link-units": "warning"}


def test_the_flow_accounts_for_every_image(made: SyntheticMimic, linked: Linked) -> None:
    flow = linked.report.flow
    assert flow[0].images == len(made.images)
    for step, after in pairwise(flow):
        assert step.images - sum(e.images for e in step.excluded) == after.images
    table = pd.read_csv(linked.folder / TABLE)
    assert (flow[-1].images, flow[-1].patients) == (len(table), table["subject_id"].nunique())
    reasons = {e.reason: e.images for step in flow for e in step.excluded}
    frontal = made.images[made.images["view"].isin(["AP", "PA"])]
    assert reasons["not a frontal view (lateral, other, or none stated)"] == len(made.images) - len(frontal)
    assert reasons["date or time that cannot be read"] == frontal["time"].isna().sum() > 0
    dated = frontal[frontal["time"].notna()]
    assert reasons["patient without sex or age in MIMIC-IV"] == dated["sex"].isna().sum() > 0
    withheld = ~dated["subject_id"].isin(made.studies) & dated["sex"].notna()
    assert reasons["patient without a transthoracic study in MIMIC-IV-ECHO"] == withheld.sum() > 0
    for label in linked.report.labels:
        assert (label.labelled, label.positives) == (table[label.target].count(), table[label.target].sum())
    svg = ElementTree.parse(linked.folder / "flow.svg").getroot()
    texts = {element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {step.label for step in flow} <= texts
    page = (linked.folder / "flow.html").read_text()
    assert all(f"<td>{reason}</td>" in page for reason in reasons)
    assert linked.report.rule.replace("`", "") in page.replace("`", "")


def test_age_race_and_path_are_those_of_the_patient(made: SyntheticMimic, linked: Linked) -> None:
    table = pd.read_csv(
        linked.folder / TABLE, keep_default_na=False, dtype={"subject_id": str, "study_id": str}
    )
    truth = made.images.set_index("dicom_id").loc[table["dicom_id"]]
    assert table["age"].tolist() == truth["age"].tolist()
    assert table["sex"].tolist() == truth["sex"].tolist()
    assert set(table["race"]) == {"White", "Black", "Hispanic or Latino", "Asian", "Other", ""}
    first = table.iloc[0]
    subject = first["subject_id"]
    assert first["path"] == f"p{subject[:2]}/p{subject}/s{first['study_id']}/{first['dicom_id']}.jpg"
    assert set(table["official_split"]) == {"train", "validate", "test"}


def test_identifiers_are_in_the_table_alone(made: SyntheticMimic, linked: Linked) -> None:
    subjects = set(map(str, made.images["subject_id"]))
    for path in linked.folder.iterdir():
        if path.name != TABLE:
            assert not any(subject in path.read_text() for subject in subjects)
    assert (linked.folder / ".gitignore").read_text().endswith("*\n")
    assert not any(subject in str(p) for p in linked.problems for subject in subjects)


def test_a_later_link_replaces_the_folder_and_a_failed_one_leaves_it(
    made: SyntheticMimic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "linked"

    def contents() -> dict[str, str]:
        files = (p for p in out.iterdir() if not p.name.startswith(".link.lock"))
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    link_mimic(made.cxr, made.echo, made.iv, out)
    first = contents()
    link_mimic(made.cxr, made.echo, made.iv, out)
    assert contents() == first
    link_mimic(made.cxr, made.echo, made.iv, out, rule="maximum")
    second = contents()
    assert second[TABLE] != first[TABLE]

    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(mimic, "flow_html", interrupt)
    with pytest.raises(KeyboardInterrupt):
        link_mimic(made.cxr, made.echo, made.iv, out)
    assert contents() == second
    monkeypatch.undo()
    real = atomic_path

    @contextmanager
    def interrupted(path: Path) -> Iterator[Path]:
        with real(path) as part:
            yield part
            raise KeyboardInterrupt

    monkeypatch.setattr(mimic, "atomic_path", interrupted)
    with pytest.raises(KeyboardInterrupt):
        link_mimic(made.cxr, made.echo, made.iv, out)
    assert contents()[TABLE] == second[TABLE]  # the whole old table, and no report: the link is not complete
    assert not (out / REPORT).exists()
    monkeypatch.undo()
    link_mimic(made.cxr, made.echo, made.iv, out)
    assert contents() == first
    assert [p.name for p in tmp_path.iterdir()] == ["linked"]


def test_another_folder_is_never_replaced(made: SyntheticMimic, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BenchError, match="file-exists"):
        link_mimic(made.cxr, made.echo, made.iv, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


# Bad input


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()).decode()).encode()))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def only(folder: Path, name: str) -> None:
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()
    (folder / name).touch()


def only_file(folder: Path, file: Path) -> None:
    data = file.read_bytes()
    shutil.rmtree(folder)
    folder.write_bytes(data)


def made_folder(path: Path) -> Path:
    path.mkdir()
    return path


def list_sums(folder: Path) -> None:
    (folder / "SHA256SUMS.txt").write_text(f"{'0' * 64} {ECHO}\n")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (lambda r: shutil.rmtree(r / "iv"), r"(?s)link-missing: The folder of MIMIC-IV 2\.0.*--iv"),
    "no admissions": (
        lambda r: (r / "iv/hosp/admissions.csv.gz").unlink(),
        r"link-missing: MIMIC-IV .*no hosp/admissions\.csv",
    ),
    "folder above": (
        lambda r: (r / "echo").rename(r / "e").rename(made_folder(r / "echo") / "1.0"),
        r"(?s)link-missing: MIMIC-IV-ECHO.*Name the folder in it: `--echo .*1\.0`",
    ),
    "DICOM": (
        lambda r: only(r / "cxr", "cxr-record-list.csv.gz"),
        "link-version: This is MIMIC-CXR in DICOM",
    ),
    "echo 0.1": (
        lambda r: only(r / "echo", "echo-record-list.csv"),
        r"link-version: This is MIMIC-IV-ECHO 0\.1",
    ),
    "MIMIC-III": (
        lambda r: (r / "iv/hosp").rename(r / "iv/PATIENTS.csv.gz"),
        "link-version: This is MIMIC-III; MIMIC-IV",
    ),
    "old column": (
        lambda r: rewrite(r / "iv/hosp/admissions.csv.gz", lambda t: t.replace("race", "ethnicity", 1)),
        "link-version: 1 of 3 columns of MIMIC-IV 2.0 or later missing: race",
    ),
    "cut short": (lambda r: cut(r / "echo" / ECHO), "link-damaged: The file is cut short"),
    "empty": (
        lambda r: (r / "cxr" / METADATA).write_bytes(b""),
        r"^link-damaged: The file is empty.(?!.*link-)",
    ),
    "other sums": (lambda r: list_sums(r / "echo"), "link-damaged: The SHA-256 differs"),
    "not gzip": (
        lambda r: (r / "echo" / ECHO).write_bytes(b"PK\x03\x04\x00"),
        "link-damaged: It is a zip archive or spreadsheet, not the table",
    ),
    "page of a login": (
        lambda r: (r / "echo" / ECHO).write_bytes(b"<html>log in</html>"),
        "link-damaged: It is HTML or XML, perhaps the page of a login, not the table",
    ),
    "bytes of no kind": (
        lambda r: (r / "echo" / ECHO).write_bytes(b"x" * 99),
        "link-damaged: .* cannot be read",
    ),
    "folders exchanged": (
        lambda r: [(r / a).rename(r / b) for a, b in (("echo", "x"), ("cxr", "echo"), ("x", "cxr"))],
        r"(?s)This is MIMIC-IV-ECHO; MIMIC-CXR-JPG .*with `--cxr`.*This is MIMIC-CXR-JPG; MIMIC-IV-ECHO",
    ),
    "a file for a folder": (
        lambda r: only_file(r / "echo", r / "echo" / ECHO),
        r"(?s)link-missing: This is a file; MIMIC-IV-ECHO .*Name the folder that holds it: `--echo ",
    ),
    "a second download": (
        lambda r: (r / "cxr" / METADATA).rename(r / "cxr" / METADATA.replace(".csv", " (1).csv")),
        r"link-missing: MIMIC-CXR-JPG .* There is 'mimic-cxr-2\.0\.0-metadata \(1\)\.csv\.gz'",
    ),
    "semicolons": (
        lambda r: rewrite(r / "echo" / ECHO, lambda t: t.replace(",", ";")),
        r"(?s)link-version: 7 of 7 columns .*with commas between columns",
    ),
    "ragged": (
        lambda r: rewrite(r / "echo" / ECHO, lambda t: t + "10000032,7\n"),
        "link-damaged: 1 rows are longer or shorter",
    ),
    "units": (
        lambda r: rewrite(r / "echo" / ECHO, lambda t: t.replace(",cm\n", ",inch\n")),
        r"link-units: .* unknown unit, left out \('inch'",
    ),
    "dates": (
        lambda r: rewrite(r / "cxr" / METADATA, lambda t: t.replace(",21", ",1/21")),
        "link-dates: .* frontal images have an unreadable date",
    ),
    "echo dates": (
        lambda r: rewrite(r / "echo" / ECHO, lambda t: t.replace(" ", "/", 20_000)),
        "link-dates: .* rows of wall and diameter: date",
    ),
    "names": (
        lambda r: rewrite(r / "echo" / ECHO, lambda t: t.replace("septal_thickness", "septum_thickness")),
        r"link-measurements: No measurement of the interventricular septum .* 'septum_thickness'",
    ),
    "no tte": (
        lambda r: rewrite(r / "echo" / ECHO, lambda t: t.replace(",tte,", ",transthoracic,")),
        "link-measurements: None of .* rows is of a transthoracic study",
    ),
    "patients of others": (
        lambda r: rewrite(r / "iv/hosp/patients.csv.gz", lambda t: t.replace("\n1", "\n2")),
        "link-empty: None of ",
    ),
    "repeated image": (
        lambda r: rewrite(r / "cxr" / METADATA, lambda t: t + t.splitlines(keepends=True)[1]),
        "link-damaged: 1 of .* rows repeat a dicom_id",
    ),
    "other split": (
        lambda r: rewrite(
            r / "cxr/mimic-cxr-2.0.0-split.csv.gz", lambda t: "".join(t.splitlines(keepends=True)[:-2])
        ),
        "link-damaged: 2 of .* images of the metadata are not in the list of the split",
    ),
    "id that is no number": (
        lambda r: rewrite(r / "iv/hosp/patients.csv.gz", lambda t: t.replace("\n1", "\np1", 1)),
        "link-damaged: 1 of .* values of subject_id are not whole numbers",
    ),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "releases"
    write_mimic(folder, patients=40)
    return folder


@pytest.mark.parametrize(("harm", "says"), FAULTS.values(), ids=FAULTS)
def test_each_fault_is_named_and_nothing_is_written(
    harm: Callable[[Path], object], says: str, small: Path, tmp_path: Path
) -> None:
    releases = tmp_path / "releases"
    shutil.copytree(small, releases)
    harm(releases)
    with pytest.raises(BenchError, match=says):
        link_mimic(releases / "cxr", releases / "echo", releases / "iv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_folder_above_is_named(small: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=f"Name the folder above it: `--iv {small / 'iv'}`"):
        link_mimic(small / "cxr", small / "echo", small / "iv" / "hosp", tmp_path / "out")


def test_either_name_of_the_measurements_and_plain_csv_are_read(small: Path, tmp_path: Path) -> None:
    releases = tmp_path / "releases"
    shutil.copytree(small, releases)
    cxr, echo, iv = (releases / name for name in ("cxr", "echo", "iv"))
    first = link_mimic(cxr, echo, iv, tmp_path / "a").report
    text = gzip.decompress((releases / "echo" / ECHO).read_bytes())
    (releases / "echo" / ECHO).unlink()
    (releases / "echo" / "structured_measurement.csv").write_bytes(text)
    second = link_mimic(cxr, echo, iv, tmp_path / "b").report
    assert [s.file for s in second.sources if "ECHO" in s.release] == ["structured_measurement.csv"]
    assert second.flow == first.flow
    assert second.corrections == first.corrections


# The whole board


def test_linked_images_are_read_through_the_link_to_the_release(tmp_path: Path) -> None:
    made = write_mimic(tmp_path / "releases", patients=6, images=True)
    done = link_mimic(made.cxr, made.echo, made.iv, tmp_path / "out")
    cohort = load_cohort(load_spec("mimic-echo"), done.folder)
    folders = ImageFolders(cohort)
    assert all(folders.path(image) is not None for image in cohort.images)
    (pixels,) = read_batches(cohort, np.arange(2), 32, 32, 2)
    assert pixels.std() > 0
    assert cohort.synthetic


def test_linked_patients_go_through_the_whole_board(
    linked: Linked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(create_workspace(tmp_path / "board").root)
    words = ("--cohort", "mimic-echo", "--data", linked.folder)
    table = pd.read_csv(linked.folder / TABLE)
    noise = np.random.default_rng(0).normal(0, 0.5, len(table))
    risk = 1 / (1 + np.exp(-(2 * table["ivsd"].fillna(1.1) + 0.6 * table["lvidd"].fillna(4.5) - 6 + noise)))
    frame = table[["dicom_id"]].assign(composite_preds=risk, slvh_preds=risk, dlv_preds=risk)
    frame.to_csv(tmp_path / "p.csv", index=False)
    ran = cli("submit", tmp_path / "p.csv", "--slug", "walls", *words)
    assert ran.exit_code == 0, ran.stderr
    ran = cli("baseline", "run", "prevalence", "demographics", "--quick", *words)
    assert ran.exit_code == 0, ran.stderr
    ran = cli("score", "--all", "--replicates", "200", "--jobs", "1", *words, "--json")
    assert ran.exit_code == 0, ran.stderr
    cards = {card["slug"]: card for card in ran.object["result"]["scorecards"]}
    assert cards.keys() == {"walls", "prevalence", "demographics"}
    assert cards["walls"]["targets"][0]["metrics"]["auroc"]["value"] > 0.7
    assert {s["division"] for s in cards["walls"]["subgroups"]} >= {"view", "sex", "official_split", "race"}
    assert cli("verify", "--jobs", "1", *words).exit_code == 0
    ran = cli("site", "build", "--out", tmp_path / "site", "--cohort", "mimic-echo")
    assert ran.exit_code == 0, ran.stderr
    subjects = set(map(str, table["subject_id"]))
    for page in (tmp_path / "site").rglob("*.html"):
        assert not any(subject in page.read_text() for subject in subjects)


def test_the_command_says_rule_and_flow(made: SyntheticMimic, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "out"
    words = ("cohort", "link", "mimic", "--cxr", made.cxr, "--echo", made.echo, "--iv", made.iv, "--out", out)
    ran = cli(*words, "--echo-rule", "maximum", "--window", "180", "--json")
    assert ran.exit_code == 0, ran.stderr
    stored = json.loads((out / REPORT).read_text())
    assert ran.object["result"] == {"folder": str(out), **stored}
    assert (stored["echo"], stored["window_days"], stored["schema"]) == ("maximum", 180, "cohort-link/1")
    ran = cli(*words)
    assert "nearest to the X-ray, at most 365 days" in " ".join(ran.stdout.split())
    assert "excluded, not a frontal view" in ran.stdout
