"""Submissions: reading, checking, packing without identifiers, storing."""
