"""Names that other commands do not know, and wrong usage."""

from __future__ import annotations

import pytest

from bench.workspace import Workspace
from tests.conftest import Cli
from tests.submission.bad_input.stage import Fault, Stage, files, refused

FAULTS = [
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


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_refused(fault: Fault, stage: Stage, cli: Cli) -> None:
    refused(fault, stage, cli)


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
