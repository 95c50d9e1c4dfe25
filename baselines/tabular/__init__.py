"""Tabular baselines: scikit-learn models of table columns and of measurements on the image."""
