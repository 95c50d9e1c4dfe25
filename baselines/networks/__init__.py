"""Baselines that train a network by a recipe."""
