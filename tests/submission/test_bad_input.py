"""Faulty input through the command line: each ends in its code, numbers and a remedy, and writes nothing."""

from __future__ import annotations

import gzip
import io
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper

from bench.cohort.table import Cohort
from bench.errors import catalogue
from bench.files import sha256_file
from bench.submission.pack import PackStamp, pack
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.runtime.models import SIZE, build, linear_model, linear_weights, value
from tests.tiny import MANIFEST, cohort_table

ID, HEAD = "cxr_filename", "composite_slvh_dlv"
Words = list[str | Path]


@dataclass(frozen=True)
class Stage:
    """What a faulty input is made from: a folder to write to, a cohort, its correct predictions."""

    folder: Path
    cohort: Cohort
    good: pd.DataFrame
    space: Workspace

    def file(self, content: bytes | str, name: str = "predictions.csv") -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def store(self, slug: str, fingerprint: str) -> None:
        """Puts an entry into the store whose predictions are stamped with a fingerprint."""
        folder = self.space.submission("chexchonet", slug)
        folder.mkdir(parents=True)
        (folder / "submission.toml").write_text(MANIFEST)
        stamp = PackStamp(
            cohort="chexchonet",
            version="1.0.0",
            fingerprint=fingerprint,
            track="holdout",
            source_sha256="0" * 64,
        )
        (folder / "predictions.parquet").write_bytes(pack({HEAD: self.good[HEAD].to_numpy()}, stamp))


@dataclass(frozen=True)
class Fault:
    """One faulty input: how it is made, and what must be said about it."""

    name: str
    make: Callable[[Stage], Words]
    code: str
    says: str
    exit_code: int = 1


def submit(path: Path, *more: str | Path, slug: str = "entry") -> Words:
    return ["submit", path, "--slug", slug, *more]


def raw(content: bytes | str) -> Callable[[Stage], Words]:
    """A file of this content."""
    return lambda stage: submit(stage.file(content))


def changed(change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> Callable[[Stage], Words]:
    """The correct file after a change."""

    def make(stage: Stage) -> Words:
        frame = stage.good.copy()
        after = change(frame)
        return submit(stage.file((frame if after is None else after).to_csv(index=False)))

    return make


def cell(content: object, rows: int = 1) -> Callable[[Stage], Words]:
    """The correct file with other content in the headline target of its third row (and the next ones)."""

    def put(frame: pd.DataFrame) -> None:
        frame[HEAD] = frame[HEAD].astype(object)
        frame.loc[2 : 1 + rows, HEAD] = content

    return changed(put)


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


def manifest(content: str | bytes, name: str = "m.toml") -> Callable[[Stage], Words]:
    """Correct predictions with this manifest."""

    def make(stage: Stage) -> Words:
        path = stage.file(stage.good.to_csv(index=False))
        return submit(path, "--manifest", stage.file(content, name))

    return make


def slugged(slug: str) -> Callable[[Stage], Words]:
    return lambda stage: submit(stage.file(stage.good.to_csv(index=False)), slug=slug)


def zipped(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("predictions.csv", text)
    return buffer.getvalue()


def taken(stage: Stage) -> Words:
    stage.store("entry", stage.cohort.split.fingerprint)
    return submit(stage.file(stage.good.to_csv(index=False)))


def other_split(stage: Stage) -> Words:
    stage.store("old", "f" * 64)
    return ["score", "old", "--replicates", "100"]


def labels(stage: Stage) -> Words:
    rows = stage.cohort.rows("test")
    for target in ("composite_slvh_dlv", "slvh", "dlv"):
        stage.good[target] = stage.cohort.targets[target][rows]
    return submit(stage.file(stage.good.to_csv(index=False)))


def folder_with(change: Callable[[pd.DataFrame], str]) -> Callable[[Stage], Words]:
    """Correct predictions, with a cohort folder whose table is another text."""

    def make(stage: Stage) -> Words:
        data = stage.folder / "data"
        data.mkdir()
        (data / "metadata.csv").write_text(change(cohort_table()))
        return submit(stage.file(stage.good.to_csv(index=False)), "--data", data)

    return make


def half_copied(table: pd.DataFrame) -> str:
    whole = table.to_csv(index=False)
    end = whole.index("\n", len(whole) // 2)
    return whole[: end + 60]  # within the patient and image of the next row


def with_model(model: object, said: str = "", name: str = "model.onnx") -> Callable[[Stage], Words]:
    """A model with a manifest whose table [model] is the usual one, or `said`."""
    usual = f"""
        [model.image]
        name = "image"
        height = {SIZE}
        width = {SIZE}
        [model]
        activation = "sigmoid"
        [model.outputs]
        composite_slvh_dlv = "scores:0"
        slvh = "scores:1"
        """

    def make(stage: Stage) -> Words:
        data = model if isinstance(model, bytes) else model.SerializeToString()  # type: ignore[attr-defined]
        path = stage.file(data, name)
        text = MANIFEST + re.sub("(?m)^ +", "", said or usual)
        return ["submit", "--model", path, "--slug", "entry", "--manifest", stage.file(text, "m.toml")]

    return make


def external_data() -> bytes:
    model = linear_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../weights.bin"
    return bytes(model.SerializeToString())


def custom_operator() -> bytes:
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("FusedMatMul", ["flat", "w"], ["scores"], domain="com.microsoft"),
    ]
    inputs, outputs = [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])]
    model = build(nodes, inputs, outputs, {"w": linear_weights()}, domains=("com.microsoft",))
    return bytes(model.SerializeToString())


REPORTED = MANIFEST + (
    'kind = "reported"\n[reported]\ncitation = "A 2024"\nsplit = "own"\ncaveat = "none"\n'
    "metrics = { macro = { auroc = 0.8 } }\n"
)
N = 102  # test images of the cohort

FAULTS = [
    # ids
    Fault("missing ids", changed(lambda f: f.iloc[:-7]), "predictions-missing-id", rf"^7 of {N} images"),
    Fault(
        "duplicate ids",
        changed(lambda f: pd.concat([f, f.iloc[:3], f.iloc[:1]])),
        "predictions-duplicate-id",
        r"^3 images have more than one row \(7 rows\); first at line 2, 3, 4, 104, 105\.$",
    ),
    Fault(
        "unknown ids",
        changed(lambda f: pd.concat([f, pd.DataFrame({ID: ["nobody.jpg"] * 2, HEAD: 0.5})])),
        "predictions-unknown-id",
        rf"^2 of {N + 2} ids .* line {N + 2}, {N + 3}\.$",
    ),
    Fault(
        "ids with folders",
        changed(lambda f: f.assign(**{ID: "./cxrs/" + f[ID]})),
        "predictions-unknown-id",
        f"^{N} of {N} ids",
    ),
    Fault(
        "ids without ending",
        changed(lambda f: f.assign(**{ID: f[ID].str.removesuffix(".jpg")})),
        "predictions-unknown-id",
        f"^{N} of {N} ids",
    ),
    Fault("empty id", changed(lambda f: f.loc.__setitem__((0, ID), "")), "predictions-unknown-id", "^1 of"),
    Fault(
        "ids of patients", changed(lambda f: f.assign(**{ID: f[ID].str[:32]})), "predictions-unknown-id", "^"
    ),
    # cells
    Fault("NaN", cell(float("nan")), "predictions-nan", rf"^1 of {N} values .* line 4"),
    Fault("the word NaN", cell("NaN"), "predictions-nan", rf"^1 of {N} values .* line 4"),
    Fault("None", cell("None", 3), "predictions-nan", rf"^3 of {N} values .* line 4, 5, 6"),
    Fault("inf", cell("inf"), "predictions-infinite", rf"^1 of {N} values .* line 4"),
    Fault("-inf", cell("-inf", 2), "predictions-infinite", rf"^2 of {N} values .* line 4, 5"),
    Fault("overflow", cell("1e999"), "predictions-infinite", rf"^1 of {N} values"),
    Fault("text", cell("high"), "predictions-not-a-number", rf"^1 of {N} values .* line 4"),
    Fault("per cent", cell("45%", 2), "predictions-not-a-number", rf"^2 of {N} values .* line 4, 5"),
    Fault("decimal comma in quotes", cell("0,45", 4), "predictions-not-a-number", rf"^4 of {N} values"),
    Fault(
        "truth values", changed(lambda f: f.assign(slvh=f.slvh > 0.5)), "predictions-not-a-number", f"^{N} of"
    ),
    Fault(
        "dates", changed(lambda f: f.assign(slvh="2026-01-01")), "predictions-not-a-number", f"^{N} of {N}"
    ),
    Fault(
        "out of range",
        cell(2.81, 2),
        "predictions-out-of-range",
        rf"^2 of {N} values lie outside \[0, 1\], from 2\.81 to 2\.81; first at line 4, 5",
    ),
    Fault("below range", cell(-1e-9), "predictions-out-of-range", r"^1 of"),
    Fault(
        "logits",
        changed(lambda f: f.assign(dlv=np.linspace(-4, 4, N))),
        "predictions-out-of-range",
        "from -4 to 4",
    ),
    # header
    Fault("no headline", changed(lambda f: f.drop(columns=HEAD)), "predictions-header", "composite_preds"),
    Fault(
        "other id column", changed(lambda f: f.rename(columns={ID: "file"})), "predictions-header", "'file'"
    ),
    Fault("no header", text(lambda t: t.split("\n", 1)[1]), "predictions-header", "There is no header"),
    Fault("upper case", changed(lambda f: f.rename(columns=str.upper)), "predictions-header", "no column"),
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
    Fault("cut off", text(lambda t: t[: len(t) // 2].rsplit(",", 2)[0]), "predictions-ragged", "^1 row"),
    Fault("empty", raw(b""), "predictions-unreadable", "empty"),
    Fault("blank", raw(b"\n \n\n"), "predictions-unreadable", "empty"),
    Fault(
        "header only",
        text(lambda t: t.split("\n")[0] + "\n"),
        "predictions-missing-id",
        rf"^{N} of {N} images",
    ),
    Fault("random bytes", raw(np.random.default_rng(1).bytes(5000)), "predictions-", ""),
    Fault("zeros", raw(b"\0" * 5000), "predictions-", ""),
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
    Fault("UTF-16 without mark", text(lambda t: t.encode("utf-16-le")), "predictions-", ""),
    Fault(
        "byte that is not UTF-8 in an id",
        text(lambda t: t.encode().replace(b".jpg", b"\xff.jpg", 1)),
        "predictions-unreadable",
        "UTF",
    ),
    Fault(
        "byte that is not UTF-8 in the header",
        text(lambda t: t.encode().replace(b"dlv\n", b"d\xfcl\n", 1)),
        "predictions-unreadable",
        "UTF-8",
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
        columns(lambda f: f.assign(slvh=[[0.5]] * len(f))),
        "predictions-header",
        "1 column holds lists or records",
    ),
    Fault(
        "ids as lists in Parquet",
        columns(lambda f: f.assign(**{ID: [["a"]] * len(f)})),
        "predictions-header",
        "list",
    ),
    Fault("no file", lambda s: submit(s.folder / "absent.csv"), "predictions-unreadable", "no such file"),
    Fault("a folder", lambda s: submit(s.folder), "predictions-unreadable", "folder"),
    Fault("a device", lambda s: submit(Path("/dev/zero")), "predictions-unreadable", "not a file"),
    # what is predicted
    Fault("labels", labels, "predictions-are-labels", rf"^All {N} values equal the labels"),
    Fault("other split", other_split, "stored-split", "split ffffffffffff; here it is chexchonet"),
    # slug
    Fault("slug that climbs", slugged("../x"), "slug-invalid", re.escape("'../x'")),
    Fault("slug with a folder", slugged("a/b"), "slug-invalid", "'a/b'"),
    Fault("absolute slug", slugged("/etc"), "slug-invalid", "'/etc'"),
    Fault("slug in upper case", slugged("Entry"), "slug-invalid", "'Entry'"),
    Fault("slug of 65 characters", slugged("a" * 65), "slug-invalid", "a{65}"),
    Fault("slug with an umlaut", slugged("müller"), "slug-invalid", "müller"),
    Fault("slug with a hyphen first", slugged("-a"), "slug-invalid", "'-a'"),
    Fault("slug with a blank", slugged("a b"), "slug-invalid", "'a b'"),
    Fault("slug with a line break", slugged("a\n"), "slug-invalid", r"a\\n"),
    Fault("slug with a dot", slugged("."), "slug-invalid", r"'\.'"),
    Fault("slug taken", taken, "slug-taken", "'entry'"),
    # manifest
    Fault(
        "unknown key", manifest(MANIFEST + "sede = 1\n"), "manifest-invalid", "^sede: This key is not known"
    ),
    Fault("missing keys", manifest('name = "x"\n'), "manifest-invalid", "^team: Field required"),
    Fault("bad TOML", manifest("name = \n"), "manifest-invalid", "Invalid value"),
    Fault("deep TOML", manifest("a = " + "[" * 5000), "manifest-invalid", "TOML"),
    Fault("not UTF-8", manifest(b'name = "\xff"'), "manifest-invalid", "UTF-8"),
    Fault("bad date", manifest(MANIFEST.replace("2026-01-01", '"yesterday"')), "manifest-invalid", "^date: "),
    Fault("wrong type", manifest(MANIFEST + 'parameters = "many"\n'), "manifest-invalid", "^parameters: "),
    Fault("number as text", manifest(MANIFEST + 'parameters = "7"\n'), "manifest-invalid", "^parameters: "),
    Fault("negative number", manifest(MANIFEST + "parameters = -1\n"), "manifest-invalid", "^parameters: "),
    Fault("no inputs", manifest(MANIFEST.replace('["image"]', "[]")), "manifest-invalid", "^inputs: "),
    Fault("empty name", manifest(MANIFEST.replace("A model", "")), "manifest-invalid", "^name: "),
    Fault(
        "name of 201 characters", manifest(MANIFEST.replace("A model", "a" * 201)), "manifest-invalid", "200"
    ),
    Fault("unknown kind", manifest(MANIFEST + 'kind = "best"\n'), "manifest-invalid", "^kind: "),
    Fault("unknown scores", manifest(MANIFEST + 'scores = "logit"\n'), "manifest-invalid", "^scores: "),
    Fault(
        "script as a link",
        manifest(MANIFEST + '[links]\ncode = "javascript:alert(1)"\n'),
        "manifest-invalid",
        "links.code: .*https://",
    ),
    Fault(
        "no manifest there",
        lambda s: [*manifest(MANIFEST)(s)[:-1], s.folder / "no.toml"],
        "manifest-invalid",
        "no such file",
    ),
    Fault("reported with predictions", manifest(REPORTED), "manifest-invalid", '"reported"'),
    Fault(
        "reported without numbers", manifest(MANIFEST + 'kind = "reported"\n'), "manifest-invalid", "together"
    ),
    # cohort
    Fault(
        "no cohort folder",
        lambda s: submit(s.file("x"), "--data", s.folder / "absent"),
        "cohort-missing",
        "folder of cohort chexchonet",
        3,
    ),
    Fault(
        "no table",
        lambda s: submit(s.file("x"), "--data", s.folder),
        "cohort-table-missing",
        "metadata.csv",
        3,
    ),
    Fault(
        "table of another cohort",
        folder_with(lambda t: t.rename(columns={"slvh": "Cardiomegaly", "dlv": "Edema"}).to_csv(index=False)),
        "cohort-columns",
        "^2 columns of cohort chexchonet are missing: dlv, slvh",
    ),
    Fault("half a table", folder_with(half_copied), "cohort-table", r"^1 of \d+ rows are .* shorter"),
    Fault("empty table", folder_with(lambda t: ""), "cohort-table", "No columns"),
    Fault(
        "table without rows", folder_with(lambda t: t.head(0).to_csv(index=False)), "cohort-table", "no rows"
    ),
    Fault(
        "repeated images",
        folder_with(lambda t: pd.concat([t, t.head(5)]).to_csv(index=False)),
        "cohort-duplicate-id",
        "^5 rows",
    ),
    Fault(
        "another release",
        lambda s: [
            *folder_with(lambda t: t.assign(cxr_filename="x" + t.cxr_filename).to_csv(index=False))(s)
        ],
        "predictions-unknown-id",
        rf"^{N} of {N} ids",
    ),
    Fault("unknown cohort", lambda s: submit(s.file("x"), "--cohort", "mimic"), "cohort-unknown", "'mimic'"),
    Fault(
        "bad spec",
        lambda s: submit(s.file("x"), "--cohort", s.file('schema = "cohort-spec/1"\n', "spec.toml")),
        "cohort-spec",
        "^id: Field required",
    ),
    # models
    Fault("CSV as a model", with_model(b"image_id,a\n"), "model-format", "not an ONNX model"),
    Fault("pickle as a model", with_model(pickle.dumps({"w": 1}), name="m.pt"), "model-format", "pickle"),
    Fault(
        "cut-off model",
        with_model(linear_model().SerializeToString()[:900]),
        "model-truncated",
        r"900 bytes; its content says at least [\d,]+",
    ),
    Fault(
        "weights elsewhere",
        with_model(external_data()),
        "model-external-data",
        r"^1 of 1 tensors .*weights\.bin",
    ),
    Fault("custom operator", with_model(custom_operator()), "model-custom-operator", "^1 of 2 operators"),
    Fault("wrong channels", with_model(linear_model(channels=3)), "model-input", r"\(free, 3, 24, 24\)"),
    Fault("fixed batch", with_model(linear_model(batch=1)), "model-batch", "fixed at 1"),
    Fault("too few outputs", with_model(linear_model(columns=1)), "model-output", "column 1"),
    Fault("no table [model]", with_model(linear_model(), "\n"), "model-manifest", r"no table \[model\]"),
    Fault(
        "no model",
        lambda s: ["submit", "--model", s.folder / "no.onnx", "--slug", "entry"],
        "model-unreadable",
        "no such file",
    ),
    # other commands
    Fault("unknown entry", lambda s: ["score", "nobody"], "entry-unknown", "'nobody'; there are: none"),
    Fault("unknown backend", lambda s: ["time", "x", "--backend", "abacus"], "backend-unknown", "'abacus'"),
    Fault(
        "backend that is not here",
        lambda s: ["time", "x", "--backend", "tensorrt-rtx"],
        "backend-unavailable",
        "TensorRT-RTX cannot be used here",
        3,
    ),
    Fault("empty board", lambda s: ["board", "--target", "slvh"], "board-empty", "no scored entry"),
    Fault("unknown code", lambda s: ["explain", "no-such-code"], "unknown-code", "'no-such-code'"),
    Fault("unknown schema", lambda s: ["schema", "poem"], "schema-unknown", "'poem'"),
    Fault("workspace there", lambda s: ["init", s.space.root], "workspace-exists", r"bench\.toml"),
    Fault("unknown baseline", lambda s: ["baseline", "run", "magic"], "baseline-unknown", "'magic'"),
]


def files(folder: Path) -> dict[str, str]:
    """Every file of a folder with its content's hash, but the store's lock, which is always empty."""
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_faulty_input_is_refused(
    fault: Fault, cohort: Cohort, good: pd.DataFrame, space: Workspace, tmp_path: Path, cli: Cli
) -> None:
    folder = tmp_path / "handed in"
    folder.mkdir()
    words = fault.make(Stage(folder, cohort, good, space))
    before = files(space.root)
    ran = cli(*words, "--json")
    assert ran.exit_code == fault.exit_code, ran.stderr
    assert ran.object["schema"] == "bench-output/1"
    assert ran.object["ok"] is False
    found = [p for p in ran.object["problems"] if p["code"].startswith(fault.code)]
    assert found, ran.object["problems"]
    assert {p["code"] for p in found} <= set(catalogue())
    assert any(re.search(fault.says, p["message"]) for p in found), found
    for problem in ran.object["problems"]:
        assert problem["remedy"]
        assert f"[{problem['code']}]" in ran.stderr
    assert "to do: " in ran.stderr
    assert "Traceback" not in ran.stderr
    said = ran.stdout + ran.stderr
    assert not [name for name in (*cohort.images, *cohort.patients) if name in said.replace(str(folder), "")]
    assert files(space.root) == before


def test_there_are_enough_faults_and_no_two_share_a_name() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 40


@pytest.mark.parametrize(
    "words",
    [
        ["submit"],
        ["submit", "p.csv"],
        ["submit", "p.csv", "--slug", ""],
        ["submit", "p.csv", "--model", "m.onnx", "--slug", "a"],
        ["submit", "p.csv", "--slug", "a", "--nonsense"],
        ["score"],
        ["score", "a", "--all"],
        ["score", "--all", "--replicates", "5"],
        ["score", "--all", "--seed", "-1"],
        ["verify", "--jobs", "0"],
        ["template"],
        ["template", "--out", "x", "--images", "train"],
        ["baseline", "run"],
        ["time"],
        ["time", "a", "--batch", "0"],
        ["time", "a", "--precision", "fp4"],
        ["explain"],
        ["explain", "a-code", "--list"],
        ["schema"],
        ["compare", "a"],
        ["nonsense"],
        ["cohort", "nonsense"],
        ["cohort", "demo", "--out", "x", "--patients", "3"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2_and_says_so(words: list[str], space: Workspace, cli: Cli) -> None:
    before = files(space.root)
    ran = cli(*words)
    assert ran.exit_code == 2
    assert ran.stdout == ""
    assert "Usage: " in ran.stderr
    assert files(space.root) == before
