"""Worker processes of the runtime; each module is started with `python -m`."""
