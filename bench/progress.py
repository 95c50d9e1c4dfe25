"""Progress callbacks of long work; the command line draws a bar or prints lines."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Callback of work that has one stage."""

    def __call__(self, done: int, total: int, /) -> None:
        """Report that `done` of `total` steps are finished."""


class StageProgress(Protocol):
    """Callback of work in several stages."""

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """Report that `done` of `total` steps of `stage` are finished.

        What follows a semicolon in `stage` is news of the same stage.
        """


def silent(stage: str, done: int, total: int, /) -> None:
    """Ignore the progress."""


def of_stage(progress: StageProgress | None, stage: str) -> Progress | None:
    """Report the steps of one stage to a callback of several."""
    if progress is None:
        return None
    return lambda done, total: progress(stage, done, total)
