"""Plug-in packages that tests install for a moment."""
