"""`bench baseline`: list and run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.choices import Recalibration, Track
from bench.cli.app import App
from bench.cli.options import (
    CohortOption,
    DataOption,
    JobsOption,
    JsonOption,
    SeedOption,
    open_cohort,
    workspace,
)
from bench.cli.output import reporting, stages, table

if TYPE_CHECKING:
    from bench.actions.submit import SubmitResult

app = App(help="Train the baselines and submit what they predict.", no_args_is_help=True)


@app.command(name="list", libraries="tables")
def list_baselines(as_json: JsonOption = False) -> None:
    """List the baselines.

    Example: bench baseline list
    """
    from baselines.registry import baselines

    with reporting(as_json) as report:
        available = baselines().values()
        report.result(baselines=[{"name": b.name, "summary": b.summary} for b in available])
        report.show(table(["name", "summary"], [[b.name, b.summary] for b in available]))


@app.command()
def run(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Baselines.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every baseline that this cohort allows.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="The quick form, for a trial.")] = False,
    track: Annotated[
        Track,
        typer.Option("--track", help="cv5 trains five models and predicts every image out of fold."),
    ] = Track.HOLDOUT,
    recalibrate: Annotated[
        list[Recalibration] | None,
        typer.Option("--recalibrate", help="Store an entry recalibrated on val besides; may be repeated."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", metavar="FILE", help="A network's recipe in place of its own.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A key of the recipe; may be repeated."),
    ] = None,
    encoder: Annotated[
        Path | None, typer.Option("--encoder", metavar="FILE", help="What describes linear-probe's encoder.")
    ] = None,
    cache: Annotated[bool, typer.Option(help="Decode the images once, into the workspace's cache.")] = True,
    replace_stored: Annotated[
        bool, typer.Option("--replace", help="Replace stored entries of the same slug.")
    ] = False,
    seed: SeedOption = 0,
    jobs: JobsOption = None,
    cohort: CohortOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train baselines, predict the test images, and submit the result as anyone would.

    A baseline never sees a test label: it is handed unlabelled rows. A cohort whose check fails is refused.

    Example: bench baseline run prevalence demographics --quick
    """
    if bool(names) == everything:
        raise typer.BadParameter("name baselines, or say --all", param_hint="NAME")
    from bench.actions.train import TrainOptions, train_baselines

    with reporting(as_json) as report:
        chosen_settings = _settings(settings or [])
        _refuse_unused(names, recipe is not None or bool(chosen_settings), encoder is not None)
        options = TrainOptions(
            seed=seed,
            quick=quick,
            track=track,
            recalibrate=tuple(method for method in Recalibration if method in (recalibrate or ())),
            recipe=recipe,
            settings=chosen_settings,
            encoder=encoder,
            cache=cache,
            replace=replace_stored,
            jobs=jobs,
        )
        space, opened = workspace(), open_cohort(cohort, data)

        def submitted(entry: SubmitResult) -> None:
            report.show_problems(entry.notices)
            if entry.folder:
                report.show(f"Stored {entry.slug} in {_relative(entry.folder, space.root)}")

        with stages() as stage:
            done = train_baselines(names or None, options, cohort=opened, progress=stage, submitted=submitted)
        for name, problem in done.skipped.items():
            report.say(f"{name} is left out: {problem.message}")
        report.result(cohort=opened.spec.id, synthetic=opened.synthetic, submitted=list(done.slugs))
        if done.slugs:
            report.say(f"Next: bench score {' '.join(done.slugs)}")


def _settings(words: list[str]) -> dict[str, Any]:
    """The values of ``--set``, read as TOML where they are, and as text otherwise."""
    import tomllib

    settings: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{word!r} is not KEY=VALUE", param_hint="--set")
        try:
            settings[key] = tomllib.loads(f"value = {value}")["value"]
        except ValueError:
            settings[key] = value
    return settings


def _refuse_unused(names: list[str] | None, has_recipe: bool, has_encoder: bool) -> None:
    """Refuse options that none of the chosen baselines reads."""
    from baselines.registry import baselines, find_baseline

    chosen = [find_baseline(name) for name in names or baselines()]
    if has_recipe and [b.has_recipe for b in chosen] != [True]:
        raise typer.BadParameter("name one baseline that has a recipe", param_hint="--recipe, --set")
    if has_encoder and not any(b.needs_encoder for b in chosen):
        raise typer.BadParameter("none of these baselines reads an encoder", param_hint="--encoder")


def _relative(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
