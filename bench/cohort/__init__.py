"""Cohorts: what they are, what they hold, who is in which split, and what is wrong with them."""
