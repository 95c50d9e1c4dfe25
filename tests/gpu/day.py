"""All that only a GPU can show, measured in one go: `python -m tests.gpu.day`, or `make gpu-day`.

Runs the tests of this folder, times the small CNN, DenseNet-121 and ViT-S/16 on every backend that is ready
beside `trtexec`, trains densenet121-echo for a stated number of steps with and without its loader, and writes
records and tables to docs/measurements. No network is needed. Each step is stored when it has ended: the same
command again goes on where it was, and begins no step after the time that `--minutes` gives.

Without a GPU nothing is written to docs/measurements: the steps say what is missing.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

import bench
from bench.actions.context import open_cohort
from bench.cohort.cohort import Cohort
from bench.cohort.synthetic.write import write_demo
from bench.documents import read_json
from bench.errors import BenchError
from bench.files import write_atomic, write_json
from bench.runtime.backends.gpu import read_driver
from bench.runtime.backends.registry import backends
from bench.submission.manifest import ImageInput, Manifest, ModelInputs
from bench.timing.record import TimingRecord
from bench.workspace import Workspace, create_workspace, find_workspace
from tests.runtime.models import manifest as tiny_manifest
from tests.runtime.torch_models import export, full_size_network

ROOT: Final = Path(__file__).parents[2]
MARKS: Final = ("<!-- gpu-day begins -->", "<!-- gpu-day ends -->")
SIDE: Final = 224
SMALL_SIDE: Final = 96
PATIENTS: Final = 300
BATCHES: Final = (1, 32)
PRECISIONS: Final = ("fp32", "fp16", "tf32")  # of each backend the first two that it has
STEPS: Final = 100
WARM_STEPS: Final = 20


@dataclass(frozen=True)
class Day:
    """Files of the day's work, and how much is done.

    Attributes:
        folder: Workspace, models and results; kept between two runs.
        docs: Folder of the records and of timing.md.
        quick: The short protocol, few patients and steps: for the test of this module.
        on_cpu: Whether backends on the CPU are timed too.
    """

    folder: Path
    docs: Path
    quick: bool = False
    on_cpu: bool = False

    @property
    def results(self) -> Path:
        """Step → what it found; a step that is in it is not run again."""
        return self.folder / "results.json"


Step = tuple[str, Callable[[], dict[str, Any]]]


def run(day: Day, minutes: float) -> dict[str, Any]:
    """Run the steps that are left while time is left, store each, and write the tables.

    Returns:
        Step → what it found.
    """
    end = time.monotonic() + 60 * minutes
    day.folder.mkdir(parents=True, exist_ok=True)
    results = json.loads(day.results.read_text()) if day.results.exists() else {}
    for name, step in steps(day):
        if name in results:
            print(f"{name}: done before", flush=True)
            continue
        if time.monotonic() > end:
            print(f"{name}: not begun, {minutes:g} minutes were over; run the command again", flush=True)
            continue
        started = time.monotonic()
        try:
            results[name] = step()
        except BenchError as error:
            results[name] = {"problem": " ".join(problem.message for problem in error.problems)}
        write_json(day.results, results)
        print(f"{name}: {time.monotonic() - started:.0f} s {json.dumps(results[name])[:300]}", flush=True)
    write_tables(day, results)
    return results


def steps(day: Day) -> Iterator[Step]:
    """The steps in order of what is worth most; later ones need the entries of the second."""
    yield "tests/gpu", lambda: gpu_tests(day)
    yield "entries", lambda: make_entries(day)
    ready = [b for b in backends().values() if b.availability().ok and (b.is_gpu or day.on_cpu)]
    for position in range(2):
        for backend in ready:
            chosen = [p for p in PRECISIONS if p in backend.precisions][position : position + 1]
            for precision in chosen:
                for slug in NETWORKS:
                    name = f"time {slug} {backend.name} {precision}"
                    yield name, partial(time_entry, day, slug, backend.name, precision)
    for slug in NETWORKS:
        yield f"trtexec {slug}", partial(trtexec, day, slug)
    yield "train", lambda: train(day)


def gpu_tests(day: Day) -> dict[str, Any]:
    """Outcomes of tests/gpu, counted."""
    words = [sys.executable, "-m", "pytest", "tests/gpu", "-q", "-p", "no:cacheprovider", "-m", "gpu"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    write_atomic(day.folder / "tests.txt", (done.stdout + done.stderr).encode())
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", done.stdout)}
    return {**counts, "exit_code": done.returncode}


def small_cnn(side: int) -> Any:
    """The network of the baseline cnn-small with random weights."""
    import torch

    from baselines.networks.models import Network

    torch.manual_seed(0)
    return Network("small", (), 2, 0.0).eval(), side


NETWORKS: Final[dict[str, Callable[[], tuple[Any, int]]]] = {
    "cnn-small": lambda: small_cnn(SMALL_SIDE),
    "densenet121": lambda: (full_size_network("densenet121"), SIDE),
    "vit-small": lambda: (full_size_network("vit-small"), SIDE),
}


def workspace(day: Day) -> tuple[Workspace, Cohort]:
    """The day's workspace with a small synthetic cohort, made when first needed."""
    made = (day.folder / "bench.toml").exists()
    space = (
        find_workspace(day.folder)
        if made
        else create_workspace(day.folder, data={"demo": day.folder / "cohort"})
    )
    write_demo(space.data("demo"), patients=60 if day.quick else PATIENTS)
    return space, open_cohort("demo", workspace=space)


def make_entries(day: Day) -> dict[str, Any]:
    """Submit each network with random weights; parity is held against the stored predictions."""
    space, cohort = workspace(day)
    targets = [target.name for target in cohort.spec.binary_targets][:2]
    for slug, make in NETWORKS.items():
        network, side = make()
        path = day.folder / f"{slug}.onnx"
        export(network, path, dynamo=True, side=side)
        outputs = {target: f"scores:{number}" for number, target in enumerate(targets)}
        image = ImageInput(name="image", height=side, width=side)
        manifest: Manifest = tiny_manifest().model_copy(
            update={
                "name": f"{slug}, random weights",
                "model": ModelInputs(image=image, activation="sigmoid", outputs=outputs),
            }
        )
        bench.submit(model=path, slug=slug, manifest=manifest, cohort=cohort, workspace=space, replace=True)
    return {"entries": list(NETWORKS), "patients": len(np.unique(cohort.patients))}


def time_entry(day: Day, slug: str, backend: str, precision: str) -> dict[str, Any]:
    """Medians by batch size, and the record's file."""
    space, cohort = workspace(day)
    done = bench.time_entries(
        slug,
        backends=(backend,),
        precisions=(precision,),
        batches=BATCHES,
        quick=day.quick,
        cohort=cohort,
        workspace=space,
    )
    (timed,) = done.timed
    if timed.record is None or timed.path is None:
        return {"problem": " ".join(problem.message for problem in timed.problems)}
    return {"record": str(timed.path.relative_to(day.folder)), "is_gpu": timed.record.is_gpu}


def trtexec(day: Day, slug: str) -> dict[str, Any]:
    """Median device time of `trtexec` in fp32 with our build settings, at the largest batch."""
    from tests.gpu.test_gpu_backends import SAME_BUILD

    program = shutil.which("trtexec")
    if program is None:
        return {"problem": "trtexec is not installed"}
    side = SMALL_SIDE if slug == "cnn-small" else SIDE
    options = [f"--shapes=image:{BATCHES[-1]}x1x{side}x{side}", "--noTF32", "--useCudaGraph", "--duration=3"]
    words = [program, f"--onnx={day.folder / slug}.onnx", *options, *SAME_BUILD]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    matched = re.search(r"GPU Compute Time:.*?median = ([\d.]+) ms", done.stdout)
    if matched is None:
        return {"problem": f"trtexec ended with {done.returncode} and no median"}
    version = re.search(r"TensorRT[.\s]v?(\d+)", done.stdout)
    return {"median_ms": float(matched.group(1)), "version": version.group(1) if version else "unknown"}


def train(day: Day) -> dict[str, Any]:
    """Steps per second of densenet121-echo: with its loader, and with one batch given again and again."""
    import torch
    from lightning.pytorch import Trainer
    from torch.utils.data import DataLoader

    from baselines.networks.heads import EchoHead
    from baselines.networks.learner import Learner
    from baselines.networks.recipe import load_recipe
    from baselines.networks.tensors import load_arrays, training_batches
    from baselines.registry import find_baseline
    from baselines.views import make_task
    from bench.progress import silent

    if not torch.cuda.is_available() and not day.on_cpu:
        return {"problem": "torch finds no GPU"}
    _, cohort = workspace(day)
    baseline = find_baseline("densenet121-echo")
    task = make_task(cohort, baseline, seed=0, quick=day.quick, folder=day.folder)
    recipe = load_recipe("densenet121-echo", quick=day.quick)
    head = EchoHead(task.measurements, task.rules)
    extra = [name for name in recipe.inputs if name != "image"]
    arrays = load_arrays(task.train, recipe.size, extra, head.labels, silent, "training")
    warm, timed = (1, 2) if day.quick else (WARM_STEPS, STEPS)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def steps_per_s(batches: Any) -> float:
        clock: list[float] = []

        class Timed(Learner):
            def on_train_batch_end(self, *_: Any) -> None:
                if self.global_step in (warm, warm + timed):
                    if device.type == "cuda":
                        torch.cuda.synchronize()
                    clock.append(time.perf_counter())

        learner = Timed(recipe, head, 0)
        trainer = Trainer(
            max_steps=warm + timed,
            max_epochs=-1,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=day.folder,
            precision=recipe.precision,
        )
        trainer.fit(learner, batches)
        return timed / (clock[1] - clock[0])

    loader = training_batches(arrays, recipe.batch, 0)
    fixed = next(iter(loader))
    same: Any = [tuple(part.to(device) for part in fixed)] * (warm + timed)
    repeated: Any = DataLoader(same, batch_size=None)
    return {
        "steps": timed,
        "batch": recipe.batch,
        "size": recipe.size,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "with_loader_steps_per_s": steps_per_s(loader),
        "without_loader_steps_per_s": steps_per_s(repeated),
    }


def write_tables(day: Day, results: dict[str, Any]) -> None:
    """Copy the records of GPUs and write the tables between the marks of timing.md; nothing without a GPU."""
    found = [r for r in results.values() if r.get("record") and (r["is_gpu"] or day.on_cpu)]
    if not found:
        print("No GPU was measured: docs/measurements stays as it is.")
        return
    records = []
    target = day.docs / "gpu"
    target.mkdir(parents=True, exist_ok=True)
    for result in found:
        record = read_json(TimingRecord, day.folder / result["record"], "timing-invalid")
        records.append(record)
        write_json(target / f"{record.slug}-{record.file_name}", record.plain())
    page = day.docs / "timing.md"
    text = page.read_text("utf-8")
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    table = tables(records, results)
    write_atomic(page, f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}".encode())
    print(f"Wrote {len(records)} records to {target} and their table to {page}.")


def tables(records: list[TimingRecord], results: dict[str, Any]) -> str:
    """The measured figures as Markdown; what was not measured is not in it."""
    lines = [
        "| network | backend | precision | device | batch | compute p50 ms | end to end p50 ms | images/s "
        "| stability | parity |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for record in records:
        for row in record.batches:
            cells = [
                *(record.slug, record.backend_label, record.precision, record.device, str(row.batch)),
                _figure(row.compute.p50.value_ms),
                _figure(row.end_to_end.p50.value_ms),
                _figure(row.throughput.images_per_s),
                {True: "stable", False: "unstable", None: row.status}[row.stability.stable],
                row.parity.status,
            ]
            lines.append(f"| {' | '.join(cells)} |")
    for name, result in results.items():
        if "median_ms" in result:
            lines.append(f"\n`{name}`, fp32, batch {BATCHES[-1]}: {_figure(result['median_ms'])} ms.")
    if "with_loader_steps_per_s" in (trained := results.get("train", {})):
        lines.append(
            f"\ndensenet121-echo on {trained['device']}, {trained['steps']} steps of {trained['batch']} "
            f"images of {trained['size']} pixels: {_figure(trained['with_loader_steps_per_s'])} steps/s with "
            f"the loader, {_figure(trained['without_loader_steps_per_s'])} without."
        )
    if "passed" in (tested := results.get("tests/gpu", {})):
        lines.append(
            f"\ntests/gpu: {tested['passed']} passed, {tested.get('failed', 0)} failed, "
            f"{tested.get('skipped', 0)} skipped."
        )
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3g}"


def main() -> None:
    """Run the day with the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=28.0, help="no step begins after so long")
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "gpu-day")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "measurements")
    chosen = parser.parse_args()
    driver = read_driver()
    print(f"GPUs: {', '.join(gpu.name for gpu in driver.gpus) if driver else 'none'}")
    for name, backend in backends().items():
        if not (state := backend.availability()).ok:
            print(f"{name}: not ready. {state.reason} To do: {state.remedy}")
    run(Day(chosen.folder, chosen.docs), chosen.minutes)


if __name__ == "__main__":
    main()
