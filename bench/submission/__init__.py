"""Submissions: what is handed in, how it is checked, packed without identifiers and stored."""
