"""Writing the synthetic cohort: layout, resuming, and folders that must not be touched."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from bench.cohort.audit import audit
from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.cohort.synthetic.write import demo_table, write_demo
from bench.errors import EXIT_ENVIRONMENT, BenchError
from tests.conftest import Cli
from tests.faulty import assert_problem

SEED = 5
PATIENTS = 12


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "data" / "demo"
    write_demo(folder, patients=PATIENTS, seed=SEED)
    return folder


def _content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _copy(written: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    for name, data in _content(written).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_layout_is_that_of_the_release(written: Path) -> None:
    table = pd.read_csv(written / "metadata.csv")
    pd.testing.assert_frame_equal(table, demo_table(PATIENTS, SEED), check_dtype=False)
    assert {p.name for p in written.iterdir()} == {
        "metadata.csv",
        "images",
        "SHA256SUMS.txt",
        "SYNTHETIC.txt",
    }
    assert {p.name for p in (written / "images").iterdir()} == set(table["cxr_filename"])


def test_sums_cover_the_table_and_every_image(written: Path) -> None:
    lines = (written / "SHA256SUMS.txt").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert len(listed) == len(lines)
    content = _content(written)
    assert set(listed) == set(content) - {"SHA256SUMS.txt", "SYNTHETIC.txt"}
    for name, digest in listed.items():
        assert hashlib.sha256(content[name]).hexdigest() == digest


def test_the_folder_loads_and_passes_the_cohort_check(written: Path) -> None:
    for spec in ("demo", "chexchonet"):
        cohort = load_cohort(load_spec(spec), written)
        assert cohort.synthetic
        assert len(cohort) == len(demo_table(PATIENTS, SEED))
    checked = audit(load_cohort(load_spec("demo"), written))
    assert not [p for p in checked.problems if p.severity == "error"]


def test_the_folder_says_that_it_is_synthetic(written: Path) -> None:
    text = (written / "SYNTHETIC.txt").read_text()
    assert "synthetic" in text
    assert "No patient in it is real" in text
    assert f"seed {SEED}\npatients {PATIENTS}\n" in text


def test_summary_counts_and_progress(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    summary = write_demo(
        tmp_path / "d", patients=40, seed=SEED, progress=lambda done, total: calls.append((done, total))
    )
    table = demo_table(40, SEED)
    assert (summary.patients, summary.images, summary.drawn, summary.kept) == (40, len(table), len(table), 0)
    assert summary.positives == {n: int(table[n].sum()) for n in ("slvh", "dlv", "composite_slvh_dlv")}
    assert len(calls) > 1
    assert calls == sorted(calls)
    assert calls[-1] == (len(table), len(table))


def test_several_processes_write_the_same_bytes(written: Path, tmp_path: Path) -> None:
    write_demo(tmp_path / "d", patients=40, seed=SEED, jobs=2)
    write_demo(tmp_path / "e", patients=40, seed=SEED, jobs=1)
    assert _content(tmp_path / "d") == _content(tmp_path / "e")


def test_whole_images_are_kept_and_broken_ones_drawn_again(written: Path, tmp_path: Path) -> None:
    folder = _copy(written, tmp_path)
    names = sorted(p.name for p in (folder / "images").iterdir())
    (folder / "images" / names[0]).unlink()
    cut = folder / "images" / names[1]
    cut.write_bytes(cut.read_bytes()[:500])
    (folder / "images" / names[2]).write_bytes(b"")
    (folder / "images" / f".{names[0]}.99.part").write_bytes(b"left by a killed process")
    (folder / "metadata.csv").unlink()
    summary = write_demo(folder, patients=PATIENTS, seed=SEED)
    assert (summary.drawn, summary.kept) == (3, len(names) - 3)
    assert _content(folder) == _content(written)


def test_an_interrupted_call_leaves_no_table_and_the_next_one_finishes(written: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        assert done < total
        raise KeyboardInterrupt

    folder = tmp_path / "d"
    with pytest.raises(KeyboardInterrupt):
        write_demo(folder, patients=40, seed=SEED, progress=interrupt)
    assert (folder / "SYNTHETIC.txt").is_file()
    assert not (folder / "metadata.csv").exists()
    assert not list(folder.rglob("*.part"))
    summary = write_demo(folder, patients=40, seed=SEED)
    assert summary.kept > 0
    assert summary.kept + summary.drawn == summary.images
    assert (folder / "metadata.csv").is_file()


def test_another_size_keeps_what_fits_and_another_seed_nothing(written: Path, tmp_path: Path) -> None:
    folder = _copy(written, tmp_path)
    more = write_demo(folder, patients=PATIENTS + 5, seed=SEED)
    assert more.kept == len(demo_table(PATIENTS, SEED))
    fewer = write_demo(folder, patients=PATIENTS, seed=SEED)
    assert fewer.drawn == 0
    assert _content(folder) == _content(written)
    other = write_demo(folder, patients=3, seed=SEED + 1)
    assert other.kept == 0
    assert len(list((folder / "images").iterdir())) == other.images


def test_images_of_an_older_recipe_are_drawn_again(written: Path, tmp_path: Path) -> None:
    folder = _copy(written, tmp_path)
    marker = folder / "SYNTHETIC.txt"
    marker.write_text(marker.read_text().replace("recipe ", "recipe 9"))
    summary = write_demo(folder, patients=PATIENTS, seed=SEED)
    assert (summary.drawn, summary.kept) == (summary.images, 0)


def test_without_images_there_is_the_table_alone(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    folder = tmp_path / "d"
    summary = write_demo(
        folder, patients=PATIENTS, seed=SEED, images=False, progress=lambda *c: calls.append(c)
    )
    assert {p.name for p in folder.iterdir()} == {"metadata.csv", "SHA256SUMS.txt", "SYNTHETIC.txt"}
    assert (summary.drawn, summary.kept, calls) == (0, 0, [])
    assert len(pd.read_csv(folder / "metadata.csv")) == summary.images


def test_a_folder_with_other_files_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("real data")
    (tmp_path / "images").mkdir()
    before = _content(tmp_path)
    with pytest.raises(BenchError) as raised:
        write_demo(tmp_path, patients=2)
    assert [p.code for p in raised.value.problems] == ["demo-folder"]
    assert "2 files or folders" in raised.value.problems[0].message
    assert raised.value.exit_code == 1
    assert _content(tmp_path) == before


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(BenchError, match="demo-folder"):
        write_demo(path, patients=2)
    assert path.read_text() == "x"


def test_all_wrong_arguments_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as raised:
        write_demo(tmp_path / "d", patients=24_690, seed=-1, jobs=0)
    messages = [p.message for p in raised.value.problems]
    assert len(messages) == 3
    assert "24690" in messages[0]
    assert {p.code for p in raised.value.problems} == {"demo-argument"}
    assert all(p.as_dict()["remedy"] for p in raised.value.problems)
    with pytest.raises(BenchError, match="demo-argument"):
        write_demo(tmp_path / "d", patients=0)
    assert not (tmp_path / "d").exists()


def test_a_disk_that_refuses_is_the_environments_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BenchError, match="No space left") as raised:
        write_demo(tmp_path / "d", patients=2)
    assert raised.value.exit_code == EXIT_ENVIRONMENT
    assert [p.code for p in raised.value.problems] == ["demo-write"]


HOLDS = "The folder holds a synthetic cohort of 20 patients \\(seed 5\\); this would write "


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--patients", "21", "--seed", "5"], HOLDS + "a synthetic cohort of 21 patients"),
        (["--patients", "20", "--seed", "6"], HOLDS + r"a synthetic cohort of 20 patients \(seed 6\)"),
        (["--patients", "20", "--seed", "5", "--site", "mimic"], HOLDS + "files in MIMIC's layout of 20"),
        (["--patients", "20", "--seed", "5"], "The folder holds 1 image, which `--no-images` would remove"),
    ],
    ids=["size", "seed", "layout", "images"],
)
def test_other_synthetic_files_are_replaced_on_request_only(
    words: list[str], message: str, tmp_path: Path, cli: Cli
) -> None:
    folder = tmp_path / "demo"
    write_demo(folder, patients=20, seed=5, images=False)
    if "1 image" in message:
        (folder / "images").mkdir()
        (folder / "images" / "one.jpg").write_bytes(b"x")
    before = _content(folder)
    ran = cli("cohort", "demo", "--out", folder, *words, "--no-images", "--json")
    assert ran.exit_code == 1
    (problem,) = ran.object["problems"]
    assert_problem(
        problem, "demo-other", message=message, where="demo(/images)?$", remedy="with --out, .*--replace"
    )
    assert _content(folder) == before
    assert cli("cohort", "demo", "--out", folder, *words, "--no-images", "--replace").exit_code == 0
    assert _content(folder) != before
    assert cli("cohort", "demo", "--out", folder, *words, "--no-images").exit_code == 0, "the same again"


def test_files_of_mimics_layout_are_replaced_on_request_only(tmp_path: Path, cli: Cli) -> None:
    words = ("cohort", "demo", "--site", "mimic", "--out", tmp_path / "m", "--no-images", "--patients")
    assert cli(*words, "20").exit_code == 0
    before = _content(tmp_path / "m")
    assert cli(*words, "20").exit_code == 0
    assert _content(tmp_path / "m") == before
    assert cli(*words, "30", "--json").codes == ["demo-other"]
    assert _content(tmp_path / "m") == before
    assert cli(*words, "30", "--replace").exit_code == 0
    assert _content(tmp_path / "m") != before
