"""CheXchoBench: a benchmark and leaderboard harness for echocardiographic labels from chest X-rays.

The array API needs no cohort and no workspace: three arrays `(y, p, patient_id)` are enough. Names are loaded
when first used, so that importing the package stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.metrics.calibration import brier, calibration_error
    from bench.metrics.discrimination import (
        auroc,
        average_precision,
        sensitivity_at_specificity,
        specificity_at_sensitivity,
    )
    from bench.metrics.line import calibration_line
    from bench.uncertainty.bootstrap import PatientBootstrap
    from bench.uncertainty.compare import Comparison, compare
    from bench.uncertainty.continuous import ContinuousEvaluation, evaluate_continuous
    from bench.uncertainty.evaluate import Evaluation, evaluate
    from bench.uncertainty.intervals import Estimate
    from bench.uncertainty.ranks import BoardStatements, RankSet, board_statements, rank_sets
    from bench.uncertainty.resolution import Resolution, split_resolution

__version__ = "0.1.0"

_HOME = {
    "BoardStatements": "bench.uncertainty.ranks",
    "Comparison": "bench.uncertainty.compare",
    "ContinuousEvaluation": "bench.uncertainty.continuous",
    "Estimate": "bench.uncertainty.intervals",
    "Evaluation": "bench.uncertainty.evaluate",
    "PatientBootstrap": "bench.uncertainty.bootstrap",
    "RankSet": "bench.uncertainty.ranks",
    "Resolution": "bench.uncertainty.resolution",
    "auroc": "bench.metrics.discrimination",
    "average_precision": "bench.metrics.discrimination",
    "board_statements": "bench.uncertainty.ranks",
    "brier": "bench.metrics.calibration",
    "calibration_error": "bench.metrics.calibration",
    "calibration_line": "bench.metrics.line",
    "compare": "bench.uncertainty.compare",
    "evaluate": "bench.uncertainty.evaluate",
    "evaluate_continuous": "bench.uncertainty.continuous",
    "rank_sets": "bench.uncertainty.ranks",
    "sensitivity_at_specificity": "bench.metrics.discrimination",
    "specificity_at_sensitivity": "bench.metrics.discrimination",
    "split_resolution": "bench.uncertainty.resolution",
}

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


def __getattr__(name: str) -> Any:
    """Loads a public name from its module when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
