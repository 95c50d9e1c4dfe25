"""Baselines: each ends in an ordinary submission, made by the same code as anyone's."""
