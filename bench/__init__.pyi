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
from .uncertainty.intervals import Estimate
from .uncertainty.ranks import BoardStatements, RankSet, board_statements, rank_sets
from .uncertainty.resolution import Resolution, split_resolution

__all__ = [
    "BoardStatements",
    "Comparison",
    "ContinuousEvaluation",
    "Estimate",
    "Evaluation",
    "PatientBootstrap",
    "RankSet",
    "Resolution",
    "__version__",
    "auroc",
    "average_precision",
    "board_statements",
    "brier",
    "calibration_error",
    "calibration_line",
    "compare",
    "evaluate",
    "evaluate_continuous",
    "rank_sets",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "split_resolution",
]

__version__: str
