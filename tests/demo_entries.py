"""The entries of submissions/demo, made anew: `python -m tests.demo_entries`, or `make demo-entries`.

The same steps as `bench demo`, in a workspace of its own, whose entries then replace those of the clone. Run
it after a change of the synthetic cohort, the baselines, the scores or the formats.

DenseNet-121 takes half an hour, so that its entry is kept. `python -m tests.demo_entries densenet121`, or
`make demo-densenet`, makes it anew and times it by the full protocol in fp32 and int8.
"""

from __future__ import annotations

import datetime
import json
import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np

import bench
from bench.actions.context import open_cohort
from bench.actions.demo import Demo
from bench.cli.demo import PATIENTS
from bench.cli.output import show_problem
from bench.cohort.images import read_batches
from bench.errors import Problem
from bench.submission.manifest import ImageInput, Manifest, ModelInputs
from bench.workspace import Workspace, create_workspace, find_workspace

if TYPE_CHECKING:
    from bench.cohort.cohort import Cohort

ROOT = Path(__file__).parents[1]
DENSENET: Final = "densenet121-random"
SIDE: Final = 128
FITTED: Final = 256  # training images
SETTLING: Final = 32


def main() -> None:
    """Run the steps, show each, and replace the stored entries."""
    folder = ROOT / "data" / "demo-entries"
    shutil.rmtree(folder, ignore_errors=True)
    space = create_workspace(folder, data={"demo": ROOT / "data" / "demo"})
    demo = Demo(space, PATIENTS, False, _warn)
    for step in demo.steps(folder / "pages"):
        if step.words[0] == "score":
            _keep_densenet(space)
        started = time.monotonic()
        summary = step.run(None)
        print(f"{time.monotonic() - started:6.1f} s  {step.command}  # {summary}", flush=True)
    stored = find_workspace(ROOT).submissions("demo")
    shutil.rmtree(stored)
    shutil.copytree(space.submissions("demo"), stored, ignore=shutil.ignore_patterns(".*"))


def _keep_densenet(space: Workspace) -> None:
    """Copy the stored DenseNet-121 into the new entries, if it was made on the same cohort."""
    stored = find_workspace(ROOT).submissions("demo")
    locks = [json.loads((f / "split.lock.json").read_text()) for f in (stored, space.submissions("demo"))]
    if locks[0]["fingerprint"] != locks[1]["fingerprint"]:
        print(f"{DENSENET} is of another cohort and left out: run `make demo-densenet`")
        return
    shutil.copytree(stored / DENSENET, space.submissions("demo") / DENSENET)
    attempts = f"_attempts/{DENSENET}.json"
    shutil.copy(stored / attempts, space.submissions("demo") / attempts)


def densenet() -> None:
    """Submit, score and time DenseNet-121 with random weights and a last layer that is fitted."""
    space = find_workspace(ROOT)
    cohort = open_cohort("demo", data=ROOT / "data" / "demo")
    with TemporaryDirectory() as folder:
        manifest = _densenet(cohort, Path(folder) / "model.onnx")
        bench.submit(
            model=Path(folder) / "model.onnx",
            slug=DENSENET,
            manifest=manifest,
            cohort=cohort,
            workspace=space,
            replace=True,
            progress=lambda done, total: print(f"predicted {done} of {total}", flush=True),
        )
    bench.score(cohort=cohort, workspace=space)
    started = time.monotonic()
    for precision in ("fp32", "int8"):
        done = bench.time_entries(DENSENET, precisions=(precision,), cohort=cohort, workspace=space)
        _warn(done.problems)
        print(f"{precision}: {time.monotonic() - started:.0f} s since the start", flush=True)


def _densenet(cohort: Cohort, path: Path) -> Manifest:
    """Write the ONNX file of a DenseNet-121 with random weights, and return its manifest.

    Batch normalisation has seen some training images; the last layer is a logistic regression on the
    features of others.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    from baselines.networks.models import Network

    torch.manual_seed(0)
    targets = [target.name for target in cohort.spec.binary_targets]
    network = Network("densenet121", (), len(targets), 0.0)
    rows = np.random.default_rng(0).permutation(cohort.rows("train"))[:FITTED]
    images = np.concatenate(list(read_batches(cohort, rows, SIDE, SIDE, FITTED)))[:, None] / np.float32(255)
    centred = (torch.from_numpy(images) - 0.5) / 0.25
    with torch.no_grad():
        network.encoder(centred[:SETTLING])
        network.eval()
        features = np.concatenate([network.encoder(part).numpy() for part in centred.split(16)])
        mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
        for number, target in enumerate(targets):
            fit = LogisticRegression(C=1e-3, max_iter=500)
            fit.fit((features - mean) / scale, cohort.targets[target][rows])
            weight = fit.coef_[0] / scale
            network.head.weight[number] = torch.from_numpy(weight)
            network.head.bias[number] = float(fit.intercept_[0] - weight @ mean)
        torch.onnx.export(
            network,
            (torch.zeros(2, 1, SIDE, SIDE),),
            str(path),
            dynamo=True,
            opset_version=18,
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
            external_data=False,
            verbose=False,
        )
    return Manifest(
        schema="submission/1",
        name="DenseNet-121, random weights",
        team="CheXchoBench",
        date=datetime.datetime.now(datetime.UTC).date(),
        kind="baseline",
        description=(
            f"DenseNet-121 at {SIDE} by {SIDE} pixels, there to be timed: its weights are random and were "
            f"not trained. Its batch normalisation has seen {SETTLING} training images; the last layer is a "
            f"logistic regression for each target on its features of {FITTED} training images."
        ),
        inputs=("image",),
        training_data=f"demo: {FITTED} training images of the split",
        external_data="none",
        pretrained_weights="none",
        parameters=sum(weight.numel() for weight in network.parameters()),
        licence="Apache-2.0",
        scores="probability",
        track="holdout",
        model=ModelInputs(
            image=ImageInput(name="image", height=SIDE, width=SIDE),
            activation="sigmoid",
            outputs={target: f"logits:{number}" for number, target in enumerate(targets)},
        ),
    )


def _warn(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        show_problem(problem)


if __name__ == "__main__":
    densenet() if sys.argv[1:] == ["densenet121"] else main()
