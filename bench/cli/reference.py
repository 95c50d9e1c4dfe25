"""`bench explain`, `schema`, `doctor`, `init`, `key` and `sums`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.app import App
from bench.cli.options import JsonOption
from bench.cli.output import Report, reporting, table

if TYPE_CHECKING:
    from bench.actions.keys import SealResult
    from bench.cohort.spec import CohortSpec
    from bench.runtime.backends.base import Availability
    from bench.workspace import Workspace


SCHEMAS = {
    "cohort": ("bench.cohort.spec", "CohortSpec"),
    "manifest": ("bench.submission.manifest", "Manifest"),
    "scorecard": ("bench.scoring.scorecard", "Scorecard"),
    "board": ("bench.board.model", "Board"),
    "timing": ("bench.timing.record", "TimingRecord"),
    "seal": ("bench.submission.sealed", "Seal"),
    "split-lock": ("bench.cohort.summary", "SplitLock"),
    "recipe": ("baselines.networks.recipe", "Recipe"),
    "encoder": ("baselines.probe.encoder", "EncoderFile"),
    "site-aggregate": ("bench.federation.model", "SiteAggregate"),
}


def explain(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="A problem code or a metric.")] = None,
    everything: Annotated[bool, typer.Option("--list", help="List every code and metric.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Explain a problem code (what it means and what to do) or a metric (definition, direction, interval).

    Example: bench explain auroc
    """
    from dataclasses import asdict

    from bench.errors import catalogue, explanation
    from bench.metrics.registry import described

    if (code is None) != everything:
        raise typer.BadParameter("give a code, or --list", param_hint="CODE")
    with reporting(as_json) as report:
        if code is None:
            report.result(
                codes=[asdict(page) for page in catalogue().values()],
                metrics=[declared.facts() for declared in described().values()],
            )
            report.show(table(["code", "title"], [[page.code, page.title] for page in catalogue().values()]))
            names = [[key, declared.label] for key, declared in described().items()]
            report.show("\n" + table(["metric", "name"], names))
            return
        code = next((known for known in (*catalogue(), *described()) if known == code.lower()), code)
        if code not in catalogue() and (declared := described().get(code)):
            report.result(**declared.facts())
            report.show("\n".join(declared.explanation()))
            return
        page = explanation(code, () if code in catalogue() else described())
        report.result(**asdict(page))
        report.show(f"{page.code}: {page.title}\n\n{page.meaning}\n\nTo do: {page.remedy}")


def schema(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(SCHEMAS)}.")],
    as_json: JsonOption = False,
) -> None:
    """Print the JSON Schema of a file.

    Example: bench schema manifest
    """
    import json
    from importlib import import_module

    from bench.errors import BenchError, Problem, did_you_mean

    with reporting(as_json) as report:
        if name not in SCHEMAS:
            message = f"{name!r} is not one of {', '.join(SCHEMAS)}.{did_you_mean(name, SCHEMAS)}"
            raise BenchError(Problem("schema-unknown", message))
        module, model = SCHEMAS[name]
        json_schema = getattr(import_module(module), model).model_json_schema()
        report.result(name=name, json_schema=json_schema)
        report.show(json.dumps(json_schema, indent=1, ensure_ascii=False))


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the new workspace.")],
    cohort: Annotated[str, typer.Option("--cohort", metavar="ID|SPEC.toml", help="Default cohort.")] = "demo",
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            metavar="FILE",
            help="New file for the private key where labels are shared; default: DIR.agekey.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new empty workspace for a board, with the checks of pull requests.

    Example: bench init our-hospital --cohort our-cohort.toml
    """
    from bench.actions.keys import init as make_workspace

    with reporting(as_json) as report:
        new = make_workspace(folder, cohort, key_file)
        kept = str(new.key_file) if new.key_file else None
        report.result(
            root=str(new.space.root),
            cohort=new.space.cohort,
            labels=new.spec.labels,
            key_file=kept,
        )
        report.show(f"Made a workspace in {folder}.")
        if new.key_file:
            report.show(f"The private key of the board is in {new.key_file}.")
            report.say(KEY_ADVICE)
        report.say(_next(new.space, new.spec))


KEY_ADVICE = (
    "Keep a copy of the private key in a safe place: sealed predictions cannot be read without it. Commands "
    "read it from the file that BENCH_KEY_FILE names, or from BENCH_KEY."
)

keys = App(help="Keys that predictions are sealed with where labels are shared.", no_args_is_help=True)


@keys.command(name="new", libraries="none")
def key_new(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="New file, outside the workspace.")],
    as_json: JsonOption = False,
) -> None:
    """Make a new key pair, and seal the entries of all cohorts with shared labels for it.

    The old private key must be given, as BENCH_KEY_FILE says.

    Example: bench key new --out ~/board-2.agekey
    """
    from bench.actions.keys import new_board_key

    with reporting(as_json) as report:
        _show_sealed(report, new_board_key(out))
        report.say(KEY_ADVICE)


@keys.command(name="seal", libraries="none")
def key_seal(as_json: JsonOption = False) -> None:
    """Seal the entries of all cohorts with shared labels that are not sealed for the workspace's public key.

    Example: bench key seal
    """
    from bench.actions.keys import seal_entries

    with reporting(as_json) as report:
        _show_sealed(report, seal_entries())


def _show_sealed(report: Report, done: SealResult) -> None:
    report.result(key=done.key, sealed=list(done.sealed), unreadable=list(done.unreadable))
    report.show(f"Public key {done.key}: {len(done.sealed)} entries sealed.")
    if done.unreadable:
        report.show(f"No key was given that opens {', '.join(done.unreadable)}: these stay as they are.")


def _next(space: Workspace, spec: CohortSpec) -> str:
    """Tell what to do after `bench init`: provide the data, unless the cohort is synthetic."""
    data = space.data(spec.id)
    first = (
        "" if spec.synthetic else f"put the cohort's files into {data}, or name their folder in bench.toml; "
    )
    return f"Next: cd {shlex.quote(str(space.root))}; {first}bench cohort check"


def doctor(as_json: JsonOption = False) -> None:
    """Show what this machine has: versions, processor, GPU, timing backends, data; to paste in a report.

    Example: bench doctor
    """
    from bench.environment import environment
    from bench.errors import BenchError
    from bench.runtime.backends.registry import availabilities

    with reporting(as_json) as report:
        facts = environment()
        backends = availabilities()
        for key, value in facts.items():
            shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            report.show(f"{key}: {'none' if shown is None else shown}")
        report.show("")
        _show_driver(report)
        show_backends(report, backends)
        try:
            data = _data_found()
        except BenchError as error:
            data = []
            report.show_problems(error.problems)
        if data:
            report.show("\n" + table(["cohort", "data"], data))
        report.result(environment=facts, data=dict(data))


def _show_driver(report: Report) -> None:
    """The NVIDIA driver, its GPUs, and the CUDA versions of driver and packages side by side."""
    from bench.runtime.backends.gpu import read_driver, tensorrt_packages, torch_cuda

    driver = read_driver()
    if driver is None:
        report.show("NVIDIA driver: none that answers")
        report.result(driver=None)
        return
    versions = {"driver": ".".join(map(str, driver.cuda)) if driver.cuda else None, "torch": torch_cuda()}
    versions |= {f"tensorrt {version}": cuda for cuda, version in tensorrt_packages().items()}
    shown = ", ".join(f"{name} {version or 'none'}" for name, version in versions.items())
    report.show(f"NVIDIA driver: {driver.version}; CUDA versions: {shown}")
    for number, gpu in enumerate(driver.gpus):
        capability = ".".join(map(str, gpu.capability)) if gpu.capability else "not reported"
        report.show(f"cuda:{number}: {gpu.name}, compute capability {capability}")
    gpus = [{"device": f"cuda:{k}", "name": gpu.name} for k, gpu in enumerate(driver.gpus)]
    report.result(driver={"version": driver.version, "cuda": versions, "gpus": gpus})


def show_backends(report: Report, availability: Mapping[str, Availability]) -> None:
    """Each backend with its state, and what mends it where it is not ready."""
    for name, state in availability.items():
        report.show(f"{name}: {'ready' if state.ok else f'not ready. {state.reason}'}")
        if state.remedy:
            report.show(f"    to do: {state.remedy}")
    report.result(
        backends={
            name: {"ok": s.ok, "reason": s.reason, "remedy": s.remedy} for name, s in availability.items()
        }
    )


def _data_found() -> list[list[str]]:
    from bench.cli.options import workspace
    from bench.cohort.spec import builtin_specs, load_spec
    from bench.cohort.tables import find_tables
    from bench.errors import BenchError

    space = workspace()
    rows = []
    for name in builtin_specs():
        try:
            find_tables(load_spec(name), space.data(name))
            rows.append([name, "found"])
        except BenchError as error:
            rows.append([name, error.problems[0].message])
    return rows


def sums(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to share, or one that was received.")],
    check: Annotated[
        bool, typer.Option("--check", help="Compare with SHA256SUMS instead of writing it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write SHA256SUMS for every file of a folder, or check a folder that was downloaded.

    Example: bench sums submissions --check
    """
    from bench.errors import BenchError, Problem, raise_errors
    from bench.files import check_sums, write_sums
    from bench.workspace import unpublishable_files

    with reporting(as_json) as report:
        if check:
            problems = check_sums(folder)
            report.result(folder=str(folder), differing=len(problems))
            raise_errors(problems)
            report.show("Every file is the one that was hashed.")
        else:
            if kept := unpublishable_files(folder):
                message = f"{len(kept)} files are kept back, since the labels are not public: {kept[0].name}."
                raise BenchError(Problem("labels-kept-back", message, str(kept[0].parent)))
            path = write_sums(folder)
            report.result(file=str(path))
            report.show(f"Wrote {path}")
