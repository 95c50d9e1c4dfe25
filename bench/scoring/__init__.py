"""Scoring: a cohort and an entry's predictions give a scorecard."""
