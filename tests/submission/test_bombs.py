"""Small files that unpack to terabytes, and files that are not what they seem: refused in little memory."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet
import pytest

from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.errors import BenchError
from bench.files import sha256_file
from bench.submission.check_predictions import load_predictions
from bench.submission.packed import PackStamp, pack, unpack
from bench.submission.read_predictions import parse_predictions, read_predictions_file
from bench.submission.store import check_slug, read_manifest
from tests.tiny import MANIFEST, predictions


def said(path: Path) -> str:
    """What the reader says of a file; it runs in this process, whose memory is measured."""
    with pytest.raises(BenchError) as caught:
        parse_predictions(path.read_bytes(), path, ("image_id",))
    return caught.value.problems[0].message


def grown(path: Path) -> tuple[str, float]:
    """Return the message, and by how many MiB the memory of this process grew."""
    before = psutil.Process().memory_info().rss
    message = said(path)
    return message, (psutil.Process().memory_info().rss - before) / 2**20


def test_a_gzip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.submission.read_predictions.MAX_BYTES", 2**24)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b"0" * 2**24
    packed = b"".join(squeeze.compress(block) for _ in range(4)) + squeeze.flush()
    assert len(packed) < 2**21
    (tmp_path / "p").write_bytes(packed)
    assert "unpacks to more than 16 MiB" in said(tmp_path / "p")


def write(path: Path, table: pa.Table, **options: object) -> Path:
    pyarrow.parquet.write_table(table, path, compression="zstd", **options)
    return path


def test_one_long_text_that_every_row_repeats(tmp_path: Path) -> None:
    """40,000 rows of one text of 5,000,000 bytes: 200 GB as plain text, some kB as a file."""
    codes = pa.array(np.zeros(40_000, np.int32))
    column = pa.DictionaryArray.from_arrays(codes, pa.array(["x" * 5_000_000]))
    path = write(tmp_path / "p", pa.table({"image_id": column, "a": pa.array(np.zeros(40_000))}))
    assert path.stat().st_size < 100_000
    message, mib = grown(path)
    assert message == "A text has more than 10,000 bytes."
    assert mib < 500


def test_many_texts_that_are_each_short_enough(tmp_path: Path) -> None:
    codes = pa.array(np.zeros(200_000, np.int32))
    column = pa.DictionaryArray.from_arrays(codes, pa.array(["x" * 9_000]))
    message, mib = grown(write(tmp_path / "p", pa.table({"image_id": column})))
    assert message == "A column of text unpacks to more than 512 MiB."
    assert mib < 500


def test_rows_without_end(tmp_path: Path) -> None:
    table = pa.table({f"c{i}": pa.array(np.zeros(2_000_000)) for i in range(40)})
    message, mib = grown(write(tmp_path / "p", table))
    assert "2,000,000 rows" in message
    assert mib < 500


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_columns_without_end(form: str, tmp_path: Path) -> None:
    path = tmp_path / "p"
    if form == "csv":
        path.write_bytes(b"a" + b"," * 5_000_000 + b"\n")
    else:
        write(path, pa.table({f"c{i}": [0.5] for i in range(1_001)}))
    assert "columns" in said(path)


@pytest.mark.parametrize("compress", [gzip.compress, bytes])
def test_plain_files_are_read_as_before(compress: object, tmp_path: Path, cohort: Cohort) -> None:
    frame = predictions(cohort)
    expected = load(frame.to_csv(index=False).encode(), tmp_path, cohort)
    buffer = io.BytesIO()
    frame.assign(**{frame.columns[0]: frame.iloc[:, 0].astype("category")}).to_parquet(buffer)
    found = load(buffer.getvalue(), tmp_path, cohort)
    for target, values in expected.items():
        np.testing.assert_array_equal(found[target], values)


def load(data: bytes, folder: Path, cohort: Cohort) -> dict[str, np.ndarray]:
    (folder / "p").write_bytes(data)
    return load_predictions(folder / "p", cohort).values


def test_a_link_that_leads_out_is_refused_and_one_beside_is_not(tmp_path: Path, good: pd.DataFrame) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    good.to_csv(tmp_path / "secret.csv", index=False)
    good.to_csv(inside / "v2.csv", index=False)
    (inside / "out.csv").symlink_to(tmp_path / "secret.csv")
    (inside / "latest.csv").symlink_to("v2.csv")
    assert "link" in refused(inside / "out.csv")
    found, sha256 = read_predictions_file(inside / "latest.csv", ("cxr_filename",), ["slvh"], 100)
    assert len(found.table) == len(good)
    assert sha256 == sha256_file(inside / "v2.csv")


def refused(path: Path) -> str:
    """What is said of a file that the sandboxed worker reads."""
    with pytest.raises(BenchError) as caught:
        read_predictions_file(path, ("image_id",), ["image_id"], 100)
    return caught.value.problems[0].message


def test_a_pipe_does_not_hold_the_reader_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    assert "not a file" in refused(tmp_path / "p")


def test_a_manifest_is_small(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(MANIFEST + "#" * 2**16)
    with pytest.raises(BenchError) as caught:
        read_manifest(tmp_path / "m.toml")
    assert caught.value.problems[0].message == "It has 0.1 MiB; at most 0.0625 are read."


def test_stored_predictions_hold_float64_columns_of_targets_alone(cohort: Cohort, tmp_path: Path) -> None:
    stamp = PackStamp(
        cohort="chexchonet",
        version="1.0.0",
        fingerprint=cohort.split.fingerprint,
        track="holdout",
        source_sha256="0" * 64,
    )
    frame = predictions(cohort)
    whole = pack({"slvh": frame["slvh"].to_numpy()}, stamp)
    meta = pyarrow.parquet.read_schema(io.BytesIO(whole)).metadata
    n = len(frame)
    for table in (
        pa.table({"slvh": ["x" * 1000] * n}),
        pa.table({"slvh": pa.array(np.zeros(n)), "patient_id": pa.array(np.zeros(n))}),
        pa.table([pa.array(np.zeros(n)), pa.array(np.zeros(n))], names=["slvh", "slvh"]),
    ):
        write(tmp_path / "p", table.replace_schema_metadata(meta))
        with pytest.raises(BenchError) as caught:
            unpack(tmp_path / "p", cohort, Track.HOLDOUT)
        assert "not float64 columns" in caught.value.problems[0].message


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('team = "A\\u001b[31m"', "U+001B"),
        ('team = "A\\u202egpj"', "U+202E"),
        ('team = "A\\u009b"', "U+009B"),
        ('team = "A\\u2028B"', "line"),
    ],
)
def test_names_that_steer_a_terminal_or_turn_the_text_are_refused(
    line: str, code: str, tmp_path: Path
) -> None:
    (tmp_path / "m.toml").write_text(MANIFEST.replace('team = "A group"', line))
    with pytest.raises(BenchError) as caught:
        read_manifest(tmp_path / "m.toml")
    (problem,) = caught.value.problems
    assert problem.message.startswith("team: ")
    assert problem.message.endswith(f" {code}.")
    (tmp_path / "m.toml").write_text(MANIFEST.replace("A group", "Équipe 心臓 العربية 👩‍⚕️"))
    assert read_manifest(tmp_path / "m.toml").team.startswith("Équipe")


@pytest.mark.parametrize("code", ["001B", "202E", "200B", "009B"])
def test_a_description_of_many_lines_steers_nothing(code: str, tmp_path: Path) -> None:
    lines = "Trained on 10 µm slices, β = 2.\\n\\tTwo lines: العربية."
    (tmp_path / "m.toml").write_text(f'{MANIFEST}description = "{lines}"\n')
    assert read_manifest(tmp_path / "m.toml").description.count("\n") == 1
    (tmp_path / "m.toml").write_text(f'{MANIFEST}description = "{lines}\\u{code}"\n')
    with pytest.raises(BenchError, match=f"description: .* U\\+{code}"):
        read_manifest(tmp_path / "m.toml")


@pytest.mark.parametrize("slug", ["con", "nul", "com1", "lpt9"])
def test_slugs_that_no_file_system_of_windows_can_hold(slug: str) -> None:
    with pytest.raises(BenchError):
        check_slug(slug)
    check_slug(f"{slug}-1")
