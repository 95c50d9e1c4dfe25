"""Compiled kernels: the loops over images and replicates that numpy cannot express."""
