"""The commands that the documents print, and those that no test runs as printed, each with the reason."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md")),
    ROOT / "baselines" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "site" / "content").glob("*.md")),
)

NOT_RUN: Final = {
    "--install-completion": "writes into the user's shell; tests/cli/test_commands.py completes a word",
    "baseline run random-convolutions": "trains on images for minutes; tests/cli/test_demo.py trains it",
    "baseline run cnn-small": "trains with torch; tests/baselines runs it",
    "baseline run linear-probe": "needs an encoder of the reader's; tests/baselines runs it",
    "time --all": "times for minutes, some of it on a GPU; tests/timing and tests/gpu run it",
    "time my-model": "needs a model of the reader's; tests/timing/test_entries.py times one",
    "time cnn-small": "needs a trained model; tests/timing/test_entries.py times one",
    "submit --embeddings": "needs embeddings of an encoder; tests/actions/test_embeddings.py submits some",
    "submit --model": "needs a model of the reader's; tests/trust/test_hostile_models.py submits some",
    "submit seed0.csv": "needs a file for each seed; tests/actions/test_runs.py submits some",
    "score --all --scheduler": "needs a cluster; tests/scoring/test_cluster.py starts one",
    "verify --scheduler": "needs a cluster; tests/scoring/test_cluster.py starts one",
    "site publish": "needs a remote repository; tests/cli/test_site_commands.py has one",
    "board --track cv5": "needs out-of-fold predictions; tests/cli/test_val_and_cv5.py has some",
    "explain f1_at_90_specificity": "needs the plug-in that the page shows; tests/plugins installs it",
    "submit --dry-run": "names an option; the whole command is run",
    "cohort check --cohort mimic-echo": "needs the files that are linked",
    "submit predictions.csv --cohort mimic-echo": "needs the files that are linked",
    "demo --site mimic": "draws and scores a second cohort for minutes",
    "cohort link mimic": "needs credentialed files; tests/cohort/test_link.py makes some",
    "init board --cohort hospital.toml": "needs a hospital's cohort; tests/federation/test_sites.py has some",
    "keygen": "writes a key beside the workspace; tests/federation/test_sites.py makes some",
    "board --sites": "needs aggregates of hospitals; tests/federation/test_sites.py makes some",
    "board --transfer": "needs an entry on two cohorts; tests/federation/test_sites.py has one",
    "score model-a": "needs an entry on two cohorts; tests/federation/test_sites.py has one",
    "init our-board": "needs a cohort of the reader's; tests/cli/test_workspaces.py has one",
}
"""Beginning of a command (without ``bench``) -> why the test of printed commands leaves it out.

Commands with a placeholder (DIR, FILE, SLUG, CODE) are left out too: it stands for something of the reader's.
"""


def printed(page: Path) -> Iterator[list[str]]:
    """The words of each command of `bench`, `make` or `python` that a page prints."""
    yield from in_blocks(page)
    yield from in_sentences(page)


def in_blocks(page: Path) -> Iterator[list[str]]:
    """Those in blocks, which a reader types."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL):
        for line in block.splitlines():
            yield from _words(line)


def in_sentences(page: Path) -> Iterator[list[str]]:
    """Those in sentences, which may name a command only."""
    sentences = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for line in re.findall(r"`([^`]+)`", sentences):
        yield from _words(re.sub(r"\s+", " ", line))


def _words(line: str) -> Iterator[list[str]]:
    line = line.removeprefix("$ ")
    words = shlex.split(line, comments=True) if line.startswith(("bench ", "make ", "python ")) else []
    if words:
        yield [word for word in words if word != "&"]


def why_not_run(words: list[str]) -> str:
    """Why a command of `bench` is not run as it is printed; empty where it is."""
    line = " ".join(words)
    if any(word.isupper() for word in words):
        return "it has a placeholder"
    return next((why for start, why in NOT_RUN.items() if f"{line} ".startswith(f"{start} ")), "")
