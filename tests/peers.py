"""Other packages that give an interval for an AUROC, called as their manuals say; absent ones say so."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

R = """
suppressMessages(library(pROC))
d <- read.csv(commandArgs(TRUE)[1])
r <- roc(d$y, d$p, levels = c(0, 1), direction = "<", quiet = TRUE)
b <- as.integer(commandArgs(TRUE)[2])
s <- system.time(
  ci.auc(r, method = "bootstrap", boot.n = b, boot.stratified = FALSE, progress = "none")
)
cat(sprintf("%.17g %.17g %.17g\\n", as.numeric(auc(r)), sqrt(var(r)), sum(s[1:2])))
if (ncol(d) > 2) {
  other <- roc(d$y, d$q, levels = c(0, 1), direction = "<", quiet = TRUE)
  t <- roc.test(r, other, method = "delong")
  cat(sprintf("%.17g %.17g\\n", unname(t$statistic), t$p.value))
}
"""


@dataclass(frozen=True)
class Answer:
    """Answer of a package: the AUROC, and CPU seconds for the requested replicates."""

    auroc: float
    seconds: float


def timed(work: Callable[[], float]) -> Answer:
    """Run a piece of work that gives the AUROC."""
    start = time.process_time()
    value = work()
    return Answer(value, time.process_time() - start)


def with_scipy(y: np.ndarray, p: np.ndarray, replicates: int) -> Answer:
    from scipy.stats import bootstrap

    def work() -> float:
        bootstrap(
            (y, p), roc_auc_score, paired=True, vectorized=False, method="percentile", n_resamples=replicates
        )
        return float(roc_auc_score(y, p))

    return timed(work)


def with_confidenceinterval(y: np.ndarray, p: np.ndarray, replicates: int) -> Answer:
    from confidenceinterval import roc_auc_score as interval

    return timed(lambda: float(interval(y, p, method="bootstrap_percentile", n_resamples=replicates)[0]))


def with_torchmetrics(y: np.ndarray, p: np.ndarray, replicates: int) -> Answer:
    import torch
    from torchmetrics import BootStrapper
    from torchmetrics.classification import BinaryAUROC

    torch.set_num_threads(1)
    plain = BinaryAUROC(validate_args=False)
    plain.update(torch.from_numpy(p), torch.from_numpy(y))

    def work() -> float:
        metric = BootStrapper(BinaryAUROC(validate_args=False), num_bootstraps=replicates)
        metric.update(torch.from_numpy(p), torch.from_numpy(y))
        metric.compute()
        return float(plain.compute())

    return timed(work)


def has_proc() -> bool:
    """Whether R and its package pROC are there."""
    if shutil.which("Rscript") is None:
        return False
    asked = ["Rscript", "-e", 'quit(status = !requireNamespace("pROC", quietly = TRUE))']
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def ask_proc(folder: Path, replicates: int, **columns: np.ndarray) -> list[list[float]]:
    """The numbers that the R script prints for columns y, p and perhaps q, line by line."""
    names = list(columns)
    table = np.column_stack(list(columns.values()))
    np.savetxt(folder / "d.csv", table, "%.17g", ",", header=",".join(names), comments="")
    (folder / "peer.R").write_text(R)
    words = ["Rscript", str(folder / "peer.R"), str(folder / "d.csv"), str(replicates)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return [[float(word) for word in line.split()] for line in said.splitlines()]


def with_proc(y: np.ndarray, p: np.ndarray, replicates: int) -> Answer:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (value, _, seconds), *_ = ask_proc(Path(folder), replicates, y=y, p=p)
    return Answer(value, seconds)


@dataclass(frozen=True)
class Peer:
    """A package, whether it is there, how it is called, and whether it can resample patients."""

    name: str
    there: Callable[[], bool]
    ask: Callable[[np.ndarray, np.ndarray, int], Answer]
    clusters: str


PEERS = (
    Peer("scipy.stats.bootstrap", lambda: True, with_scipy, "by hand"),
    Peer(
        "confidenceinterval",
        lambda: find_spec("confidenceinterval") is not None,
        with_confidenceinterval,
        "no",
    ),
    Peer("torchmetrics BootStrapper", lambda: find_spec("torchmetrics") is not None, with_torchmetrics, "no"),
    Peer("pROC (R)", has_proc, with_proc, "no"),
)
