"""Demo: a synthetic cohort, baselines that need no torch, their scores, timings and pages, step by step."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from baselines.registry import built_in
from baselines.run import missing_packages
from bench.actions.context import DEMO, open_cohort
from bench.actions.score import score
from bench.actions.site import build_site
from bench.actions.submit import SubmitResult
from bench.actions.time import time_entries
from bench.actions.train import TrainOptions, train_baselines
from bench.choices import Recalibration
from bench.cohort.audit import audit, store_checked_images
from bench.cohort.link.mimic import link_mimic
from bench.cohort.summary import split_lock, write_lock
from bench.cohort.synthetic.mimic import write_mimic
from bench.cohort.synthetic.write import write_demo
from bench.environment import usable_cores
from bench.errors import Problem, raise_errors
from bench.progress import StageProgress, of_stage
from bench.workspace import Workspace

SECOND_SITE: Final = "demo-mimic"
RECALIBRATED: Final = {"random-convolutions-echo": Recalibration.ISOTONIC}
"""Baselines of the demo of which a recalibrated entry is stored too."""


@dataclass(frozen=True, slots=True)
class DemoStep:
    """One step of the demo.

    Attributes:
        words: The command that does the same, without ``bench``.
        run: Does it; called with a progress callback, returns a summary of one line.
    """

    words: tuple[str, ...]
    run: Callable[[StageProgress | None], str]

    @property
    def command(self) -> str:
        """The command as a user types it."""
        return f"bench {shlex.join(self.words)}"


@dataclass(frozen=True, slots=True)
class Demo:
    """Plan of the demo.

    Attributes:
        space: The workspace of its cohort and entries; its cohort is `DEMO`, or `SECOND_SITE`, which is
            linked from synthetic files in MIMIC's layout.
        patients: Number of synthetic patients.
        torch: Whether baselines that need torch are trained, where it is installed.
        warned: Called with problems of entries.
    """

    space: Workspace
    patients: int
    torch: bool
    warned: Callable[[tuple[Problem, ...]], None]

    def baselines(self) -> list[str]:
        """Names of the baselines that it runs."""
        chosen = [b for b in built_in().values() if b.quick and not missing_packages(b)]
        return [b.name for b in chosen if self.torch or "torch" not in b.needs_packages]

    def steps(self, pages: Path) -> Iterator[DemoStep]:
        """The steps in order; each reads what those before it stored.

        Args:
            pages: Folder of the pages.
        """
        if self.cohort == SECOND_SITE:
            yield from self._second_site()
        else:
            data = str(self.space.data(DEMO))
            yield DemoStep(("cohort", "demo", "--out", data, "--patients", str(self.patients)), self._draw)
        yield DemoStep(("cohort", "check"), self._check)
        yield DemoStep(("cohort", "split", "--lock"), self._lock)
        plain = [name for name in self.baselines() if name not in RECALIBRATED]
        for name in plain:
            yield self._train(name, None)
        for name, method in RECALIBRATED.items():
            if name in self.baselines():
                yield self._train(name, method)
        yield DemoStep(("score", "--all"), self._score)
        yield DemoStep(("time", "--all", "--quick"), self._time)
        yield DemoStep(
            ("site", "build", "--out", str(pages)),
            lambda _: f"{build_site(pages, workspace=self.space).pages} pages",
        )

    @property
    def cohort(self) -> str:
        """The cohort whose board it makes."""
        return self.space.cohort

    def _second_site(self) -> Iterator[DemoStep]:
        """The steps that write the releases of a synthetic second site and link them."""
        out = self.space.data(SECOND_SITE)
        releases = out.with_name(f"{out.name}-releases")
        folders = {name: releases / name for name in ("cxr", "echo", "iv")}

        def make(progress: StageProgress | None) -> str:
            written = write_mimic(
                releases,
                patients=self.patients,
                images=True,
                jobs=usable_cores(),
                progress=of_stage(progress, "drawing images"),
            )
            return f"{self.patients:,} invented patients, {len(written.images):,} images in three releases"

        def link(progress: StageProgress | None) -> str:
            done = link_mimic(
                folders["cxr"],
                folders["echo"],
                folders["iv"],
                out,
                progress=of_stage(progress, "reading measurements"),
            )
            first, *_, last = done.report.flow
            return f"{last.images:,} of {first.images:,} images linked"

        words = ("cohort", "demo", "--site", "mimic", "--out", str(releases))
        yield DemoStep((*words, "--patients", str(self.patients)), make)
        options = [word for name, folder in folders.items() for word in (f"--{name}", str(folder))]
        yield DemoStep(("cohort", "link", "mimic", *options, "--out", str(out)), link)

    def _draw(self, progress: StageProgress | None) -> str:
        done = write_demo(
            self.space.data(DEMO),
            patients=self.patients,
            jobs=usable_cores(),
            progress=of_stage(progress, "drawing images"),
        )
        kept = f", {done.kept:,} kept" if done.kept else ""
        return f"{done.patients:,} invented patients, {done.drawn:,} images drawn{kept}"

    def _check(self, progress: StageProgress | None) -> str:
        opened = open_cohort(self.cohort, workspace=self.space)
        report = audit(opened, jobs=usable_cores(), progress=of_stage(progress, "reading images"))
        store_checked_images(opened, report, self.space.cache)
        raise_errors(report.problems)
        return f"{len(opened):,} images, table and checksums are in order"

    def _lock(self, _: StageProgress | None) -> str:
        opened = open_cohort(self.cohort, workspace=self.space)
        summary = split_lock(opened)
        write_lock(summary, self.space.split_lock(opened.spec.id))
        return ", ".join(f"{part.part} {part.patients:,}" for part in summary.parts) + " patients"

    def _train(self, name: str, method: Recalibration | None) -> DemoStep:
        methods = (method,) if method else ()
        quick = "torch" in built_in()[name].needs_packages

        def submitted(entry: SubmitResult) -> None:
            self.warned(tuple(problem for problem in entry.notices if problem.severity != "notice"))

        def run(progress: StageProgress | None) -> str:
            options = TrainOptions(recalibrate=methods, quick=quick, replace=True)
            done = train_baselines(
                [name],
                options,
                cohort=open_cohort(self.cohort, workspace=self.space),
                workspace=self.space,
                progress=progress,
                submitted=submitted,
            )
            return f"stored {', '.join(done.slugs)}"

        words = ["baseline", "run", name]
        words += ["--recalibrate", method] if method else []
        words += ["--quick"] if quick else []
        return DemoStep((*words, "--replace"), run)

    def _score(self, progress: StageProgress | None) -> str:
        cohort = open_cohort(self.cohort, workspace=self.space)
        done = score(cohort=cohort, workspace=self.space, progress=of_stage(progress, "scoring"))
        return f"{len(done.board.scorecards)} entries on the board"

    def _time(self, progress: StageProgress | None) -> str:
        cohort = open_cohort(self.cohort, workspace=self.space)
        done = time_entries(quick=True, cohort=cohort, workspace=self.space, progress=progress)
        raise_errors(done.problems)
        return f"{len(done.timed)} models timed"
