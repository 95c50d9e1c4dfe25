"""Checks of a built site: links, HTML, budgets, and that the pages say what the JSON says."""

from bench.publish.checks.site import check_site

__all__ = ["check_site"]
