"""The cohort of the scoring tests."""

from tests.scoring.conftest import cohort, predictions, private

__all__ = ["cohort", "predictions", "private"]
