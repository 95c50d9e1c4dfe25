"""Baselines: each trains on a cohort and ends in an ordinary submission, made by the same code as anyone's."""
