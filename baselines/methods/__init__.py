"""Baselines, one module each; baselines/README.md explains how to add one."""
