"""Worker processes of the measurement; each module is started with `python -m`."""
