"""Baselines: each trains on a cohort and ends in an ordinary submission."""
