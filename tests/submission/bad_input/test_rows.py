"""Predictions of other images, of none, or that are no numbers between 0 and 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Cli
from tests.submission.bad_input.stage import HEAD, ID, Fault, N, Stage, Words, changed, refused, submit


def cell(content: Any, rows: int = 1) -> Callable[[Stage], Words]:
    """The correct file with other content in the headline target of its third row (and the next ones)."""

    def put(frame: pd.DataFrame) -> None:
        frame[HEAD] = frame[HEAD].astype(object)
        frame.loc[2 : 1 + rows, HEAD] = content

    return changed(put)


def other_split(stage: Stage) -> Words:
    stage.store("old", "f" * 64)
    return ["score", "old", "--replicates", "100"]


def labels(stage: Stage) -> Words:
    rows = stage.cohort.rows("test")
    for target in ("composite_slvh_dlv", "slvh", "dlv"):
        stage.good[target] = stage.cohort.targets[target][rows]
    return submit(stage.correct())


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
        remedy="Remove the folders",
    ),
    Fault(
        "ids without ending",
        changed(lambda f: f.assign(**{ID: f[ID].str.removesuffix(".jpg")})),
        "predictions-unknown-id",
        f"^{N} of {N} ids",
        remedy=r"Add the file ending \.jpg",
    ),
    Fault("empty id", changed(lambda f: f.loc.__setitem__((0, ID), "")), "predictions-unknown-id", "^1 of"),
    Fault(
        "ids of patients",
        changed(lambda f: f.assign(**{ID: f[ID].str[:32]})),
        "predictions-unknown-id",
        f"^{N} of {N} ids",
        remedy="ids of patients",
    ),
    # cells
    Fault("NaN", cell(float("nan")), "predictions-nan", rf"^1 of {N} values .* line 4"),
    Fault("the word NaN", cell("NaN"), "predictions-nan", rf"^1 of {N} values .* line 4"),
    Fault("None", cell("None", 3), "predictions-nan", rf"^3 of {N} values .* line 4, 5, 6"),
    Fault("inf", cell("inf"), "predictions-infinite", rf"^1 of {N} values .* line 4"),
    Fault("-inf", cell("-inf", 2), "predictions-infinite", rf"^2 of {N} values .* line 4, 5"),
    Fault("overflow", cell("1e999"), "predictions-infinite", rf"^1 of {N} values"),
    Fault(
        "text",
        cell("high"),
        "predictions-not-a-number",
        rf"^1 of {N} values .* line 4",
        remedy="positive class",
    ),
    Fault("per cent", cell("45%", 2), "predictions-not-a-number", rf"^2 of {N} values .* line 4, 5"),
    Fault(
        "decimal comma in quotes",
        cell("0,45", 4),
        "predictions-not-a-number",
        rf"^4 of {N} values",
        remedy="decimal point",
    ),
    Fault(
        "truth values",
        changed(lambda f: f.assign(slvh=f.slvh > 0.5)),
        "predictions-not-a-number",
        f"^{N} of",
        remedy="the probability of the positive class",
    ),
    Fault(
        "dates",
        changed(lambda f: f.assign(slvh="2026-01-01")),
        "predictions-not-a-number",
        f"^{N} of {N}",
        remedy="floating-point",
    ),
    Fault(
        "out of range",
        cell(2.81, 2),
        "predictions-out-of-range",
        rf"^2 of {N} values lie outside \[0, 1\], from 2\.81 to 2\.81; first at line 4, 5",
    ),
    Fault("below range", cell(-1e-9), "predictions-out-of-range", r"^1 of", remedy=r"numpy\.clip"),
    Fault(
        "logits",
        changed(lambda f: f.assign(dlv=np.linspace(-4, 4, N))),
        "predictions-out-of-range",
        "from -4 to 4",
    ),
    # what is predicted
    Fault("labels", labels, "predictions-are-labels", rf"^All {N} values equal the labels"),
    Fault("other split", other_split, "stored-split", "split ffffffffffff; here it is chexchonet"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_refused(fault: Fault, stage: Stage, cli: Cli) -> None:
    refused(fault, stage, cli)
