"""Baselines of table columns: scikit-learn on numbers, and heart and chest measured on the image."""
