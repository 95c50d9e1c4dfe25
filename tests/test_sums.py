"""SHA256SUMS: what `sha256sum` says, and every kind of difference."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.files import read_sums, write_sums
from tests.conftest import Cli


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "handed on"
    (root / "a" / "timings").mkdir(parents=True)
    (root / "board.json").write_text("{}")
    (root / "a" / "scorecard.json").write_text("[1]")
    (root / "a" / "timings" / "t b.json").write_bytes(b"\x00\xff")
    (root / ".lock").write_text("")
    return root


def test_the_manifest_is_what_sha256sum_reads(folder: Path, cli: Cli) -> None:
    assert cli("sums", folder).exit_code == 0
    assert len((folder / "SHA256SUMS").read_text().splitlines()) == 3
    assert cli("sums", folder, "--check").exit_code == 0
    if shutil.which("sha256sum"):
        done = subprocess.run(
            ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, check=False
        )
        assert done.returncode == 0


def test_every_difference_is_named(folder: Path, cli: Cli) -> None:
    cli("sums", folder)
    (folder / "board.json").write_text("{} ")
    (folder / "a" / "scorecard.json").unlink()
    (folder / "a" / "extra.json").write_text("")
    ran = cli("sums", folder, "--check", "--json")
    assert ran.exit_code == 1
    assert [p["message"] for p in ran.object["problems"]] == [
        "a/scorecard.json is not there.",
        "a/extra.json is not in the manifest.",
        "board.json has other content.",
    ]


@pytest.mark.parametrize("text", [None, "no manifest\n", "\xff"])
def test_without_a_manifest(text: str | None, folder: Path, cli: Cli) -> None:
    if text is not None:
        (folder / "SHA256SUMS").write_text(text, "latin-1")
    assert cli("sums", folder, "--check", "--json").codes == ["sums-missing"]


def test_an_empty_folder(tmp_path: Path, cli: Cli) -> None:
    assert cli("sums", tmp_path, "--json").codes == ["sums-missing"]


def test_a_name_with_a_line_break_is_refused(tmp_path):
    (tmp_path / "a\nb").write_text("x")
    with pytest.raises(BenchError, match="sums-name"):
        write_sums(tmp_path)
    assert not (tmp_path / "SHA256SUMS").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("\n", "\r\n"),
        lambda t: "\ufeff" + t,
        lambda t: "\ufeff" + t.replace("\n", "\r\n"),
        lambda t: t.replace("  ", " *"),
        lambda t: t.replace("  ", "  ./"),
        lambda t: "".join(f"{line[:64].upper()}{line[64:]}\n" for line in t.splitlines()),
        lambda t: t + "\n\n",
        lambda t: t.removesuffix("\n"),
    ],
    ids=["CRLF", "mark", "mark and CRLF", "binary", "dot", "upper case", "blank lines", "no last line feed"],
)
def test_a_list_of_another_form_is_read(change: Callable[[str], str], folder: Path, cli: Cli) -> None:
    cli("sums", folder)
    path = folder / "SHA256SUMS"
    path.write_bytes(change(path.read_text()).encode())
    assert cli("sums", folder, "--check").exit_code == 0
    (folder / "board.json").write_text("{} ")
    ran = cli("sums", folder, "--check", "--json")
    assert [p["message"] for p in ran.object["problems"]] == ["board.json has other content."]


def test_lines_of_another_form_are_counted() -> None:
    digest = "ab" * 32
    assert read_sums(f"{digest}  a b\nSHA256 (x) = {digest}\n\n{digest[1:]}  y\n".encode()) == (
        {"a b": digest},
        2,
    )
