"""Faulty cohorts of the kinds that users of other tools reported: each with code, count, place and remedy."""

from __future__ import annotations

import decimal
import io
import re
import struct
import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bench.cohort.audit import audit
from bench.cohort.audit_table import audit_split
from bench.cohort.cohort import Cohort
from bench.cohort.decode import MOST_PIXELS, ImageCutShortError, ImageNotFiniteError, read_grey
from bench.cohort.image_cache import build_cache
from bench.cohort.images import read_batches
from bench.cohort.load import load_cohort
from bench.cohort.patient_ids import canonical_id, is_blank, is_rounded, prefixed_ids, similar_ids
from bench.cohort.read_table import read_text_table
from bench.cohort.spec import CohortSpec
from bench.documents import parse
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from tests.faulty import assert_problem, only

PATIENTS, EACH = 60, 3
ROWS = PATIENTS * EACH
SPEC: dict[str, Any] = {
    "schema": "cohort-spec/1",
    "id": "hosp",
    "version": "1",
    "title": "Hospital",
    "headline": "y",
    "files": {"table": ["t.csv", "t.parquet"], "images": "images"},
    "columns": {"image": "image", "patient": "patient", "inputs": {"age": "age", "sex": "sex"}},
    "split": {"rule": "hash", "salt": "s1", "test": 0.5},
    "targets": [{"name": "y", "label": "Y", "source": "y"}],
    "subgroups": [
        {"name": "sex", "label": "Sex", "column": "sex", "values": {"F": "Female", "M": "Male"}},
        {"name": "age", "label": "Age", "column": "age", "bands": [18, 40, 60, 80], "unit": "years"},
    ],
}


def good() -> pd.DataFrame:
    """180 images of 60 patients, every cell as text."""
    random = np.random.default_rng(0)
    rows = []
    for patient in range(1, PATIENTS + 1):
        label, sex, age = int(random.random() < 0.4), "FM"[int(random.integers(2))], random.integers(20, 90)
        rows += [(f"{patient:08d}_{k:03d}.png", str(patient), str(age), sex, str(label)) for k in range(EACH)]
    return pd.DataFrame(rows, columns=["image", "patient", "age", "sex", "y"])


def spec(changes: dict[str, Any] | None = None) -> CohortSpec:
    return parse(CohortSpec, SPEC | (changes or {}), "cohort-spec", "spec.toml")


def target(**changes: Any) -> dict[str, Any]:
    return {"targets": [SPEC["targets"][0] | changes]}


def columns(**changes: Any) -> dict[str, Any]:
    return {"columns": SPEC["columns"] | changes}


def write(folder: Path, table: pd.DataFrame | pa.Table | bytes) -> None:
    if isinstance(table, bytes):
        (folder / "t.csv").write_bytes(table)
    elif isinstance(table, pa.Table):
        pq.write_table(table, folder / "t.parquet")
    else:
        table.to_csv(folder / "t.csv", index=False)


def check(
    folder: Path, table: pd.DataFrame | pa.Table | bytes, changes: dict[str, Any] | None = None
) -> list[Problem]:
    """The problems that `bench cohort check --no-images` shows."""
    write(folder, table)
    try:
        return list(audit(load_cohort(spec(changes), folder), images=False).problems)
    except BenchError as error:
        return list(error.problems)


def csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False).encode()


Edit = Callable[[pd.DataFrame], "pd.DataFrame | pa.Table | bytes"]


@dataclass(frozen=True)
class Fault:
    """A faulty table and what is said of it: every text is a part of what the problem says."""

    edit: Edit
    code: str
    message: str
    where: str
    remedy: str
    severity: str = "error"
    changes: dict[str, Any] | None = None


def patients(change: Callable[[int, str], str]) -> Edit:
    """Change the patient of each row, by row and id."""
    return lambda t: t.assign(patient=[change(i, p) for i, p in enumerate(t["patient"])])


def every_second(change: Callable[[str], str]) -> Edit:
    return patients(lambda i, p: change(p) if i % 2 else p)


def cells(column: str, change: Callable[[str], str], rows: int = ROWS) -> Edit:
    """Change the first cells of a column."""
    return lambda t: t.assign(**{column: [change(v) if i < rows else v for i, v in enumerate(t[column])]})


def labels(positive: str, negative: str) -> Edit:
    return cells("y", lambda v: positive if v == "1" else negative)


def word(word: str, **more: Any) -> dict[str, Any]:
    return target(source={"column": "y", "word": word, **more})


ALL_TEST = {"split": {"rule": "all-test"}}
WRITING = "blanks, punctuation, accents, final .0 or Unicode forms"
SIMILAR = ("Write each person's id in one way", "column patient")
GERMAN = "caf\u00e9"
CASE = "upper and lower case"
ARABIC = str.maketrans("0123456789", "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669")
MARK = b"\xef\xbb\xbf"


def uuid_of(patient: str) -> str:
    """A UUID with a letter among its digits."""
    return f"a{uuid.uuid5(uuid.NAMESPACE_OID, patient)}"[:36]


def similar(edit: Edit, differ: str, **more: Any) -> Fault:
    message = f"120 patient ids are 60 when compared without {differ}"
    return Fault(edit, "patient-ids-similar", message, SIMILAR[1], SIMILAR[0], **more)


def forms(edit: Edit) -> Fault:
    message = "The ids of 60 of 60 patients are written in more than one way"
    return Fault(edit, "patient-ids-forms", message, "column patient", "Nothing to do if", "warning")


def blank(word: str, rows: int = 4) -> Fault:
    named = f"({rows} are {word.strip()!r})" if word.strip() else f"{rows} rows have no patient id."
    return Fault(
        cells("patient", lambda _: word, rows),
        "cohort-blank-id",
        f"{named}",
        "t.csv, column patient",
        "Fill in or remove",
    )


def kind(content: bytes, message: str, remedy: str) -> Fault:
    return Fault(lambda _: content, "cohort-table", message, "t.csv", remedy)


def no_image_is_positive(edit: Edit, changes: dict[str, Any], remedy: str) -> Fault:
    message = "No image of the cohort is positive for y (180 labelled)"
    return Fault(edit, "target-one-class", message, "target y, column y", remedy, changes=changes)


FAULTS: dict[str, Fault] = {
    # Patients that may be in two parts
    "case": similar(patients(lambda i, p: ("P" if i % 2 else "p") + p), "upper and lower case (60)"),
    "case of a suffix": similar(
        patients(lambda i, p: p + ("-Ab" if i % 2 else "-aB")), "upper and lower case (60)"
    ),
    "leading zeros": similar(every_second(lambda p: p.zfill(4)), "leading zeros (60)"),
    "leading zeros after a prefix": similar(
        patients(lambda i, p: "PT-" + (p.zfill(6) if i % 2 else p)), "leading zeros (60)"
    ),
    "leading zeros of the second number": similar(
        patients(lambda i, p: "S3/" + (p.zfill(5) if i % 2 else p)), "leading zeros (60)"
    ),
    "zeros and case": similar(
        patients(lambda i, p: "P" + p.zfill(4) if i % 2 else "p" + p),
        "upper and lower case (60), leading zeros (60)",
    ),
    "zeros and a decimal fraction": similar(every_second(lambda p: p.zfill(4) + ".0"), "leading zeros (60)"),
    "full-width digits": similar(
        every_second(lambda p: "".join(chr(0xFF10 + int(c)) for c in p)), f"{WRITING} (60)"
    ),
    "blanks inside": similar(patients(lambda i, p: ("A " if i % 2 else "A") + p), f"{WRITING} (60)"),
    "zero-width space inside": similar(
        patients(lambda i, p: ("A\u200b" if i % 2 else "A") + p), f"{WRITING} (60)"
    ),
    "an apostrophe of spreadsheets": similar(every_second(lambda p: "'" + p), f"{WRITING} (60)"),
    "quotes": similar(every_second(lambda p: f'"{p}"'), f"{WRITING} (60)"),
    "a decimal comma": similar(every_second(lambda p: p + ",0"), f"{WRITING} (60)"),
    "a final .0 behind a prefix": similar(
        patients(lambda i, p: "P" + p + (".0" if i % 2 else "")), f"{WRITING} (60)"
    ),
    **{
        f"UUIDs {name}": similar(patients(change), differ)
        for name, change, differ in (
            ("in two cases", lambda i, p: uuid_of(p).upper() if i % 2 else uuid_of(p), f"{CASE} (60)"),
            (
                "without hyphens",
                lambda i, p: uuid_of(p).replace("-", "") if i % 2 else uuid_of(p),
                f"{WRITING} (60)",
            ),
            ("in braces", lambda i, p: f"{{{uuid_of(p)}}}" if i % 2 else uuid_of(p), f"{WRITING} (60)"),
        )
    },
    **{
        f"ids that differ by {name}": similar(patients(change), f"{WRITING} (60)")
        for name, change in (
            ("Arabic-Indic digits", lambda i, p: p.translate(ARABIC) if i % 2 else p),
            ("a minus sign", lambda i, p: f"-{p}" if i % 2 else p),
            ("a plus sign", lambda i, p: f"+{p}" if i % 2 else p),
            ("underscore and hyphen", lambda i, p: f"PT_{p}" if i % 2 else f"PT-{p}"),
            ("a hyphen after letters", lambda i, p: f"PT{p}" if i % 2 else f"PT-{p}"),
            ("slashes and dots of a date", lambda i, p: f"1950/01/02/{p}" if i % 2 else f"1950.01.02.{p}"),
            ("commas of thousands", lambda i, p: f"{int(p) + 1000:,}" if i % 2 else f"{int(p) + 1000}"),
            ("a spreadsheet's formula", lambda i, p: f'="{p}"' if i % 2 else p),
            ("accents", lambda i, p: ("Jos\u00e9" if i % 2 else "Jose") + p),
            ("a zero-width joiner", lambda i, p: ("A\u200d" if i % 2 else "A") + p),
            ("brackets", lambda i, p: f"[{p}]" if i % 2 else p),
        )
    },
    "check letters in two cases": similar(patients(lambda i, p: p + ("K" if i % 2 else "k")), f"{CASE} (60)"),
    **{
        f"ids {name} on every second row": Fault(
            every_second(change),
            "patient-ids-prefix",
            "60 numbers are a patient id alone and another id with letters",
            "column patient",
            "Write each person's id in one way",
            "warning",
        )
        for name, change in (
            ("with a prefix", lambda p: f"PT{p}"),
            ("with a prefix and a hyphen", lambda p: f"PT-{p}"),
            ("with a check letter", lambda p: p + "KLMN"[int(p) % 4]),
        )
    },
    **{
        f"dates as ids, {form}": Fault(
            patients(lambda i, p, form=form: f"{date(1950, 1, 1) + timedelta(int(p)):{form}}"),  # type: ignore[misc]
            "patient-ids-dates",
            "60 of 60 patient ids are dates",
            "column patient",
            "Check `columns.patient`",
            "warning",
        )
        for form in ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y")
    },
    "dates as ids in Parquet": Fault(
        lambda t: pa.table(
            t.to_dict("list") | {"patient": [date(1950, 1, 1) + timedelta(int(p)) for p in t["patient"]]}
        ),
        "patient-ids-dates",
        "60 of 60 patient ids are dates",
        "column patient",
        "Check `columns.patient`",
        "warning",
    ),
    **{
        f"{word} for many patients": Fault(
            cells("patient", lambda _, word=word: word, 30),  # type: ignore[misc]
            "patient-many-images",
            "One patient id has 30 of 180 images, the next 3",
            "column patient",
            "Leave out rows whose patient is not known",
            "warning",
        )
        for word in ("0", "-1", "9999999", "TEST", "xxxxx")
    },
    "case in one part": similar(
        patients(lambda i, p: ("P" if i % 2 else "p") + p),
        "upper and lower case (60). All ids of a group are in one part",
        severity="warning",
        changes=ALL_TEST,
    ),
    "zeros in one part": similar(
        every_second(lambda p: p.zfill(4)),
        "leading zeros (60). All ids of a group are in one part",
        severity="warning",
        changes=ALL_TEST,
    ),
    "7 and 7.0": forms(every_second(lambda p: p + ".0")),
    "7 and 7.000": forms(every_second(lambda p: p + ".000")),
    "7 and b'7'": forms(every_second(lambda p: f"b'{p}'")),
    "blanks at the ends": forms(every_second(lambda p: f" {p} ")),
    "no-break space at the end": forms(every_second(lambda p: p + "\u00a0")),
    "byte order mark at the start": forms(every_second(lambda p: "\ufeff" + p)),
    "Unicode normal forms": forms(
        patients(lambda i, p: unicodedata.normalize("NFD" if i % 2 else "NFC", GERMAN) + p)
    ),
    "spreadsheet's scientific notation": Fault(
        patients(lambda i, p: f"1.2345{p}E+15"),
        "patient-ids-rounded",
        "180 of 180 patient ids are numbers that lost digits",
        "column patient",
        "as text",
    ),
    "beyond 2^53 as a fraction": Fault(
        patients(lambda i, p: f"{2**53 + 2 * int(p)}.0"),
        "patient-ids-rounded",
        "180 of 180 patient ids",
        "column patient",
        "64-bit integers",
    ),
    "beyond 2^53 in a float column": Fault(
        lambda t: pa.table(t.to_dict("list") | {"patient": [2.0**60 + 4096 * int(p) for p in t["patient"]]}),
        "patient-ids-rounded",
        "180 of 180 patient ids",
        "column patient",
        "64-bit integers",
    ),
    "every image a patient": Fault(
        lambda t: t.assign(patient=t["image"]),
        "patients-one-image",
        "Each of the 180 images has a patient of its own (180 patients)",
        "column patient",
        "columns.patient",
        "warning",
    ),
    "a pattern that takes the whole name": Fault(
        lambda t: t,
        "patients-one-image",
        "Each of the 180 images has a patient of its own (180 patients)",
        "column image",
        "columns.patient",
        "warning",
        columns(patient={"column": "image", "pattern": r"^\d+_\d+"}),
    ),
    "a pattern that takes what all names share": Fault(
        lambda t: t,
        "patients-one",
        "All 180 images are of one patient",
        "column image",
        "columns.patient",
        "error",
        columns(patient={"column": "image", "pattern": r"png"}) | ALL_TEST,
    ),
    "a pattern that does not match": Fault(
        cells("image", lambda v: "x" + v, 3),
        "cohort-patient-pattern",
        "3 of 180 rows do not match the patient pattern",
        "t.csv, column image",
        "columns.patient.pattern",
        "error",
        columns(patient={"column": "image", "pattern": r"^(\d+)_"}),
    ),
    "a pattern whose group is empty": Fault(
        cells("image", lambda v: "_" + v, 3),
        "cohort-patient-pattern",
        "3 of 180 rows do not match",
        "t.csv, column image",
        "columns.patient.pattern",
        "error",
        columns(patient={"column": "image", "pattern": r"^(\d*)_"}),
    ),
    **{
        f"patient {text!r}": blank(text)
        for text in (
            *("nan", "NaN", "NA", "N/A", "None", "NULL", "<NA>", "", "  ", "Unknown", "ANONYMOUS"),
            *("UNK", "Not available", "redacted"),
        )
    },
    "patient that is null in Parquet": Fault(
        lambda t: pa.table(t.to_dict("list") | {"patient": [None] * 4 + t["patient"].tolist()[4:]}),
        "cohort-blank-id",
        "4 rows have no patient id.",
        "t.parquet, column patient",
        "Fill in or remove",
    ),
    "patient NaN in a float column": Fault(
        lambda t: pa.table(
            t.to_dict("list") | {"patient": [float("nan")] * 4 + [float(p) for p in t["patient"][4:]]}
        ),
        "cohort-blank-id",
        "4 rows have no patient id.",
        "t.parquet, column patient",
        "Fill in or remove",
    ),
    "image None": Fault(
        cells("image", lambda _: "None", 1),
        "cohort-blank-id",
        "1 rows have no image id (1 are 'None')",
        "t.csv, column image",
        "Fill in or remove",
    ),
    # Labels, subgroups and ages that mean nothing
    "no positive label": Fault(
        cells("y", lambda _: "0"),
        "target-one-class",
        "No image of the cohort is positive for y (180 labelled)",
        "target y, column y",
        "`source` of the target",
    ),
    "no negative label": Fault(
        cells("y", lambda _: "1"),
        "target-one-class",
        "No image of the cohort is negative for y (180 labelled)",
        "target y, column y",
        "`source` of the target",
    ),
    "no label": Fault(
        cells("y", lambda _: "NA"),
        "target-one-class",
        "No image of the cohort is labelled for y (0 labelled)",
        "target y, column y",
        "`source` of the target",
        changes=target(blank="exclude"),
    ),
    "word in another case": no_image_is_positive(
        labels("cardiomegaly|Edema", "No Finding"), word("Cardiomegaly"), "Did you mean 'cardiomegaly'"
    ),
    "word in capitals": no_image_is_positive(
        labels("EDEMA|MASS", "NORMAL"), word("Edema"), "Did you mean 'EDEMA'"
    ),
    "misspelt word": no_image_is_positive(
        labels("Cardiomegaly|Edema", "No Finding"), word("Cardiomegally"), "Did you mean 'Cardiomegaly'"
    ),
    "word of a phrase": no_image_is_positive(
        labels("Pleural Effusion|Edema", "No Finding"), word("Effusion"), "Did you mean 'Pleural Effusion'?"
    ),
    "word with a grade": no_image_is_positive(
        labels("Edema (mild)|Mass", "No Finding"), word("Edema"), "Did you mean 'Edema (mild)'?"
    ),
    "word with a number": no_image_is_positive(
        labels("Edema:1|Mass:0", "No Finding"), word("Edema"), "Did you mean 'Edema:1'?"
    ),
    "word with an accent": no_image_is_positive(
        labels("Ed\u00e9ma|Mass", "No Finding"), word("Edema"), "Did you mean 'Ed\u00e9ma'?"
    ),
    "word of another list": no_image_is_positive(
        labels("Cardiomegaly|Edema", "No Finding"), word("Zoster"), "most frequent words are"
    ),
    **{
        f"lists by {separator!r}": no_image_is_positive(
            labels(f"Cardiomegaly{separator}Edema", "No Finding"),
            word("Cardiomegaly"),
            f"one of {(separator.strip(' ') or ' ')!r}",
        )
        for separator in (";", ",", "/", "+", "&", " ", "; ", "\n")
    },
    "word in another case, lists by another separator": no_image_is_positive(
        labels("cardiomegaly;Edema", "No Finding"),
        word("Cardiomegaly"),
        "Did you mean 'cardiomegaly'? The lists have another separator than '|': set `separator` of the "
        "target to one of ';'",
    ),
    "list text with another separator": no_image_is_positive(
        labels("['edema', 'mass']", "['normal']"), word("edema"), "one of ','"
    ),
    "some words in another case": Fault(
        lambda t: t.assign(
            y=["edema|Mass" if i < 6 else "Edema" if i < 30 else "Normal" for i in range(ROWS)]
        ),
        "target-word",
        "6 lists hold 'Edema' (6 in another case)",
        "target y, column y",
        "Write the word in one way",
        "warning",
        word("Edema"),
    ),
    "some lists by another separator": Fault(
        lambda t: t.assign(
            y=["Edema;Mass" if i < 6 else "Edema" if i < 30 else "Normal" for i in range(ROWS)]
        ),
        "target-word",
        "6 lists hold 'Edema' (6 with another separator than '|')",
        "target y, column y",
        "set `separator`",
        "warning",
        word("Edema"),
    ),
    "blank lists without a policy": Fault(
        lambda t: t.assign(y=["" if i < 6 else "Edema" if i < 30 else "Normal" for i in range(ROWS)]),
        "cohort-label",
        "6 of 180 labels of y are not 0 or 1 (0 are -1, 6 blank)",
        "t.csv, column y",
        "`blank`",
        changes=word("Edema"),
    ),
    "blank labels by a word": Fault(
        cells("y", lambda _: "NA", 5),
        "cohort-label",
        "5 of 180 labels of y are not 0 or 1 (0 are -1, 5 blank)",
        "t.csv, column y",
        "`blank`",
    ),
    **{
        f"labels {yes!r} and {no!r}": Fault(
            labels(yes, no),
            "cohort-value",
            f"{count} of 180 values of y are not numbers",
            "t.csv, column y",
            f'word = "{meant}"',
        )
        for yes, no, meant, count in (
            ("yes", "no", "yes", 180),
            ("Yes", "No", "Yes", 180),
            ("positive", "negative", "positive", 180),
            ("T", "F", "T", 180),
            ("Y", "N", "Y", 180),
            ("+", "-", "+", 54),
            ("rouge", "noir", "...", 180),
            ("1 (confirmed)", "0", "...", 54),
            ("1,0", "0,0", "...", 180),
        )
    },
    **{
        f"labels {yes} and {no}": Fault(
            labels(yes, no),
            "cohort-label",
            f"{count} of 180 labels of y are not 0 or 1",
            "t.csv, column y",
            f'word = "{yes}"',
        )
        for yes, no, count in (("2", "1", 54), ("100", "0", 54), ("0.9", "0.1", 180))
    },
    "labels 1 and -1": Fault(
        labels("1", "-1"),
        "cohort-label",
        "126 of 180 labels of y are not 0 or 1 (126 are -1, 0 blank)",
        "t.csv, column y",
        "`uncertain`",
    ),
    "decimal commas": Fault(
        cells("age", lambda v: v + ",5", 7),
        "cohort-value",
        "7 of 180 values of age are not numbers; forms, with 9 for a digit and a for a letter: '99,9' (7)",
        "t.csv, column age",
        "Write ages as numbers of years",
    ),
    **{
        f"age written as {text}": Fault(
            cells("age", lambda _, text=text: text, 7),  # type: ignore[misc]
            "cohort-value",
            "7 of 180 values of age are not numbers; forms, with 9 for a digit and a for a letter: "
            f"{form!r} (7)",
            "t.csv, column age",
            "Write ages as numbers of years",
        )
        for text, form in (
            ("45 years", "99 aaa\u2026"),
            ("45yo", "99aa"),
            ("45Y 3M", "99a 9a"),
            ("P45Y", "a99a"),
            ("40-49", "99-99"),
            (">89", ">99"),
            ("90+", "99+"),
            ("forty", "aaa\u2026"),
            ("1975-03-02", "9999-99-99"),
        )
    },
    **{
        f"age {age}": Fault(
            cells("age", lambda _, age=age: age, 30),  # type: ignore[misc]
            "age-implausible",
            "30 of 180 ages are outside 0 to 120 years",
            "column age",
            "leave them blank",
            "warning",
        )
        for age in ("411", "-1", "999", "121", "148.5", "155Y", "1975", "16425")
    },
    "no test images": Fault(
        lambda t: t.assign(part="train"),
        "split-empty",
        "The split has no test image: 180 train",
        "split column",
        "[split]",
        changes={"split": {"rule": "column", "column": "part", "train": "train", "test": "test"}},
    ),
    "split words in another case": Fault(
        lambda t: t.assign(part=["Train" if i < 90 else "Test" for i in range(ROWS)]),
        "cohort-split-column",
        "180 of 180 rows are in none of train, test; they hold 'Train' (90), 'Test' (90)",
        "column part",
        "[split]",
        changes={"split": {"rule": "column", "column": "part", "train": "train", "test": "test"}},
    ),
    "subgroup words": Fault(
        cells("sex", lambda v: {"F": "Female", "M": "Male"}[v]),
        "subgroup-empty",
        "No row has the value 'F', 'M', so that 2 of 2 subgroups are empty; 180 rows have other values",
        "subgroups sex, column sex",
        "as the column writes them",
        "warning",
    ),
    "subgroup in another case": Fault(
        cells("sex", str.lower),
        "subgroup-empty",
        "No row has the value 'F', 'M'",
        "subgroups sex, column sex",
        "as the column writes them",
        "warning",
    ),
    "codes for the sex": Fault(
        cells("sex", lambda v: {"F": "2", "M": "1"}[v]),
        "sex-values",
        "180 of 180 values of the input sex are not M, F, Male or Female",
        "column sex",
        "Write M and F",
        "warning",
    ),
    "another language for the sex": Fault(
        cells("sex", lambda _: "weiblich", 9),
        "sex-values",
        "9 of 180 values of the input sex",
        "column sex",
        "Write M and F",
        "warning",
    ),
    "blank subgroups": Fault(
        cells("sex", lambda _: "NA"),
        "subgroup-empty",
        "All 180 cells are blank",
        "subgroups sex, column sex",
        "as the column has them",
        "warning",
    ),
    "one subgroup word": Fault(
        cells("sex", lambda v: {"F": "W", "M": "M"}[v]),
        "subgroup-empty",
        "No row has the value 'F', so that 1 of 2 subgroups are empty",
        "subgroups sex, column sex",
        "as the column writes them",
        "warning",
    ),
    "bands in another unit": Fault(
        cells("age", lambda v: str(int(v) / 1000)),
        "subgroup-empty",
        "None of 180 values is in a band of age",
        "subgroups age, column age",
        "Check the unit",
        "warning",
    ),
    "measurements in another unit": Fault(
        lambda t: t.assign(w=[str(40 + i % 20) for i in range(ROWS)]),
        "target-one-class",
        "No value of w is from 1 to 10 cm",
        "target w, column w",
        "Check the unit",
        "warning",
        {
            "targets": [
                *SPEC["targets"],
                {
                    "name": "w",
                    "kind": "continuous",
                    "label": "W",
                    "source": "w",
                    "unit": "cm",
                    "plausible": [1, 10],
                },
            ]
        },
    ),
    # The table's form
    "a column twice": Fault(
        lambda t: csv(t.assign(y2=t["y"])).replace(b",y2\n", b",y\n", 1),
        "cohort-columns",
        "1 column names appear more than once: 'y'",
        "t.csv",
        "Keep one column",
    ),
    "a column twice in Parquet": Fault(
        lambda t: pa.Table.from_arrays([*pa.table(t).columns, pa.array(t["y"])], [*t.columns, "y"]),
        "cohort-columns",
        "1 column names appear more than once: 'y'",
        "t.parquet",
        "Keep one column",
    ),
    "two columns in another case": Fault(
        lambda t: t.rename(columns={"y": "Y"}).assign(**{" y": t["y"]}),
        "cohort-columns",
        "1 columns of cohort hosp are missing: y (is it 'Y' or ' y'?)",
        "t.csv",
        "name its columns in its spec",
    ),
    "a column in another case": Fault(
        lambda t: t.rename(columns={"y": "Y"}),
        "cohort-column-case",
        "1 column found by a name that differs in case or blanks: 'Y' for 'y'",
        "t.csv",
        "Write the name in the spec",
        "warning",
    ),
    "columns with blanks": Fault(
        lambda t: t.rename(columns={"y": "y ", "patient": " Patient"}),
        "cohort-column-case",
        "2 columns found by a name that differs in case or blanks",
        "t.csv",
        "Write the name in the spec",
        "warning",
    ),
    "an index without a name": Fault(
        lambda t: pa.Table.from_pandas(t.set_index("image").rename_axis(None)),
        "cohort-columns",
        "1 columns of cohort hosp are missing: image",
        "t.parquet",
        "rename_axis('image')",
    ),
    "labels as lists in Parquet": Fault(
        lambda t: pa.table(t.to_dict("list") | {"y": [["Edema"]] * ROWS}),
        "cohort-columns",
        "1 columns of cohort hosp are missing: y (its type is list<",
        "t.parquet",
        "a list of words as text",
        changes=word("Edema"),
    ),
    "UTF-16": kind(csv(good()).decode().encode("utf-16"), "It is UTF-16 text", "iconv -f UTF-16"),
    "UTF-16 without a mark": kind(
        csv(good()).decode().encode("utf-16-le"), "UTF-16 text without a byte order mark", "iconv -f UTF-16LE"
    ),
    "UTF-16 big-endian without a mark": kind(
        csv(good()).decode().encode("utf-16-be"), "UTF-16 text without a byte order mark", "iconv -f UTF-16BE"
    ),
    "UTF-32": kind(csv(good()).decode().encode("utf-32"), "It is UTF-32 text", "iconv -f UTF-32"),
    "Windows-1252": kind(
        csv(good().assign(note=GERMAN)).decode().encode("cp1252"),
        "Line 2 is not UTF-8 text: invalid continuation byte. It looks like Windows-1252",
        "iconv -f WINDOWS-1252",
    ),
    "zip or xlsx": kind(b"PK\x03\x04" + bytes(50), "It is a zip archive or spreadsheet", "Export the table"),
    "xls": kind(b"\xd0\xcf\x11\xe0" + bytes(50), "It is an old spreadsheet", "Export the table"),
    "Feather": kind(b"ARROW1\0\0" + bytes(50), "It is a Feather (Arrow) file", "Export the table"),
    "ORC": kind(b"ORC\x0a\x03\x00" + bytes(50), "It is an ORC file", "Export the table"),
    "HDF5": kind(b"\x89HDF\r\n\x1a\n" + bytes(50), "It is an HDF5 file", "Export the table"),
    "pickle": kind(b"\x80\x04\x95" + bytes(50), "It is a Python pickle", "Export the table"),
    "JSON": kind(b'[{"image": "a"}]', "It is JSON", "Export the table"),
    "JSON behind a byte order mark": kind(b'\xef\xbb\xbf{"image": "a"}', "It is JSON", "Export the table"),
    "HTML": kind(b"<!DOCTYPE html><html></html>", "It is HTML or XML", "Download the file again"),
    "Git LFS pointer": kind(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "Git LFS pointer",
        "git lfs pull",
    ),
    "tar": kind(b"t.csv" + bytes(252) + b"ustar" + bytes(300), "It is a tar archive", "Unpack it"),
    "Stata": kind(b"<stata_dta><header>" + bytes(50), "It is a Stata file", "Export the table"),
    "rar": kind(b"Rar!\x1a\x07" + bytes(50), "It is a rar archive", "Unpack it"),
    "R data": kind(b"X\n\0\0\0\x02" + b"abc" * 50, "It is a binary file", "Export the table"),
    "Shift-JIS": kind(
        csv(good().assign(note="\u80f8\u90e8")).decode().encode("shift-jis"), "Line 2 is not UTF-8", "iconv"
    ),
    "sep= line": kind(b"sep=,\n" + csv(good()), "Its first line is `sep=`", "Remove this line"),
    "empty": kind(b"\n\n", "It is empty", "Open the table"),
    "header alone": kind(csv(good().head(0)), "The table has no rows", "Export the table again"),
    "a comment above the header": kind(
        b"# exported\n" + csv(good()), "181 of 181 rows are longer or shorter", "The first line is the header"
    ),
    "the header again at the end": kind(
        csv(good()) + csv(good().head(0)), "1 row repeats the header", "remove the headers within"
    ),
    "three tables joined": kind(
        csv(good().head(60)) + csv(good().iloc[60:120]) + csv(good().tail(60)),
        "2 rows repeat the header",
        "remove the headers within",
    ),
    "trailing commas": kind(
        csv(good()).replace(b"0\n", b"0,\n").replace(b"1\n", b"1,\n"),
        "180 of 180 rows are longer or shorter",
        "double quotes",
    ),
    **{
        f"columns by {separator!r}": Fault(
            lambda t, separator=separator: (
                MARK
                + t.to_csv(  # type: ignore[misc]
                    index=False, sep=separator, lineterminator="\r\n"
                ).encode()
            ),
            "cohort-columns",
            "5 columns of cohort hosp are missing",
            "t.csv",
            "commas between columns",
        )
        for separator in (";", "\t", "|", " ", "^", ":")
    },
    "single quotes": Fault(
        lambda t: t.to_csv(index=False, quoting=1, quotechar="'").encode(),
        "cohort-columns",
        "5 columns of cohort hosp are missing",
        "t.csv",
        "double quotes",
    ),
    "rows of another length": kind(
        csv(good()) + b"a,b\nc,d\n", "2 of 182 rows are longer or shorter than the header", "double quotes"
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_each_fault_has_its_code_count_place_and_remedy(fault: Fault, tmp_path: Path) -> None:
    found = check(tmp_path, fault.edit(good()), fault.changes)
    problem = only(found, fault.code)
    assert_problem(
        problem,
        fault.code,
        message=re.escape(fault.message),
        where=re.escape(fault.where),
        remedy=re.escape(fault.remedy),
        severity=fault.severity,
    )
    errors = [p.code for p in found if p.severity == "error" and p is not problem]
    assert errors == []


def test_the_table_that_the_faults_are_made_from_is_right(tmp_path: Path) -> None:
    assert check(tmp_path, good()) == []


def test_there_are_many_faults() -> None:
    assert len(FAULTS) >= 90


@pytest.mark.parametrize(
    "name", ["case", "leading zeros", "full-width digits", "7 and 7.0", "every image a patient"]
)
def test_a_split_says_of_patients_what_the_check_says(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    write(tmp_path, fault.edit(good()))
    found = audit_split(load_cohort(spec(fault.changes), tmp_path))
    assert [(p.code, p.severity) for p in found] == [(fault.code, fault.severity)]


def test_people_in_two_parts_are_counted_as_a_plain_count_does(tmp_path: Path) -> None:
    write(tmp_path, FAULTS["leading zeros"].edit(good()))
    cohort = load_cohort(spec(), tmp_path)
    by_person: dict[int, tuple[set[str], set[int]]] = {}
    for patient, part, fold in zip(cohort.patients, cohort.split.parts, cohort.split.folds, strict=True):
        parts, folds = by_person.setdefault(int(patient), (set(), set()))
        parts.add(str(part))
        folds.add(int(fold))
    in_parts = sum(len(parts) > 1 for parts, _ in by_person.values())
    in_folds = sum(len(folds) > 1 for _, folds in by_person.values())
    (problem,) = audit_split(cohort)
    assert in_parts > 20
    assert (
        f"{in_parts} people have images in more than one part of the split and {in_folds} in"
        in problem.message
    )


def test_ids_that_differ_in_case_may_be_stated_to_be_distinct_people(tmp_path: Path) -> None:
    table = FAULTS["case"].edit(good())
    assert check(tmp_path, table, columns(similar_patients="distinct")) == []


def test_no_message_names_a_patient(tmp_path: Path) -> None:
    table = patients(lambda i, p: ("Secret" if i % 2 else "secret") + p)(good())
    (problem,) = check(tmp_path, table)
    assert "ecret" not in str(problem)


# One text for every id


FLOATS = [7.0, 12.0, 7.0, 100.0]
TEXTS = ["7", "12", "7", "100"]
AS: dict[str, pa.Array] = {
    "int8": pa.array([7, 12, 7, 100], pa.int8()),
    "int64": pa.array([7, 12, 7, 100], pa.int64()),
    "uint32": pa.array([7, 12, 7, 100], pa.uint32()),
    "float32": pa.array(FLOATS, pa.float32()),
    "float64": pa.array(FLOATS, pa.float64()),
    "float16": pa.array(np.array(FLOATS, np.float16)),
    "string": pa.array(TEXTS, pa.string()),
    "string of floats": pa.array(["7.0", "12.0", "7.0", "100.0"], pa.string()),
    "large_string": pa.array(TEXTS, pa.large_string()),
    "string_view": pa.array(TEXTS, pa.string_view()),
    "binary": pa.array([t.encode() for t in TEXTS], pa.binary()),
    "large_binary": pa.array([t.encode() for t in TEXTS], pa.large_binary()),
    "binary_view": pa.array([t.encode() for t in TEXTS], pa.binary_view()),
    "fixed_size_binary": pa.array([t.ljust(3).encode() for t in TEXTS], pa.binary(3)),
    "dictionary of strings": pa.array(TEXTS).dictionary_encode(),
    "dictionary of binaries": pa.array([t.encode() for t in TEXTS]).dictionary_encode(),
    "dictionary of ints": pa.array([7, 12, 7, 100]).dictionary_encode(),
    "decimal128": pa.array([decimal.Decimal(t) for t in TEXTS], pa.decimal128(10, 2)),
    "decimal256": pa.array([decimal.Decimal(t) for t in TEXTS], pa.decimal256(60, 20)),
    "decimal of scale 0": pa.array([decimal.Decimal(t) for t in TEXTS], pa.decimal128(12, 0)),
}
IMAGES = pa.array(["a", "b", "c", "d"])


def fingerprint(folder: Path) -> str:
    return load_cohort(spec({"subgroups": []} | columns(inputs={})), folder).split.fingerprint


@pytest.mark.parametrize("column", AS.values(), ids=AS)
def test_ids_of_every_parquet_type_give_the_split_of_the_text(column: pa.Array, tmp_path: Path) -> None:
    y = pa.array([0, 1, 0, 1])
    write(tmp_path, pa.table({"image": IMAGES, "patient": column, "y": y}))
    found = fingerprint(tmp_path)
    for texts in (
        TEXTS,
        ["7.0", "12.0", "7.0", "100.0"],
        [" 7", "12\t", "7", "100.00"],
        ["b'7'", 'b"12"', "7", "100"],
    ):
        write(tmp_path, pd.DataFrame({"image": IMAGES, "patient": texts, "y": [0, 1, 0, 1]}))
        assert fingerprint(tmp_path) == found
    (tmp_path / "t.csv").unlink()


@pytest.mark.parametrize("column", AS.values(), ids=AS)
def test_numbers_of_every_parquet_type_are_read(column: pa.Array, tmp_path: Path) -> None:
    """Ages and measurements, of which the same numbers are expected as of text."""
    inputs = {"image": IMAGES, "patient": IMAGES, "y": pa.array([0, 1, 0, 1]), "age": column}
    write(tmp_path, pa.table(inputs))
    width = {
        "name": "w",
        "kind": "continuous",
        "label": "W",
        "source": "age",
        "unit": "cm",
        "plausible": [0, 99],
    }
    cohort = load_cohort(
        spec({"targets": [*SPEC["targets"], width], "subgroups": []} | columns(inputs={})), tmp_path
    )
    assert cohort.targets["w"][:3].tolist() == [7, 12, 7]
    assert np.isnan(cohort.targets["w"][3])


def test_an_integer_column_with_a_missing_value_loses_no_digit(tmp_path: Path) -> None:
    ids = [2**60 + 1, 2**60 + 2, None, 2**60 + 1]
    write(tmp_path, pa.table({"image": IMAGES, "patient": pa.array(ids, pa.int64()), "y": [0, 1, 0, 1]}))
    frame = read_text_table(tmp_path / "t.parquet").frame
    assert frame["patient"].tolist() == [str(2**60 + 1), str(2**60 + 2), "", str(2**60 + 1)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("007", "007"), ("1e5", "1e5"), ("00e1", "00e1"), ("p7.0", "p7.0"), ("7.5", "7.5"), ("7.", "7"),
        ("-0.0", "0"), ("0.0", "0"), ("0007.0", "0007"), ("1.0.0", "1.0.0"), ("\u00a07\u200b", "7"),
        ("cafe\u0301", "caf\u00e9"), ("b'7'", "7"), ('b"x y"', "x y"), ("b'7", "b'7"), ("P7", "P7"),
        ("nan", ""), ("b'nan'", ""), ("\u200b", ""), ("NAN1", "NAN1"), ("None ", ""), ("n/a", ""),
        ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
    ],
)  # fmt: skip
def test_the_canonical_text_of_an_id(text: str, wanted: str) -> None:
    assert canonical_id(text) == wanted
    assert canonical_id(wanted) == wanted


def test_which_ids_lost_digits() -> None:
    lost = ["1.23457E+15", "1e+16", "9007199254740994.0", "12345678901234567890.0"]
    kept = ["1e5", "00e1", "12345678901234567890", "9007199254740992.0", "7.0", "p1.2E+15"]
    assert [is_rounded(text) for text in lost + kept] == [True] * len(lost) + [False] * len(kept)


def test_ids_of_one_length_that_differ_by_zeros_are_distinct() -> None:
    assert similar_ids(np.array(["a01b2", "a1b02", "10", "01", "100", "abc"], object)).groups == ()
    assert similar_ids(np.array(["a01b2", "a1b2"], object)).groups == (("a01b2", "a1b2"),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.23", "12.3"),
        ("1.2.840.10", "1.2.8.4010"),
        ("A-1-23", "A-12-3"),
        ("p7", "q7"),
        ("7a", "7b"),
        ("1950-01-02", "1950-01-20"),
        ("A1B2", "A12B"),
        ("123,45", "12,345"),
    ],
)
def test_ids_of_other_people_are_not_similar(one: str, other: str) -> None:
    assert similar_ids(np.array([one, other], object)).groups == ()
    assert prefixed_ids(np.array([one, other], object)) == 0


def test_rows_of_blank_cells_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, good())
    wanted = load_cohort(spec(), tmp_path).split.fingerprint
    lines = csv(good()).splitlines(keepends=True)
    write(tmp_path, b"".join([*lines[:50], b",,,,\n", *lines[50:], b", ,,\t,\n,,,,\n"]))
    assert load_cohort(spec(), tmp_path).split.fingerprint == wanted


def test_hexadecimal_ids_are_never_similar() -> None:
    random = np.random.default_rng(0)
    ids = np.array(["".join(random.choice(list("0123456789abcdef"), 32)) for _ in range(3000)], object)
    assert similar_ids(ids).groups == ()


def test_words_for_missing_values_are_blank_and_others_are_not() -> None:
    assert all(map(is_blank, ["", " ", "NA", "n/a", "NaN", "None", "NULL", "<NA>", "#N/A", "NaT", "-"]))
    assert not any(map(is_blank, ["0", "no", "N", "x", "nano", "No Finding", "-1"]))


# Unambiguous tables are read


def loaded(
    folder: Path, table: pd.DataFrame | pa.Table | bytes, changes: dict[str, Any] | None = None
) -> Cohort:
    assert [p for p in check(folder, table, changes) if p.severity == "error"] == []
    return load_cohort(spec(changes), folder)


@pytest.mark.parametrize("words", [("True", "False"), ("TRUE", "FALSE"), ("true", "false"), ("1.0", "0.0")])
def test_true_and_false_are_labels(words: tuple[str, str], tmp_path: Path) -> None:
    wanted = good()["y"].astype(float).tolist()
    assert loaded(tmp_path, labels(*words)(good())).targets["y"].tolist() == wanted


def test_true_and_false_of_parquet_are_labels(tmp_path: Path) -> None:
    table = pa.table(good().to_dict("list") | {"y": [v == "1" for v in good()["y"]]})
    assert loaded(tmp_path, table).targets["y"].tolist() == good()["y"].astype(float).tolist()


@pytest.mark.parametrize("na", ["NA", "nan", "None", "NULL", "", "#N/A", "N/A", " "])
def test_words_for_missing_labels_follow_the_policy(na: str, tmp_path: Path) -> None:
    cohort = loaded(tmp_path, cells("y", lambda _: na, 4)(good()), target(blank="exclude"))
    assert np.isnan(cohort.targets["y"]).tolist() == [True] * 4 + [False] * (ROWS - 4)


def test_blank_lists_follow_the_policy(tmp_path: Path) -> None:
    table = good().assign(y=["" if i < 6 else "Edema" if i < 30 else "Normal" for i in range(ROWS)])
    for policy, value in (("exclude", np.nan), ("negative", 0.0)):
        found = loaded(tmp_path, table, target(source={"column": "y", "word": "Edema"}, blank=policy))
        assert np.array_equal(found.targets["y"], [value] * 6 + [1.0] * 24 + [0.0] * 150, equal_nan=True)


@pytest.mark.parametrize(
    "lists", [("['edema', 'mass']", "['normal']"), ('["mass","edema"]', '["x"]'), ("[edema]", "[]")]
)
def test_lists_written_as_text_are_read(lists: tuple[str, str], tmp_path: Path) -> None:
    found = loaded(tmp_path, labels(*lists)(good()), word("edema", separator=","))
    assert found.targets["y"].tolist() == good()["y"].astype(float).tolist()


def test_ages_of_the_dicom_form_are_years(tmp_path: Path) -> None:
    ages = ["058Y", "011M", "003W", "020D", "39Y", "040y"]
    table = good().assign(age=ages + good()["age"].tolist()[6:])
    cohort = loaded(tmp_path, table)
    years = [float(age) for age in cohort.table["age"][:6]]
    assert years == pytest.approx([58, 11 / 12, 21 / 365.25, 20 / 365.25, 39, 40], rel=1e-5)
    assert cohort.subgroups[1].codes[:6].tolist() == [1, -1, -1, -1, 0, 1]


def test_an_implausible_age_is_in_no_subgroup(tmp_path: Path) -> None:
    cohort = loaded(tmp_path, cells("age", lambda _: "411", 30)(good()))
    assert (cohort.subgroups[1].codes[:30] == -1).all()
    assert (cohort.subgroups[1].codes[30:] >= 0).all()


def test_values_of_subgroups_are_the_same_in_every_file_format(tmp_path: Path) -> None:
    device = {"name": "device", "label": "Device", "column": "d", "values": {"0": "No", "1": "Yes"}}
    wanted = [i % 2 for i in range(ROWS)]
    for texts in (("0", "1"), ("0.0", "1.0"), ("False", "True"), (" 0", "1 ")):
        table = good().assign(d=[texts[i] for i in wanted])
        assert loaded(tmp_path, table, {"subgroups": [device]}).subgroups[0].codes.tolist() == wanted
    (tmp_path / "t.csv").unlink()
    for column in (
        pa.array([bool(i) for i in wanted]),
        pa.array([decimal.Decimal(i) for i in wanted]).cast(pa.decimal128(5, 2)),
    ):
        table = pa.table(good().to_dict("list") | {"d": column})
        assert loaded(tmp_path, table, {"subgroups": [device]}).subgroups[0].codes.tolist() == wanted


@pytest.mark.parametrize("index", [["image"], ["patient"], ["image", "patient"]])
def test_ids_may_be_the_pandas_index(index: list[str], tmp_path: Path) -> None:
    write(tmp_path, good())
    wanted = load_cohort(spec(), tmp_path).split.fingerprint
    (tmp_path / "t.csv").unlink()
    good().set_index(index).to_parquet(tmp_path / "t.parquet")
    assert load_cohort(spec(), tmp_path).split.fingerprint == wanted


def test_columns_beside_that_are_not_text_are_left_alone(tmp_path: Path) -> None:
    beside = {
        "boxes": pa.array([[1, 2]] * ROWS),
        "record": pa.array([{"a": 1}] * ROWS),
        "bytes": pa.array([b"\xff\xd8"] * ROWS),
        "nothing": pa.nulls(ROWS),
        "day": pa.array(pd.date_range("2020-01-01", periods=ROWS)),
        "": pa.array(["x"] * ROWS),
    }
    cohort = loaded(tmp_path, pa.table(good().to_dict("list") | beside))
    assert list(cohort.table.columns) == [*good().columns, "nothing", "day"]
    assert cohort.table["day"][0] == "2020-01-01 00:00:00"


@pytest.mark.parametrize("length", [30, 20_000, 1_500_000])
def test_quoted_text_of_several_lines_is_read(length: int, tmp_path: Path) -> None:
    rows = 8 if length > 1_000_000 else ROWS
    report = "FINDINGS:\n" + "lungs clear. " * (length // 13) + '\r\n"IMPRESSION", none'
    table = good().head(rows).assign(report=report)
    write(tmp_path, table)
    assert read_text_table(tmp_path / "t.csv").frame["report"].tolist() == [report] * rows


def test_a_header_over_several_lines_and_empty_lines_before_it_are_read(tmp_path: Path) -> None:
    write(tmp_path, b'\n\n"two\nlines",image\n1,a\n\n2,b\n')
    frame = read_text_table(tmp_path / "t.csv").frame
    assert frame.to_dict("list") == {"two\nlines": ["1", "2"], "image": ["a", "b"]}


def test_a_gzip_or_parquet_file_of_another_name_is_read_by_its_content(tmp_path: Path) -> None:
    import gzip

    write(tmp_path, good())
    wanted = load_cohort(spec(), tmp_path).split.fingerprint
    for content in (gzip.compress(csv(good())), parquet_bytes(good())):
        (tmp_path / "t.csv").write_bytes(content)
        assert load_cohort(spec(), tmp_path).split.fingerprint == wanted
    (tmp_path / "t.csv").write_bytes(gzip.compress(gzip.compress(csv(good()))))
    (problem,) = check(tmp_path, (tmp_path / "t.csv").read_bytes())
    assert problem.message == "It is a gzip file within a gzip file, not CSV or Parquet."


def parquet_bytes(table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.to_parquet(stream)
    return stream.getvalue()


def test_a_pattern_means_its_one_group(tmp_path: Path) -> None:
    whole = loaded(tmp_path, good())
    grouped = loaded(tmp_path, good(), columns(patient={"column": "image", "pattern": r"^0*(\d+)_\d+\.png$"}))
    assert grouped.split.fingerprint == whole.split.fingerprint


SPEC_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "two groups": (columns(patient={"column": "image", "pattern": r"(\d+)_(\d+)"}), "it has 2 groups"),
    "three groups, nested": (
        columns(patient={"column": "image", "pattern": r"((a)|(b))"}),
        "it has 3 groups",
    ),
    "empty separator": (word("1", separator=""), "This text is empty."),
    "empty word": (word(""), "This text is empty."),
    "word with a blank": (word(" Edema"), "begins or ends with a blank"),
    "word with the separator": (word("Edema|Mass"), "holds the separator"),
    "uncertain words": (
        target(source={"column": "y", "word": "Edema"}, uncertain="exclude"),
        "a list of words holds no -1",
    ),
}


@pytest.mark.parametrize(("changes", "says"), SPEC_FAULTS.values(), ids=SPEC_FAULTS)
def test_a_spec_that_means_nothing_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BenchError) as caught:
        spec(changes)
    meant = [p for p in caught.value.problems if says in p.message]
    assert len(meant) == 1
    assert_problem(
        meant[0], "cohort-spec", message=re.escape(says), where=r"^spec\.toml$", remedy="Correct the key"
    )


# Images


def jpeg(**options: Any) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    Image.fromarray(noise).save(stream, "JPEG", **options)
    return stream.getvalue()


def tiff(pixels: np.ndarray[Any, Any], photometric: int = 1) -> bytes:
    """An uncompressed TIFF; its photometric interpretation (tag 262) is set in the bytes."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "TIFF")
    data = bytearray(stream.getvalue())
    entry = struct.pack("<HHI", 262, 3, 1)
    place = data.index(entry) + len(entry)
    data[place : place + 2] = struct.pack("<H", photometric)
    return bytes(data)


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header names a size; its pixels are of a smaller image."""
    import zlib

    stream = io.BytesIO()
    Image.new("L", (4, 4)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def png() -> bytes:
    stream = io.BytesIO()
    Image.open(io.BytesIO(jpeg())).save(stream, "PNG")
    return stream.getvalue()


def encoded(pixels: np.ndarray[Any, Any], form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8) if pixels.max() < 256 else pixels).save(stream, form, **options)
    return stream.getvalue()


DEEP = np.random.default_rng(1).integers(256, 65_535, (64, 64)).astype(np.uint16)
COLOUR = np.random.default_rng(1).integers(1, 255, (64, 64, 3)).astype(np.uint8)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def gif() -> bytes:
    stream = io.BytesIO()
    Image.open(io.BytesIO(jpeg())).save(stream, "GIF")
    return stream.getvalue()


def zero_tail(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes(len(data) - len(data) // 2)


WITH_NAN = np.ones((16, 16), np.float32)
WITH_NAN[3, 4] = np.nan
IMAGE_FAULTS: dict[str, tuple[bytes, str, str]] = {
    "JPEG whose second half is zeros": (
        zero_tail(jpeg()),
        "images-damaged",
        "1 end before the image does",
    ),
    "JPEG whose last tenth is zeros": (
        jpeg()[: -len(jpeg()) // 10] + bytes(len(jpeg()) // 10),
        "images-damaged",
        "1 end before the image does",
    ),
    "progressive JPEG whose second half is zeros": (
        jpeg(progressive=True)[:2000] + bytes(2000),
        "images-damaged",
        "1 end before the image does",
    ),
    "JPEG without its last two bytes": (jpeg()[:-2], "images-damaged", "1 end before the image does"),
    "JPEG cut in half": (jpeg()[: len(jpeg()) // 2], "images-damaged", "1 end before the image does"),
    "JPEG of a header alone": (jpeg()[:200], "images-damaged", "1 cannot be decoded"),
    "float TIFF with NaN": (tiff(WITH_NAN), "images-damaged", "1 hold NaN or infinite values"),
    "float TIFF with infinity": (
        tiff(np.where(np.isnan(WITH_NAN), np.float32(np.inf), WITH_NAN)),
        "images-damaged",
        "1 hold NaN or infinite values",
    ),
    "bomb above twice Pillow's limit": (
        png_of(20_000, 20_000),
        "images-too-large",
        "the largest 400,000,000",
    ),
    "bomb above Pillow's limit": (png_of(10_000, 12_000), "images-too-large", "the largest 120,000,000"),
    "PNG whose second half is zeros": (zero_tail(png()), "images-damaged", "1 end before"),
    "PNG cut in half": (png()[: len(png()) // 2], "images-damaged", "1 end before"),
    "GIF bomb": (b"GIF89a\xff\xff\xff\xff" + gif()[10:], "images-too-large", "the largest 4,294,836,225"),
    "text": (b"no image", "images-damaged", "1 cannot be decoded"),
    "colour PNG whose second half is zeros": (
        zero_tail(encoded(COLOUR, "PNG")),
        "images-damaged",
        "1 end before",
    ),
    "PNG without its last chunk": (png()[:-12], "images-damaged", "1 end before"),
    "16-bit PNG cut in half": (cut(encoded(DEEP, "PNG")), "images-damaged", "1 end before"),
    "16-bit PNG without its last bytes": (encoded(DEEP, "PNG")[:-20], "images-damaged", "1 end before"),
    "uncompressed TIFF cut in half": (cut(tiff(DEEP)), "images-damaged", "1 end before"),
    "compressed TIFF cut in half": (
        cut(encoded(DEEP, "TIFF", compression="tiff_lzw")),
        "images-damaged",
        "1 cannot be decoded",
    ),
    "BMP cut in half": (cut(encoded(DEEP // 256, "BMP")), "images-damaged", "1 end before"),
    "PGM of 16 bits cut in half": (cut(encoded(DEEP, "PPM")), "images-damaged", "1 end before"),
    "WebP whose second half is zeros": (
        zero_tail(encoded(COLOUR, "WEBP")),
        "images-damaged",
        "1 end before",
    ),
    "JPEG 2000 cut in half": (
        cut(encoded(DEEP // 256, "JPEG2000")),
        "images-damaged",
        "1 cannot be decoded",
    ),
    "empty file": (b"", "images-damaged", "1 are empty files"),
    "zeros alone": (bytes(5000), "images-damaged", "1 hold only zero bytes"),
    "DICOM": (bytes(128) + b"DICM" + bytes(400), "images-damaged", "1 are DICOM files"),
    "Git LFS pointer as an image": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "images-damaged",
        "1 are Git LFS pointers",
    ),
    "web page as an image": (b"<!DOCTYPE html><html>", "images-damaged", "1 are web pages"),
    "gzip of an image": (b"\x1f\x8b\x08" + bytes(60), "images-damaged", "1 are archives"),
}


@pytest.fixture
def few(tmp_path: Path) -> Cohort:
    """Six images of two patients, with files."""
    table = good().head(6)
    (tmp_path / "images").mkdir()
    for k, name in enumerate(table["image"]):
        Image.fromarray(np.full((16, 16), 9 * k, np.uint8)).save(tmp_path / "images" / name)
    write(tmp_path, table)
    return load_cohort(spec(ALL_TEST), tmp_path)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(("data", "code", "says"), IMAGE_FAULTS.values(), ids=IMAGE_FAULTS)
def test_each_fault_of_an_image_is_a_problem_of_every_command(
    data: bytes, code: str, says: str, few: Cohort, tmp_path: Path
) -> None:
    (few.folder / "images" / few.images[2]).write_bytes(data)
    (problem,) = (p for p in audit(few).problems if p.code.startswith("images-"))
    message = rf"^1 of 6 images.*{re.escape(says)}"
    assert_problem(problem, code, message=message, where=f"^{few.folder}$", remedy="--list FILE")
    expected = "images-too-large" if code == "images-too-large" else "images-unreadable"
    for read in (
        lambda: list(read_batches(few, np.arange(6), 8, 8, 4)),
        lambda: build_cache(few, tmp_path / "cache"),
    ):
        with pytest.raises(BenchError) as caught:
            read()
        assert [p.code for p in caught.value.problems] == [expected]
        assert caught.value.exit_code == EXIT_ENVIRONMENT
        assert few.images[2] not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        jpeg(),
        jpeg(progressive=True),
        jpeg(optimize=True),
        jpeg() + bytes(500),
        jpeg() + b"trailer of a camera",
        jpeg(restart_marker_rows=1),
        jpeg(exif=b"Exif\0\0" + jpeg(quality=5)),
    ],
    ids=["plain", "progressive", "optimised", "zeros behind", "text behind", "restart markers", "thumbnail"],
)
def test_whole_jpegs_are_read(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(data)
    assert read_grey(tmp_path / "x.jpg", 64, 64).std() > 20


def test_a_thumbnail_does_not_end_a_jpeg(tmp_path: Path) -> None:
    data = jpeg(exif=b"Exif\0\0" + jpeg(quality=5))
    (tmp_path / "x.jpg").write_bytes(data[:-500] + bytes(500))
    with pytest.raises(ImageCutShortError):
        read_grey(tmp_path / "x.jpg", 64, 64)


def test_the_largest_image_is_that_of_pillow() -> None:
    assert MOST_PIXELS == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_photometric_interpretation_is_respected(dtype: type, tmp_path: Path) -> None:
    ramp: np.ndarray[Any, Any] = np.tile(np.arange(0, 256, 16), (16, 1)).astype(dtype) * (
        1 if dtype == np.uint8 else 100
    )
    (tmp_path / "black.tif").write_bytes(tiff(ramp, photometric=1))
    (tmp_path / "white.tif").write_bytes(tiff(ramp.max() - ramp, photometric=0))
    black = read_grey(tmp_path / "black.tif", 16, 16)
    assert (np.diff(black[0].astype(int)) > 0).all()
    if dtype == np.uint8:  # Pillow inverts about 255
        black = black + (255 - ramp.max())
    assert np.array_equal(read_grey(tmp_path / "white.tif", 16, 16), black)


@pytest.mark.parametrize(
    "data",
    [
        zero_tail(tiff(DEEP)),
        zero_tail(tiff(DEEP.astype(np.float32))),
        zero_tail(encoded(DEEP // 256, "BMP")),
        zero_tail(encoded(DEEP, "PPM")),
        tiff(np.vstack([DEEP, np.zeros_like(DEEP)])),
    ],
    ids=["TIFF of 16 bits", "float TIFF", "BMP", "PGM", "half black"],
)
def test_zeros_at_the_end_of_an_image_without_end_marker_are_warned_about(data: bytes, few: Cohort) -> None:
    (few.folder / "images" / few.images[2]).write_bytes(data)
    assert_problem(
        only(audit(few).problems, "images-zero-tail"),
        "images-zero-tail",
        message="^1 of 6 image files end in zeros",
        where=f"^{few.folder}$",
        remedy="--list FILE.*Nothing to do if",
        severity="warning",
    )


@pytest.mark.parametrize(
    "data",
    [tiff(DEEP), encoded(DEEP, "PPM"), png() + bytes(9000), jpeg() + bytes(9000)],
    ids=["TIFF", "PGM", "zeros behind a PNG", "zeros behind a JPEG"],
)
def test_other_images_have_no_zero_tail(data: bytes, few: Cohort) -> None:
    (few.folder / "images" / few.images[2]).write_bytes(data)
    assert [p.code for p in audit(few).problems if p.code.startswith("images-")] == []


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Run `git lfs pull`"),
        (bytes(128) + b"DICM" + bytes(9), "Convert the DICOM files to PNG"),
        (b"<html>", "Download them again, logged in"),
        (b"PK\x03\x04" + bytes(9), "Unpack the archives"),
    ],
)
def test_files_of_another_kind_have_a_remedy_of_their_own(data: bytes, remedy: str, few: Cohort) -> None:
    for image in few.images[:2]:
        (few.folder / "images" / image).write_bytes(data)
    (few.folder / "images" / few.images[2]).write_bytes(jpeg()[:-2])
    problem = only(audit(few).problems, "images-damaged")
    assert re.match(r"3 of 6 images: 1 end before the image does, 2 are ", problem.message)
    assert remedy in problem.remedy
    assert "Copy them again" in problem.remedy


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(WITH_NAN))
    with pytest.raises(ImageNotFiniteError):
        read_grey(tmp_path / "x.tif", 16, 16)
