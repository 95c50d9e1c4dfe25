"""`bench cohort check`: each fault of a copy is found, counted, and named to nobody but its holder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.cohort.audit import Audit, audit
from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import CohortSpec, load_spec
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.tiny import cohort_table, write_cohort

PATIENTS = 40


def spec_of(**changes: object) -> CohortSpec:
    """The spec of the demo cohort, which expects no size, not marked as synthetic."""
    return load_spec("demo").model_copy(update={"synthetic": False, **changes})


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "c"
    write_cohort(folder, cohort_table(PATIENTS))
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of the cohort that a test may damage."""
    return Path(shutil.copytree(original, tmp_path / "c"))


def look(folder: Path, **changes: object) -> Audit:
    return audit(load_cohort(spec_of(**changes), folder), jobs=2)


def codes(report: Audit) -> dict[str, str]:
    assert len({p.code for p in report.problems}) == len(report.problems)
    return {p.code: p.message for p in report.problems}


def pick(folder: Path, *parts: str, without: tuple[str, ...] = ()) -> list[str]:
    """An image of each of these parts, each of another patient, none of a patient of `without`."""
    cohort = load_cohort(spec_of(), folder)
    patient = dict(zip(cohort.images, cohort.patients, strict=True))
    chosen: list[str] = []
    for part in parts:
        seen = {patient[image] for image in (*chosen, *without)}
        images = cohort.images[cohort.split.parts == part]
        chosen.append(str(next(image for image in images if patient[image] not in seen)))
    return chosen


def siblings(folder: Path) -> tuple[str, str]:
    """Two training images of one patient."""
    cohort = load_cohort(spec_of(), folder)
    table = pd.DataFrame({"i": cohort.images, "p": cohort.patients}).iloc[cohort.rows("train")]
    group = next(group for _, group in table.groupby("p") if len(group) > 1)
    return group["i"].iloc[0], group["i"].iloc[1]


def test_a_whole_copy_has_no_fault(folder: Path) -> None:
    steps: list[tuple[int, int]] = []
    cohort = load_cohort(spec_of(), folder)
    report = audit(cohort, progress=lambda done, total: steps.append((done, total)))
    assert report.problems == ()
    assert report.images is not None
    assert report.images.looked_at == len(cohort)
    assert steps == [(k, len(cohort)) for k in range(1, len(cohort) + 1)]
    assert [line.agree for line in report.labels] == [len(cohort)] * 3
    zeros = (cohort.table["lvidd"].astype(float) == 0).sum()
    assert report.implausible == {"ivsd": 0, "lvpwd": zeros, "lvidd": zeros}


def test_without_images_no_file_is_read(folder: Path) -> None:
    shutil.rmtree(folder / "images")
    report = audit(load_cohort(spec_of(), folder), images=False)
    assert (report.images, report.problems) == (None, ())


def test_missing_images_are_counted(folder: Path) -> None:
    names = sorted(p.name for p in (folder / "images").iterdir())[:3]
    for name in names:
        (folder / "images" / name).unlink()
    report = look(folder)
    assert report.images is not None
    assert sorted(report.images.missing) == names
    assert codes(report) == {"images-missing": f"3 of {report.split.images} images."}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda d: d[: len(d) // 2], "1 end before the image does"),
        (lambda d: d[: len(d) - 40], "1 end before the image does"),
        (lambda d: b"", "1 are empty files"),
        (lambda d: b"no image at all", "1 cannot be decoded"),
        (lambda d: bytes(len(d)), "1 hold only zero bytes"),
    ],
    ids=["half", "end", "empty", "text", "zeros"],
)
def test_images_that_cannot_be_decoded_are_counted(
    damage: Callable[[bytes], bytes], says: str, folder: Path
) -> None:
    path = sorted((folder / "images").iterdir())[5]
    path.write_bytes(damage(path.read_bytes()))
    report = look(folder)
    assert report.images is not None
    assert report.images.damaged == [path.name]
    assert codes(report) == {"images-damaged": f"1 of {report.split.images} images: {says}."}


def test_files_that_no_row_names_are_counted(folder: Path) -> None:
    for name in ("x.jpg", "y.PNG", "notes.txt"):
        (folder / "images" / name).write_bytes(b"x")
    report = look(folder)
    assert report.images is not None
    assert sorted(report.images.unlisted) == ["x.jpg", "y.PNG"]
    assert codes(report) == {"images-unlisted": "2 image files are in no row of the table."}
    assert [p.severity for p in report.problems] == ["warning"]


def test_duplicates_within_a_patient_and_across_patients_are_counted_apart(folder: Path) -> None:
    a, b = siblings(folder)
    shutil.copyfile(folder / "images" / a, folder / "images" / b)
    report = look(folder)
    assert codes(report) == {
        "images-duplicate": "1 groups of images have the same pixels, 0 of them of more than one patient."
    }
    c, d = pick(folder, "train", "train", without=(a,))
    shutil.copyfile(folder / "images" / c, folder / "images" / d)
    assert codes(look(folder))["images-duplicate"].startswith("2 groups of images have the same pixels, 1 of")


def test_duplicates_in_train_and_test_are_an_error(folder: Path) -> None:
    a, b = pick(folder, "train", "test")
    shutil.copyfile(folder / "images" / a, folder / "images" / b)
    report = look(folder)
    assert report.images is not None
    assert {frozenset(group) for group in report.images.duplicates} == {frozenset((a, b))}
    assert codes(report)["duplicates-straddle"] == "1 groups of identical images are in train and in test."
    assert {p.code: p.severity for p in report.problems} == {
        "images-duplicate": "warning",
        "duplicates-straddle": "error",
    }


def test_duplicates_are_found_by_their_pixels_in_other_file_formats(folder: Path) -> None:
    """The same picture as another file format, and in colour, is the same picture; one pixel off is not."""
    a, b = pick(folder, "train", "train")
    with Image.open(folder / "images" / a) as image:
        image.convert("RGB").save(folder / "images" / b, format="PNG")
    assert "images-duplicate" in codes(look(folder))
    with Image.open(folder / "images" / a) as image:
        pixels = np.array(image)
        pixels[0, 0] ^= 1
        Image.fromarray(pixels).save(folder / "images" / b, format="PNG")
    assert codes(look(folder)) == {}


def test_bright_images_of_16_bits_are_not_taken_for_one_another(folder: Path) -> None:
    a, b = pick(folder, "train", "train")
    for name, level in ((a, 20_000), (b, 40_000)):
        Image.fromarray(np.full((16, 16), level, np.uint16)).save(folder / "images" / name, format="PNG")
    assert codes(look(folder)) == {}


def sums(folder: Path, names: list[str]) -> None:
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS.txt").write_text("".join(lines))


def everything(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_checksums_are_compared_where_there_is_a_list(folder: Path) -> None:
    names = everything(folder)
    sums(folder, names)
    report = look(folder)
    assert (codes(report), report.images and report.images.checksums) == ({}, len(names))
    text = (folder / "SHA256SUMS.txt").read_text()
    (folder / "SHA256SUMS.txt").write_text(text.upper().replace("IMAGES", "images").replace(".JPG", ".jpg"))
    (folder / "SHA256SUMS.txt").write_text(text.replace("  ", " *./"))
    assert codes(look(folder)) == {}


def test_changed_files_are_counted_images_and_others_and_unlisted_ones(folder: Path) -> None:
    (folder / "images" / "extra.jpg").write_bytes(b"x")
    (folder / "LICENSE.txt").write_text("terms")
    names = everything(folder)
    sums(folder, names)
    path = next((folder / "images").glob("0*"))
    with Image.open(path) as image:
        pixels = np.array(image)
    Image.fromarray(255 - pixels).save(path, format="JPEG")
    (folder / "images" / "extra.jpg").write_bytes(b"y")
    (folder / "LICENSE.txt").write_text("other terms")
    report = look(folder)
    assert report.images is not None
    assert sorted(report.images.changed) == sorted(["LICENSE.txt", path.name, "images/extra.jpg"])
    assert codes(report)["checksum-differs"] == f"3 of {len(names)} listed files have another SHA-256."


def test_listed_files_that_are_not_there_are_counted(folder: Path) -> None:
    (folder / "LICENSE.txt").write_text("terms")
    names = everything(folder)
    sums(folder, names)
    (folder / "LICENSE.txt").unlink()
    assert codes(look(folder)) == {"checksum-file-missing": f"1 of {len(names)} listed files are not there."}


def test_a_list_of_checksums_that_cannot_be_read_is_a_fault_and_no_crash(folder: Path) -> None:
    (folder / "SHA256SUMS.txt").write_bytes(b"\xff\xfe\x00 no list")
    assert codes(look(folder)) == {"checksum-list": "1 lines are not of the form 'SHA-256  file'."}


def test_the_size_of_the_release_is_expected(folder: Path) -> None:
    cohort = load_cohort(spec_of(), folder)
    size = {"expected_images": len(cohort), "expected_patients": PATIENTS}
    assert codes(look(folder, **size)) == {}
    problem_codes = codes(look(folder, **size | {"expected_images": 71_589}))
    have = f"{len(cohort)} images of {PATIENTS} patients; the release has"
    assert problem_codes == {"cohort-size": f"{have} 71,589 images of {PATIENTS} patients."}
    assert codes(look(folder, expected_patients=41)) == {"cohort-size": f"{have} 41 patients."}
    assert codes(look(folder, expected_images=9)) == {"cohort-size": f"{have} 9 images."}


def test_a_synthetic_folder_is_not_the_real_release(folder: Path) -> None:
    (folder / "SYNTHETIC.txt").write_text("invented")
    report = look(folder, expected_images=71_589)
    assert [(p.code, p.severity) for p in report.problems] == [("cohort-synthetic", "warning")]
    assert look(folder, synthetic=True).problems == ()


def test_a_split_column_that_mixes_patients_is_an_error(folder: Path) -> None:
    table = pd.read_csv(folder / "metadata.csv", dtype=str)
    table["part"] = ["train" if k % 2 else "test" for k in range(len(table))]
    mixed = sum(len(set(parts)) > 1 for _, parts in table.groupby("patient_id")["part"])
    table.to_csv(folder / "metadata.csv", index=False)
    data = load_spec("demo").plain() | {
        "split": {"rule": "column", "column": "part", "train": "train", "test": "test"},
        "synthetic": False,
    }
    report = audit(load_cohort(CohortSpec.model_validate(data), folder), images=False)
    assert codes(report) == {"patients-straddle": f"{mixed} patients have images in train and in test."}


def test_a_published_split_that_mixes_patients_is_a_warning(folder: Path) -> None:
    table = pd.read_csv(folder / "metadata.csv", dtype=str)
    table["theirs"] = ["train" if k % 2 else "test" for k in range(len(table))]
    mixed = sum(len(set(parts)) > 1 for _, parts in table.groupby("patient_id")["theirs"])
    table.to_csv(folder / "metadata.csv", index=False)
    report = look(folder, compare_split_column="theirs")
    (problem,) = report.problems
    assert (problem.code, problem.severity) == ("published-split-straddles", "warning")
    assert f"has {mixed} patients both in train and in test" in problem.message


def test_labels_that_differ_from_the_rule_are_a_warning(folder: Path) -> None:
    table = pd.read_csv(folder / "metadata.csv", dtype=str)
    positive, negative = table.index[table["dlv"] == "1"], table.index[table["dlv"] == "0"]
    table.loc[positive[:2], "dlv"] = "0"
    table.loc[negative[:3], "dlv"] = "1"
    table["composite_slvh_dlv"] = table["slvh"].where(table["dlv"] == "0", "1")
    table.to_csv(folder / "metadata.csv", index=False)
    report = look(folder)
    assert codes(report) == {
        "labels-differ-from-rule": f"5 of {len(table)} released labels of dlv differ from the rule: "
        "3 positive only in the release, 2 only by the rule."
    }
    assert report.problems[0].severity == "warning"


def test_resolution_says_what_the_test_set_can_tell_apart(cohort: Cohort) -> None:
    report = audit(cohort, images=False)
    assert [line.target for line in report.resolution] == [t.name for t in cohort.spec.binary_targets]
    for line in report.resolution:
        rows = cohort.rows("test")
        y = cohort.targets[line.target][rows]
        assert (line.images, line.positives) == (102, int(y.sum()))
        assert line.positive_patients == len(set(cohort.patients[rows][y == 1]))
        assert line.half_width_low is not None
        assert line.half_width_high is not None
        assert 0 < line.half_width_low <= line.half_width_high < 0.5


def test_the_command_counts_for_all_and_names_only_in_the_holders_file(
    space: Workspace, folder: Path, cli: Cli, tmp_path: Path
) -> None:
    a, b = pick(folder, "train", "test")
    shutil.copyfile(folder / "images" / a, folder / "images" / b)
    (gone,) = pick(folder, "val")
    (folder / "images" / gone).unlink()
    words = ("cohort", "check", "--cohort", "demo", "--data", folder, "--jobs", "1")
    ran = cli(*words, "--json", "--list", tmp_path / "list.csv")
    assert ran.exit_code == 1
    assert set(ran.codes) == {"images-missing", "images-duplicate", "duplicates-straddle"}
    said = ran.stdout + ran.stderr
    assert not [name for name in (a, b, gone) if name in said or name[:32] in said]
    listed = (tmp_path / "list.csv").read_text().splitlines()
    assert listed[0] == "finding,file"
    assert f"missing,{gone}" in listed
    assert sorted(listed[2:]) == sorted(f'"same pixels, group 1",{n}' for n in (a, b))
    assert cli(*words, "--no-images").exit_code == 0
    shown = cli(*words).stdout
    assert f"{PATIENTS} patients" in shown
    assert "fingerprint" in shown
