"""Cohorts: what they are (spec), what they hold (table), who is in which split, and what is wrong with them."""
