"""Synthetic cohort: random patients and drawn images in the layout of CheXchoNet."""
