"""Faulty predictions by kind: each with its code, how many values, where, and what to do."""

from __future__ import annotations

import decimal
import gzip
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest

from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.errors import BenchError, Problem
from bench.submission.check_predictions import load_predictions
from bench.submission.read_predictions import BLOCK, row_lines
from tests.faulty import assert_problem
from tests.runtime.models import SPEC
from tests.tiny import TARGETS

ID, HEAD, N = "cxr_filename", "composite_slvh_dlv", 102
Make = Callable[[pd.DataFrame], bytes]


@dataclass(frozen=True)
class Faulty:
    """One faulty predictions file and what must be said of it; patterns are regular expressions."""

    name: str
    make: Make
    code: str
    message: str
    where: str
    remedy: str


def csv(frame: pd.DataFrame, **options: Any) -> bytes:
    return frame.to_csv(index=False, **options).encode()


def parquet(frame: pd.DataFrame, **columns: pa.Array) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for name, values in columns.items():
        place = table.column_names.index(name) if name in table.column_names else len(table.column_names)
        if place < len(table.column_names):
            table = table.set_column(place, name, values)
        else:
            table = table.append_column(name, values)
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue()


def refusal(data: bytes, cohort: Cohort, folder: Path, code: str) -> Problem:
    """Return the one error of this code."""
    path = folder / "p"
    path.write_bytes(data)
    with pytest.raises(BenchError) as caught:
        load_predictions(path, cohort)
    errors = [p for p in caught.value.problems if p.severity == "error"]
    assert [p.code for p in errors] == [code], errors
    names = {*cohort.images, *cohort.patients}
    assert not [name for name in names if name in errors[0].message + errors[0].as_dict()["remedy"]]
    return errors[0]


def check(fault: Faulty, good: pd.DataFrame, cohort: Cohort, folder: Path) -> None:
    problem = refusal(fault.make(good), cohort, folder, fault.code)
    said = {"message": fault.message, "where": fault.where, "remedy": fault.remedy}
    assert_problem(problem, fault.code, **said)


# Files of other kinds


def feather(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    pyarrow.feather.write_feather(pa.Table.from_pandas(frame, preserve_index=False), sink)
    return sink.getvalue()


def orc(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    pyarrow.orc.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink)
    return sink.getvalue()


def stream(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def kind(name: str, make: Make, what: str, remedy: str = "plain CSV") -> Faulty:
    return Faulty(
        name, make, "predictions-format", f"^It is {re.escape(what)}.*, not CSV or Parquet", r"/p$", remedy
    )


MARK = b"\xef\xbb\xbf"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n"
KINDS = [
    kind("gzip twice", lambda f: gzip.compress(gzip.compress(csv(f))), "a gzip file within", "gunzip"),
    kind("UTF-32 with mark", lambda f: csv(f).decode().encode("utf-32"), "UTF-32 text", "UTF-8"),
    kind("UTF-32 LE", lambda f: csv(f).decode().encode("utf-32-le"), "UTF-32 text", "UTF-8"),
    kind("UTF-32 BE", lambda f: csv(f).decode().encode("utf-32-be"), "UTF-32 text", "UTF-8"),
    kind("UTF-16 with mark", lambda f: csv(f).decode().encode("utf-16"), "UTF-16 text", "UTF-8"),
    kind("UTF-16 LE", lambda f: csv(f).decode().encode("utf-16-le"), "UTF-16 text", "UTF-8"),
    kind("UTF-16 BE", lambda f: csv(f).decode().encode("utf-16-be"), "UTF-16 text", "UTF-8"),
    kind("Feather", feather, "a Feather"),
    kind("Arrow stream", stream, "an Arrow stream"),
    kind("ORC", orc, "an ORC file"),
    kind("Git LFS pointer", lambda _: LFS, "a Git LFS pointer", "git lfs pull"),
    kind("Git LFS pointer in gzip", lambda _: gzip.compress(LFS), "a Git LFS pointer", "git lfs pull"),
    kind("JSON behind a mark", lambda f: MARK + f.to_json().encode(), "JSON"),
    kind("JSON behind blanks", lambda f: b"\n  " + f.to_json().encode(), "JSON"),
    kind("HTML behind a mark", lambda _: MARK + b"<!DOCTYPE html>", "HTML or XML", "logged in"),
    kind("old spreadsheet", lambda _: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "an old spreadsheet"),
    kind("SQLite", lambda _: b"SQLite format 3\0" + bytes(100), "an SQLite database"),
    kind("tar", lambda _: b"p.csv" + bytes(252) + b"ustar\0" + bytes(300), "a tar archive", "Unpack it"),
]


@pytest.mark.parametrize("fault", KINDS, ids=lambda fault: fault.name)
def test_files_of_other_kinds_are_named(
    fault: Faulty, good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    check(fault, good, cohort, tmp_path)


# Values that are not numbers


def written(form: str) -> Make:
    """The headline's values in this form."""
    return lambda f: csv(f.assign(**{HEAD: [form.format(v) for v in f[HEAD].round(4)]}))


def of_form(name: str, form: str, shown: str, remedy: str) -> Faulty:
    message = f"^{N} of {N} values are not numbers; first at line 2, 3, 4, 5, 6, {re.escape(shown)}\\.$"
    return Faulty(name, written(form), "predictions-not-a-number", message, f"column {HEAD}$", remedy)


FORMS = [
    of_form("tensor", "tensor({})", "of the form `tensor(…)`", r"value\.item\(\)"),
    of_form(
        "tensor on a device",
        "tensor({}, device='cuda:0')",
        "of the form `tensor(…, device='cuda:…')`",
        "item",
    ),
    of_form("list", "[{}]", "of the form `[…]`", r"values\[0\]"),
    of_form("list of two", "[0.5, {}]", "of the form `[…, …]`", r"values\[0\]"),
    of_form("percent", "{}%", "of the form `…%`", "Divide percentages by 100"),
    of_form("numpy scalar", "np.float32({})", "of the form `np.float32(…)`", r"float\(value\)"),
    of_form("unit", "{} cm", "of the form `… cm`", "Leave out the unit"),
    of_form("tuple", "({},)", "of the form `(…,)`", r"float\(value\)"),
    of_form("less than", "<{}", "of the form `<…`", "plain decimal"),
    of_form("jax", "Array({}, dtype=float32)", "of the form `Array(…, dtype=float32)`", r"float\(value\)"),
    of_form(
        "tensorflow",
        "tf.Tensor({}, shape=(), dtype=float32)",
        "of the form `tf.Tensor(…, shape=(), dtype=float32)`",
        r"value\.item\(\)",
    ),
    of_form(
        "tensor with gradient",
        "tensor({}, grad_fn=<SigmoidBackward0>)",
        "of the form `tensor(…, grad_fn=<SigmoidBackward0>)`",
        r"value\.item\(\)",
    ),
    of_form("bytes", "b'{}'", "of the form `b'…'`", "plain decimal"),
    of_form("two classes", "0.5 {}", "of the form `… …`", "that of the positive class"),
    of_form("fraction", "{}/100", "of the form `…/…`", "plain decimal"),
    of_form("about", "~{}", "of the form `~…`", "plain decimal"),
    of_form("with error", "{}±0.1", "of the form `…±…`", "plain decimal"),
    of_form("complex", "{}+0j", "of the form `…+…j`", "plain decimal"),
    of_form("formula", "={}", "of the form `=…`", "plain decimal"),
    of_form("per cent with a blank", "{} %", "of the form `… %`", "Divide percentages by 100"),
    *(
        Faulty(
            f"classes {yes} and {no}",
            lambda f, yes=yes, no=no: csv(f.assign(**{HEAD: np.where(f[HEAD] > 0.5, yes, no)})),  # type: ignore[misc]
            "predictions-not-a-number",
            rf"^{N} of {N} values are not numbers; .*, of the form `({yes}|{no})`\.$",
            f"column {HEAD}$",
            "the probability of the positive class",
        )
        for yes, no in (("Yes", "No"), ("positive", "negative"), ("High", "Low"), ("abnormal", "normal"))
    ),
    *(
        Faulty(
            f"digits from U+{zero:04X}",
            lambda f, zero=zero: csv(  # type: ignore[misc]
                f.assign(
                    **{
                        HEAD: [
                            str(round(v, 4)).translate({48 + k: zero + k for k in range(10)}) for v in f[HEAD]
                        ]
                    }
                )
            ),
            "predictions-not-a-number",
            rf"^{N} of {N} values are not numbers; .*, with digits that are not ASCII\.$",
            f"column {HEAD}$",
            "the digits 0 to 9",
        )
        for zero in (0x0660, 0xFF10)
    ),
    Faulty(
        "decimal comma",
        lambda f: csv(f.assign(**{HEAD: [str(v).replace(".", ",") for v in f[HEAD]]})),
        "predictions-not-a-number",
        rf"^{N} of {N} values are not numbers; .* with a decimal comma\.$",
        f"column {HEAD}$",
        "decimal point",
    ),
    Faulty(
        "text that may name a patient is not shown",
        written("Smith {}"),
        "predictions-not-a-number",
        rf"^{N} of {N} values are not numbers; first at line 2, 3, 4, 5, 6\.$",
        f"column {HEAD}$",
        "plain decimal",
    ),
    Faulty(
        "booleans",
        lambda f: parquet(f, **{HEAD: pa.array([True, False] * (N // 2))}),
        "predictions-not-a-number",
        rf"^{N} of {N} values are not numbers; first in row 1, 2, 3, 4, 5, of type bool\.$",
        f"column {HEAD}$",
        "the probability of the positive class",
    ),
    Faulty(
        "just above 1",
        lambda f: csv(f.assign(**{HEAD: [1.0000001, *f[HEAD][1:]]})),
        "predictions-out-of-range",
        rf"^1 of {N} values lie outside \[0, 1\], from 1\.0000001 to 1\.0000001; first at line 2\.$",
        f"column {HEAD}$",
        r"numpy\.clip",
    ),
    Faulty(
        "just below 0",
        lambda f: csv(f.assign(**{HEAD: [-1e-9, *f[HEAD][1:]]})),
        "predictions-out-of-range",
        rf"^1 of {N} values lie outside \[0, 1\], from -1e-09 to -1e-09; first at line 2\.$",
        f"column {HEAD}$",
        r"numpy\.clip",
    ),
    Faulty(
        "percentages",
        lambda f: csv(f.assign(**{HEAD: f[HEAD] * 100})),
        "predictions-out-of-range",
        rf"^\d+ of {N} values lie outside \[0, 1\], from ",
        f"column {HEAD}$",
        "divide percentages by 100",
    ),
]


@pytest.mark.parametrize("fault", FORMS, ids=lambda fault: fault.name)
def test_the_form_of_a_value_is_named(
    fault: Faulty, good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    check(fault, good, cohort, tmp_path)


# Ids of another form


def renamed(change: Callable[[str], str]) -> Make:
    return lambda f: csv(f.assign(**{ID: [change(i) for i in f[ID]]}))


def of_ids(name: str, change: Callable[[str], str], remedy: str) -> Faulty:
    message = rf"^{N} of {N} ids are not in cohort chexchonet; first at line 2, 3, 4, 5, 6\.$"
    return Faulty(name, renamed(change), "predictions-unknown-id", message, f"column {ID}$", remedy)


IDS = [
    of_ids(
        "other ending", lambda i: i.replace(".jpg", ".png"), r"another file ending; the cohort's end in \.jpg"
    ),
    of_ids("other ending, DICOM", lambda i: i.replace(".jpg", ".dcm"), r"the cohort's end in \.jpg"),
    of_ids("no ending", lambda i: i.removesuffix(".jpg"), r"Add the file ending \.jpg"),
    of_ids("two endings", lambda i: f"{i}.gz", "Remove the file ending"),
    of_ids("folder", lambda i: f"images/{i}", "Remove the folders"),
    of_ids("folder of Windows", lambda i: f"D:\\cxrs\\{i}", "Remove the folders"),
    of_ids(
        "folder and other ending", lambda i: f"cxrs/{i[:-4]}.png", "Remove the folders.* another file ending"
    ),
    of_ids("blanks", lambda i: f" {i} ", "Remove the blanks"),
    of_ids("quotes", lambda i: f"'{i}'", "Remove the quotes"),
    of_ids("bytes", lambda i: f"b'{i}'", "Python's bytes"),
    of_ids("upper case", str.upper, "upper and lower case"),
    of_ids("upper case without ending", lambda i: i[:-4].upper(), r"\.jpg.*case|case.*\.jpg"),
    of_ids("zero-width space", lambda i: f"{i}\u200b", "Remove the invisible"),
    of_ids("byte order mark", lambda i: f"\ufeff{i}", "Remove the invisible"),
    of_ids("typographic quotes", lambda i: f"\u201c{i}\u201d", "Remove the quotes"),
    of_ids("list", lambda i: f"['{i}']", "Write the ids alone"),
    of_ids("tuple", lambda i: f"('{i}',)", "Write the ids alone"),
    of_ids("pathlib", lambda i: f"PosixPath('{i}')", "Write the ids alone"),
    of_ids(
        "pathlib with folder", lambda i: f"PosixPath('cxrs/{i}')", "Write the ids alone.*|Remove the folders"
    ),
    of_ids(
        "full-width digits", lambda i: i.translate({48 + k: 0xFF10 + k for k in range(10)}), "Unicode form"
    ),
    of_ids("address", lambda i: f"https://example.org/cxr/{i}", "Remove the folders"),
    of_ids("no-break space", lambda i: f"{i}\u00a0", "Remove the blanks"),
    of_ids("tab", lambda i: f"{i}\t", "Remove the blanks"),
    Faulty(
        "row numbers",
        lambda f: csv(f.assign(**{ID: range(len(f))})),
        "predictions-unknown-id",
        rf"^{N} of {N} ids are not in cohort chexchonet; ",
        f"column {ID}$",
        "These are row numbers",
    ),
    of_ids("patients", lambda i: i[:32], "These are ids of patients"),
    of_ids("nothing near", lambda i: i[::-1], "."),
]


@pytest.mark.parametrize("fault", IDS, ids=lambda fault: fault.name)
def test_ids_of_another_form_get_a_hint(
    fault: Faulty, good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    check(fault, good, cohort, tmp_path)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """A cohort whose ids are numbers with zeros in front."""
    folder = tmp_path_factory.mktemp("numbered")
    rows = "".join(f"{k:08d},p{k},50,M,{k % 2},{k % 3 // 2},{4 + k / 100}\n" for k in range(1, 61))
    (folder / "metadata.csv").write_text("image,patient,age,sex,a,b,cm\n" + rows)
    return load_cohort(SPEC, folder)


@pytest.mark.parametrize(
    ("form", "remedy"),
    [("{:d}", "Keep the zeros in front"), ("{:d}.0", r"Remove the decimals.*Keep the zeros")],
)
def test_lost_zeros_get_a_hint(form: str, remedy: str, numbered: Cohort, tmp_path: Path) -> None:
    text = "image,a\n" + "".join(f"{form.format(k)},0.{k:02d}\n" for k in range(1, 61))
    problem = refusal(text.encode(), numbered, tmp_path, "predictions-unknown-id")
    assert_problem(
        problem,
        "predictions-unknown-id",
        message="^60 of 60 ids are not in cohort tiny; ",
        where="/p, column image$",
        remedy=remedy,
    )


# True values as predictions

TRUTHS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as measured": lambda y: y,
    "in mm": lambda y: y * 10,
    "in m": lambda y: y / 100,
    "rounded to 0.1": lambda y: y.round(1),
    "in mm, rounded to 1": lambda y: (y * 10).round(0),
    "single precision": lambda y: y.astype(np.float32).astype(float),
    "in inches": lambda y: y / 2.54,
    "standardised": lambda y: (y - y.mean()) / y.std(),
    "reversed": lambda y: 10 - y,
    "logarithm": np.log,
    "ranks": lambda y: pd.Series(y).rank().to_numpy() / len(y),
    "with noise of 0.1 mm": lambda y: y + np.random.default_rng(0).normal(0, 0.01, len(y)),
    "with noise of single precision": lambda y: y * (1 + 1e-6 * np.sin(np.arange(len(y)))),
    "truncated to 0.1": lambda y: np.floor(y * 10) / 10,
    "all but five": lambda y: np.where(np.arange(len(y)) < 5, y.mean(), y),
}


@pytest.mark.parametrize("name", TRUTHS)
def test_measurements_that_are_the_truth_are_refused(
    name: str, good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    measured = cohort.targets["lvidd"][cohort.rows("test")]
    handed_in = good.assign(lvidd=TRUTHS[name](np.nan_to_num(measured, nan=4.0)))
    problem = refusal(csv(handed_in), cohort, tmp_path, "predictions-are-labels")
    known = int(np.isfinite(measured).sum())
    wrong = 5 if "five" in name else 0
    assert_problem(
        problem,
        "predictions-are-labels",
        message=rf"^(\d+ of {known} values equal|{known} values have a correlation of (0\.999|1\.000)\d with)"
        r" the measured ones\.$",
        where="/p, target lvidd$",
        remedy="the model's predictions",
    )
    if "correlation" in problem.message:
        return
    assert known - wrong <= int(problem.message.split()[0]) <= known


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.3])
def test_good_predictions_of_a_measurement_are_accepted(
    noise: float, good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    """Even a model with an error of half a millimetre, rounded to one."""
    measured = np.nan_to_num(cohort.targets["lvidd"][cohort.rows("test")], nan=4.0)
    guess = measured + np.random.default_rng(0).normal(0, noise, len(measured))
    (tmp_path / "p").write_bytes(csv(good.assign(lvidd=guess.round(2))))
    predictions = load_predictions(tmp_path / "p", cohort)
    assert "lvidd" in predictions.values
    assert not [p for p in predictions.notices if p.code == "predictions-are-labels"]


@pytest.mark.parametrize(
    ("negative", "positive", "noise"),
    [
        (0.0, 1.0, 0),
        (0.001, 0.999, 0),
        (1e-7, 1 - 1e-7, 0),
        (0.2, 0.3, 0),
        (1.0, 0.0, 0),
        (0.05, 0.95, 0.02),
        (0.5, 0.5001, 1e-6),
        (0.9, 0.1, 0.01),
    ],
)
def test_labels_written_as_any_two_numbers_are_refused(
    negative: float, positive: float, noise: float, good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    y = cohort.targets["slvh"][cohort.rows("test")]
    around = np.random.default_rng(0).uniform(-noise, noise, len(y))
    labels = good.assign(slvh=np.where(y == 1, positive, negative) + around)
    problem = refusal(csv(labels), cohort, tmp_path, "predictions-are-labels")
    assert_problem(
        problem,
        "predictions-are-labels",
        message=rf"^All {N} values equal the labels\.$",
        where="/p, target slvh$",
        remedy="the model's predictions",
    )


@pytest.mark.parametrize(
    ("target", "other", "change", "says"),
    [
        (HEAD, "slvh", lambda y: y, f"^All {N} values equal the labels of slvh\\.$"),
        (HEAD, "dlv", lambda y: 0.1 + 0.8 * y, f"^All {N} values equal the labels of dlv\\.$"),
        ("dlv", "lvidd", lambda y: y / 10, r"^\d+ of \d+ values equal the measured ones of lvidd\.$"),
        ("slvh", "ivsd", lambda y: 1 / (1 + np.exp(-y)), r"^\d+ values have a correlation of .* of ivsd\.$"),
        ("lvpwd", "ivsd", lambda y: y, r"^\d+ of \d+ values equal the measured ones of ivsd\.$"),
    ],
)
def test_the_truth_of_another_target_is_refused_too(
    target: str,
    other: str,
    change: Callable[[np.ndarray], np.ndarray],
    says: str,
    good: pd.DataFrame,
    cohort: Cohort,
    tmp_path: Path,
) -> None:
    truth = cohort.targets[other][cohort.rows("test")]
    values = change(np.nan_to_num(truth, nan=float(np.nanmean(truth))))
    problem = refusal(csv(good.assign(**{target: values})), cohort, tmp_path, "predictions-are-labels")
    assert_problem(
        problem,
        "predictions-are-labels",
        message=says,
        where=f"/p, target {target}$",
        remedy="the model's predictions",
    )


def test_a_warning_tells_no_auroc(good: pd.DataFrame, cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(csv(good.assign(slvh=1 - good.slvh)))
    (notice,) = [p for p in load_predictions(tmp_path / "p", cohort).notices if "inverted" in p.code]
    assert notice.message == "The AUROC is below 0.5 by more than chance."


# Columns of other types


@pytest.mark.parametrize(
    ("column", "count"),
    [(HEAD, 1), ("slvh", 1), ("dlv", 1), (ID, 1)],
)
def test_lists_where_single_values_are_expected(
    column: str, count: int, good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    data = parquet(good, **{column: pa.array([["a"]] * N)})
    problem = refusal(data, cohort, tmp_path, "predictions-header")
    assert_problem(
        problem,
        "predictions-header",
        message=f"^{count} column holds lists or records, where single values are expected.*{column!r}",
        where="/p$",
        remedy="one value of each list",
    )


def decimals(kind: pa.DataType) -> Make:
    def make(frame: pd.DataFrame) -> bytes:
        cells = {t: pa.array([decimal.Decimal(f"{v:.6f}") for v in frame[t]], kind) for t in TARGETS}
        return parquet(frame, **cells)

    return make


def many_lines(characters: int) -> Make:
    text = "FINDINGS:\n" + "lungs clear, no\n" * (characters // 16) + "\n\nIMPRESSION: none"
    return lambda f: csv(f.assign(report=text))


def indexed(frame: pd.DataFrame, name: str | None) -> pd.DataFrame:
    return frame.set_index(ID).rename_axis(name)


def index_parquet(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    indexed(frame, None).to_parquet(sink)
    return sink.getvalue()


ACCEPTED: dict[str, Make] = {
    "decimal128": decimals(pa.decimal128(10, 6)),
    "decimal256": decimals(pa.decimal256(40, 6)),
    "half a million digits": lambda f: csv(f.assign(note="x" * 5000)),
    "categories": lambda f: parquet(
        f, **{t: pa.array(f[t].round(6).astype(str)).dictionary_encode() for t in TARGETS}
    ),
    "ids as categories": lambda f: parquet(f, **{ID: pa.array(f[ID]).dictionary_encode()}),
    "ids as bytes": lambda f: parquet(f, **{ID: pa.array([i.encode() for i in f[ID]])}),
    "ids as the index": index_parquet,
    "ids as the index, CSV": lambda f: indexed(f, None).to_csv().encode(),
    "ids as an index saved twice": lambda f: indexed(f, "Unnamed: 0").to_csv().encode(),
    "lists beside": lambda f: parquet(f, logits=pa.array([[0.1, 0.2]] * N)),
    "records beside": lambda f: parquet(f, info=pa.array([{"model": "a", "fold": 1}] * N)),
    "maps beside": lambda f: parquet(f, m=pa.array([[("k", 1)]] * N, pa.map_(pa.string(), pa.int64()))),
    "text of many lines": many_lines(400),
    "text of many lines above a block": many_lines(3 * BLOCK // N),
    "text of many lines in gzip": lambda f: gzip.compress(many_lines(3 * BLOCK // N)(f)),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_unambiguous_is_read(name: str, good: pd.DataFrame, cohort: Cohort, tmp_path: Path) -> None:
    rounded = good.assign(**{t: good[t].round(6) for t in TARGETS})
    (tmp_path / "p").write_bytes(ACCEPTED[name](rounded))
    predictions = load_predictions(tmp_path / "p", cohort)
    wanted = rounded.sort_values(ID)
    for target in TARGETS:
        np.testing.assert_allclose(predictions.values[target], wanted[target], rtol=0, atol=1e-12)
    assert all(p.severity == "notice" for p in predictions.notices)
    if "beside" in name:
        assert [p.message.split(":")[0] for p in predictions.notices] == ["1 column is not read"]


def test_lines_of_rows_with_text_of_many_lines(good: pd.DataFrame, cohort: Cohort, tmp_path: Path) -> None:
    """The line that is named is the one at which the row begins, in an editor."""
    frame = good.assign(report='one\ntwo, "three"\n\nfour' + "x" * (3 * BLOCK // N))
    frame[HEAD] = frame[HEAD].astype(object)
    frame.loc[70, HEAD] = "high"
    data = csv(frame)
    problem = refusal(data, cohort, tmp_path, "predictions-not-a-number")
    line = int(re.findall(r"first at line (\d+)", problem.message)[0])
    assert data.decode().split("\n")[line - 1].startswith(frame[ID][70])


def test_line_breaks_in_quotes_end_no_row() -> None:
    text = b'a,b\n1,"x\ny"\n\n2,"say ""no""\n"\n3,z\n'
    assert row_lines(text).tolist() == [1, 2, 5, 7]
