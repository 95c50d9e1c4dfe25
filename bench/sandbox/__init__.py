"""Sandboxed worker processes, and the reading of strangers' files in one of them."""
