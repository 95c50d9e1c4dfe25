"""The board: all entries of a cohort compared at once."""
