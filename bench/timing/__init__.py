"""Timing: how fast an entry is, with the evidence."""
