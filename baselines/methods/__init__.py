"""The baselines, one module each; see baselines/README.md for how to add one."""
