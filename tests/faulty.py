"""The assertion that every faulty input of the tests goes through: code, count, place and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from bench.errors import BenchError, Problem, catalogue

WITHOUT_COUNT: Final = frozenset(
    {
        *("backend-unavailable", "backend-unknown", "baseline-unknown", "board-empty"),
        *("cohort-column-case", "cohort-missing", "cohort-spec", "cohort-table"),
        *("cohort-table-missing", "cohort-unknown", "command-usage", "compare-identical"),
        *("compare-impossible", "compiled-uncached", "embeddings-type", "embeddings-unreadable"),
        *("entry-incomplete", "entry-unknown", "manifest-absent", "manifest-inputs"),
        *("manifest-invalid", "memory-limit", "model-format", "model-manifest", "model-missing"),
        *("model-output", "model-unreadable", "not-sealed", "predictions-delimiter"),
        *("predictions-format", "predictions-header", "predictions-inverted"),
        *("predictions-unreadable", "schema-unknown", "shared-memory", "sign-key-invalid"),
        *("key-in-checkout", "key-in-workspace", "retraction-invalid", "site-keys", "statement-invalid"),
        *("site-base", "slug-invalid", "slug-taken", "split-changed", "stored-split"),
        *("subgroup-empty", "sums-missing", "target-one-class", "test-labels-private"),
        *("unknown-code", "workspace-config", "workspace-exists", "workspace-missing"),
    }
)
"""Codes of problems of which there is one, such as a file of another kind; all others name a number."""


def assert_problem(
    problem: Problem | Mapping[str, str],
    code: str,
    *,
    message: str,
    where: str | None,
    remedy: str,
    severity: str = "error",
) -> None:
    """Assert what a problem says.

    Args:
        problem: A problem, or one of the JSON object of a command.
        code: Its code.
        message: Regular expression of what is wrong; with a number, unless the code is in `WITHOUT_COUNT`.
        where: Regular expression of the place; None if there is none to name.
        remedy: Regular expression of what to do.
        severity: Its severity.
    """
    facts = problem.as_dict() if isinstance(problem, Problem) else problem
    assert (facts["code"], facts["severity"]) == (code, severity), facts
    assert code in catalogue()
    found = re.search(message, facts["message"])
    assert found, facts["message"]
    assert found[0]
    assert code in WITHOUT_COUNT or re.search(r"\d", found[0]), f"no count in {found[0]!r}"
    if where is None:
        assert facts["where"] == ""
    else:
        assert facts["where"]
        assert re.search(where, facts["where"]), facts["where"]
    assert facts["remedy"]
    assert re.search(remedy, facts["remedy"]), facts["remedy"]


def only(problems: Iterable[Problem] | BenchError, code: str) -> Problem:
    """Return the one problem of a code."""
    listed = list(problems.problems if isinstance(problems, BenchError) else problems)
    found = [problem for problem in listed if problem.code == code]
    assert len(found) == 1, [(problem.code, problem.message) for problem in listed]
    return found[0]
