"""The public names of `bench`; `lazy_loader` reads this file and imports each name on first use."""

from .metrics.calibration import brier, calibration_error
from .metrics.discrimination import (
    auroc,
    average_precision,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from .metrics.recalibration_line import calibration_line
from .uncertainty.bootstrap import PatientBootstrap
from .uncertainty.compare import Comparison, compare
from .uncertainty.continuous import ContinuousEvaluation, evaluate_continuous
from .uncertainty.evaluate import Evaluation, evaluate
from .uncertainty.family import EntryComparisons, compare_entries
from .uncertainty.intervals import Estimate
from .uncertainty.resolution import Resolution, split_resolution

__all__ = [
    "Comparison",
    "ContinuousEvaluation",
    "EntryComparisons",
    "Estimate",
    "Evaluation",
    "PatientBootstrap",
    "Resolution",
    "__version__",
    "auroc",
    "average_precision",
    "brier",
    "calibration_error",
    "calibration_line",
    "compare",
    "compare_entries",
    "evaluate",
    "evaluate_continuous",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "split_resolution",
]

__version__: str
