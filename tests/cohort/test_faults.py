"""Faulty tables of the kinds that users of other tools reported: each with code, count, place and remedy."""

from __future__ import annotations

import re
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bench.cohort.audit_table import audit_split
from bench.cohort.load import load_cohort
from bench.errors import BenchError
from tests.cohort.small_cohort import (
    ALL_TEST,
    ROWS,
    SPEC,
    Edit,
    cells,
    check,
    columns,
    csv,
    every_second,
    good,
    labels,
    patients,
    spec,
    target,
    word,
    write,
)
from tests.faulty import assert_problem, only


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
    problems = check(tmp_path, fault.edit(good()), fault.changes)
    problem = only(problems, fault.code)
    assert_problem(
        problem,
        fault.code,
        message=re.escape(fault.message),
        where=re.escape(fault.where),
        remedy=re.escape(fault.remedy),
        severity=fault.severity,
    )
    errors = [p.code for p in problems if p.severity == "error" and p is not problem]
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
    problems = audit_split(load_cohort(spec(fault.changes), tmp_path))
    assert [(p.code, p.severity) for p in problems] == [(fault.code, fault.severity)]


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
