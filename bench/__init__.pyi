"""The public names of `bench`; `bench/__init__.py` reads this file and imports each name on first use."""

from . import plot as plot
from .actions.board import read_board
from .actions.cohort import Fold, LoadedCohort, load_cohort
from .actions.compare import CompareResult, compare_entries
from .actions.score import ScoreResult, score
from .actions.site import SiteResult, build_site
from .actions.submit import SubmitResult, submit
from .actions.time import TimeResult, time_entries
from .actions.train import TrainOptions, TrainResult, train_baseline, train_baselines
from .actions.verify import VerifyResult, verify
from .cohort.synthetic.write import write_demo
from .errors import BenchError, Problem
from .metrics.calibration import brier, calibration_error
from .metrics.discrimination import (
    auroc,
    average_precision,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from .metrics.recalibration_line import calibration_line
from .metrics.results import Estimate
from .uncertainty.bootstrap import PatientBootstrap
from .uncertainty.compare import Comparison, compare
from .uncertainty.continuous import ContinuousEvaluation, evaluate_continuous
from .uncertainty.evaluate import Evaluation, evaluate
from .uncertainty.family import EntryComparisons, compare_all_pairs
from .uncertainty.resolution import Resolution, split_resolution
from .workspace import create_workspace

__all__ = [
    "BenchError",
    "CompareResult",
    "Comparison",
    "ContinuousEvaluation",
    "EntryComparisons",
    "Estimate",
    "Evaluation",
    "Fold",
    "LoadedCohort",
    "PatientBootstrap",
    "Problem",
    "Resolution",
    "ScoreResult",
    "SiteResult",
    "SubmitResult",
    "TimeResult",
    "TrainOptions",
    "TrainResult",
    "VerifyResult",
    "__version__",
    "auroc",
    "average_precision",
    "brier",
    "build_site",
    "calibration_error",
    "calibration_line",
    "compare",
    "compare_all_pairs",
    "compare_entries",
    "create_workspace",
    "evaluate",
    "evaluate_continuous",
    "load_cohort",
    "plot",
    "read_board",
    "score",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "split_resolution",
    "submit",
    "time_entries",
    "train_baseline",
    "train_baselines",
    "verify",
    "write_demo",
]

__version__: str
