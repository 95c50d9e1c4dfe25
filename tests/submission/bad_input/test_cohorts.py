"""Cohort folders that are missing, damaged or of another cohort."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from tests.conftest import Cli
from tests.submission.bad_input.stage import Fault, N, Stage, Words, refused, submit
from tests.tiny import cohort_table


def folder_with(change: Callable[[pd.DataFrame], str]) -> Callable[[Stage], Words]:
    """Correct predictions, with a cohort folder whose table is another text."""

    def make(stage: Stage) -> Words:
        data = stage.folder / "data"
        data.mkdir()
        (data / "metadata.csv").write_text(change(cohort_table()))
        return submit(stage.correct(), "--data", data)

    return make


def half_copied(table: pd.DataFrame) -> str:
    whole = table.to_csv(index=False)
    end = whole.index("\n", len(whole) // 2)
    return whole[: end + 60]  # within the patient and image of the next row


FAULTS = [
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
    Fault(
        "half a table",
        folder_with(half_copied),
        "cohort-table",
        r"^1 of \d+ rows are .* shorter",
        remedy="double quotes",
    ),
    Fault("empty table", folder_with(lambda t: ""), "cohort-table", "It is empty."),
    Fault(
        "table without rows",
        folder_with(lambda t: t.head(0).to_csv(index=False)),
        "cohort-table",
        "no rows",
        remedy="Export the table again",
    ),
    Fault(
        "repeated images",
        folder_with(lambda t: pd.concat([t, t.head(5)]).to_csv(index=False)),
        "cohort-duplicate-id",
        "^5 rows",
    ),
    Fault(
        "another release",
        folder_with(lambda t: t.assign(cxr_filename="x" + t.cxr_filename).to_csv(index=False)),
        "predictions-unknown-id",
        rf"^{N} of {N} ids",
    ),
    Fault(
        "unknown cohort",
        lambda s: submit(s.file("x"), "--cohort", "padchest"),
        "cohort-unknown",
        "'padchest'",
    ),
    Fault(
        "bad spec",
        lambda s: submit(s.file("x"), "--cohort", s.file('schema = "cohort-spec/1"\n', "spec.toml")),
        "cohort-spec",
        "^id: This key is missing",
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_refused(fault: Fault, stage: Stage, cli: Cli) -> None:
    refused(fault, stage, cli)
