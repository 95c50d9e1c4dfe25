"""Predictions files of another form: header, delimiter, encoding, archive, or no file at all."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Cli
from tests.submission.bad_input.stage import HEAD, ID, Fault, N, Stage, Words, changed, refused, submit


def raw(content: bytes | str) -> Callable[[Stage], Words]:
    """A file of this content."""
    return lambda stage: submit(stage.file(content))


def text(change: Callable[[str], str | bytes]) -> Callable[[Stage], Words]:
    """The correct file after a change of its text."""
    return lambda stage: submit(stage.file(change(stage.good.to_csv(index=False))))


def parquet(change: Callable[[bytes], bytes]) -> Callable[[Stage], Words]:
    def make(stage: Stage) -> Words:
        buffer = io.BytesIO()
        stage.good.to_parquet(buffer)
        return submit(stage.file(change(buffer.getvalue()), "predictions.parquet"))

    return make


def columns(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Stage], Words]:
    """The correct file as Parquet after a change of its columns' types."""
    return lambda stage: (
        change(stage.good.copy()).to_parquet(stage.folder / "p.parquet"),
        submit(stage.folder / "p.parquet"),
    )[1]


def zipped(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("predictions.csv", text)
    return buffer.getvalue()


FAULTS = [
    # header
    Fault("no headline", changed(lambda f: f.drop(columns=HEAD)), "predictions-header", "composite_preds"),
    Fault(
        "other id column", changed(lambda f: f.rename(columns={ID: "file"})), "predictions-header", "'file'"
    ),
    Fault("no header", text(lambda t: t.split("\n", 1)[1]), "predictions-header", "There is no header"),
    Fault(
        "upper case",
        changed(lambda f: f.rename(columns=str.upper)),
        "predictions-header",
        "no column",
        remedy="rename it to",
    ),
    Fault(
        "header twice",
        text(lambda t: t.replace("slvh,dlv\n", "dlv,dlv\n", 1)),
        "predictions-header",
        "more than once: 'dlv'",
    ),
    # form
    Fault(
        "decimal comma",
        text(lambda t: t.replace("0.", "0,")),
        "predictions-ragged",
        rf"^{N} rows .* 4 columns",
    ),
    Fault("semicolons", text(lambda t: t.replace(",", ";")), "predictions-delimiter", "semicolons"),
    Fault("tabs", text(lambda t: t.replace(",", "\t")), "predictions-delimiter", "tabs"),
    Fault("bars", text(lambda t: t.replace(",", "|")), "predictions-delimiter", "bars"),
    Fault(
        "ragged",
        text(lambda t: t + "0.5,0.5\n0.1\n"),
        "predictions-ragged",
        r"^2 rows .* 4 columns .* line 104 \(with 2\), 105\.$",
    ),
    Fault(
        "a quote that is not closed",
        text(lambda t: t.replace("\n", '\n"', 1)),
        "predictions-ragged",
        "^1 row .* line 2",
        remedy="opened and not closed, perhaps in line 2",
    ),
    Fault(
        "a quote that is not closed, in a value",
        text(lambda t: t.replace(",0.", ',"0.', 1)),
        "predictions-ragged",
        "^1 row .* line 2",
        remedy="opened and not closed, perhaps in line 2",
    ),
    Fault(
        "a quote that is opened in the last line",
        text(lambda t: t[:-1].rsplit("\n", 1)[0] + '\n"x,0.5,0.5,0.5\n'),
        "predictions-ragged",
        "1 row",
        remedy=f"opened and not closed, perhaps in line {N + 1}",
    ),
    Fault("cut off", text(lambda t: t[: len(t) // 2].rsplit(",", 2)[0]), "predictions-ragged", "^1 row"),
    Fault("empty", raw(b""), "predictions-unreadable", "empty"),
    Fault("blank", raw(b"\n \n\n"), "predictions-unreadable", "empty"),
    Fault(
        "header only",
        text(lambda t: t.split("\n")[0] + "\n"),
        "predictions-missing-id",
        rf"^{N} of {N} images",
    ),
    Fault(
        "random bytes",
        raw(np.random.default_rng(1).bytes(5000)),
        "predictions-unreadable",
        "^Line 1 is not UTF-8",
        remedy="as UTF-8",
    ),
    Fault("zeros", raw(b"\0" * 5000), "predictions-unreadable", "^It holds only zero bytes"),
    Fault("prose", raw("Dear all\nour predictions follow.\n"), "predictions-header", "'Dear all'"),
    Fault(
        "truncated gzip",
        text(lambda t: gzip.compress(t.encode())[:-400]),
        "predictions-unreadable",
        "truncated",
    ),
    Fault(
        "damaged gzip",
        text(lambda t: gzip.compress(t.encode())[:500] + b"\xff" * 900),
        "predictions-unreadable",
        "gzip file is damaged",
    ),
    Fault("zip", text(zipped), "predictions-format", "zip archive or spreadsheet"),
    Fault("pickle", text(lambda t: pickle.dumps(t)), "predictions-format", "pickle"),
    Fault("zip in gzip", text(lambda t: gzip.compress(zipped(t))), "predictions-format", "zip archive"),
    Fault("UTF-16", text(lambda t: t.encode("utf-16")), "predictions-format", "UTF-16"),
    Fault("UTF-16 without mark", text(lambda t: t.encode("utf-16-le")), "predictions-format", "UTF-16"),
    Fault(
        "byte that is not UTF-8 in an id",
        text(lambda t: t.encode().replace(b".jpg", b"\xff.jpg", 1)),
        "predictions-unreadable",
        "UTF-8",
        remedy="as UTF-8",
    ),
    Fault(
        "byte that is not UTF-8 in the header",
        text(lambda t: t.encode().replace(b"dlv\n", b"d\xfcl\n", 1)),
        "predictions-unreadable",
        "UTF-8",
        remedy="as UTF-8",
    ),
    Fault("truncated Parquet", parquet(lambda data: data[:-200]), "predictions-unreadable", "Parquet file"),
    Fault("Parquet's head", parquet(lambda data: data[:6]), "predictions-unreadable", "Parquet file"),
    Fault(
        "damaged Parquet",
        parquet(lambda data: data[:40] + bytes(400) + data[440:]),
        "predictions-unreadable",
        "Parquet file",
    ),
    Fault(
        "lists in Parquet",
        columns(lambda f: f.assign(slvh=f.slvh.map(lambda _: [0.5]))),
        "predictions-header",
        "1 column holds lists or records",
        where=r"p\.parquet$",
        remedy="one value of each list",
    ),
    Fault(
        "ids as lists in Parquet",
        columns(lambda f: f.assign(**{ID: f[ID].map(lambda _: ["a"])})),
        "predictions-header",
        "1 column holds lists",
        where=r"p\.parquet$",
        remedy="one value of each list",
    ),
    Fault(
        "no file",
        lambda s: submit(s.folder / "absent.csv"),
        "predictions-unreadable",
        "no such file",
        where=r"absent\.csv$",
        remedy="looked for in",
    ),
    Fault(
        "a folder",
        lambda s: submit(s.folder),
        "predictions-unreadable",
        "folder",
        where="submitted$",
        remedy="Name the file itself",
    ),
    Fault(
        "a device",
        lambda s: submit(Path("/dev/zero")),
        "predictions-unreadable",
        "not a file",
        where="^/dev/zero$",
        remedy="Name the file itself",
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_refused(fault: Fault, stage: Stage, cli: Cli) -> None:
    refused(fault, stage, cli)
