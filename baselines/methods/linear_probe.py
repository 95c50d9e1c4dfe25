"""What a frozen encoder knows already: logistic regression on the features of any ONNX file."""

from __future__ import annotations

from baselines.api import Baseline, Choices, Result, TrainingTask
from baselines.describe import describe

DESCRIPTION = (
    "Logistic regression on the features of a frozen encoder, one per target; features are scaled by the "
    "training images, the strength of the penalty is chosen on val ({chosen})."
)
MODEL = "model.onnx"


def run(task: TrainingTask) -> Result:
    """Encode, fits one probe per target, and joins encoder and probes in one ONNX file.

    Raises:
        BenchError: There is nothing to choose on (``baseline-no-training``), or the encoder cannot be used.
    """
    from baselines.probe.encoder import encode, open_encoder
    from baselines.probe.head import QUICK_STRENGTHS, STRENGTHS, export_probe, fit_probe
    from baselines.tabular.fit import require_val
    from bench.submission.manifest import ModelInputs

    require_val(task)
    assert task.choices.encoder is not None  # check_needs
    encoder = open_encoder(task.choices.encoder)
    views = (("training", task.train), ("val", task.val), ("test", task.test))
    train, val, test = (encode(encoder, view, task.progress, what) for what, view in views)
    probes = {}
    for done, target in enumerate(task.targets):
        task.progress(f"fitting {target}", done, len(task.targets))
        strengths = QUICK_STRENGTHS if task.quick else STRENGTHS
        labels = task.train.labels[target], task.val.labels[target]
        probes[target] = fit_probe(train, labels[0], val, labels[1], strengths)
    task.progress("fitted", len(task.targets), len(task.targets))
    outputs = export_probe(encoder, probes, task.folder / MODEL)
    said = encoder.said
    chosen = ", ".join(f"{t} C = {p.strength:g}" for t, p in probes.items() if p.strength is not None)
    manifest = describe(
        task,
        f"Linear probe, {said.name}",
        f"{DESCRIPTION.format(chosen=chosen)} {said.description}".strip(),
        ("image",),
        model=ModelInputs(image=said.image, outputs=outputs),
        pretrained_weights=said.pretrained_weights,
        external_data=said.external_data,
    )
    predictions = {target: probe.probabilities(test) for target, probe in probes.items()}
    return Result(manifest, predictions, task.folder / MODEL)


def side(quick: bool, choices: Choices) -> int:  # noqa: ARG001
    """Side of the images that the encoder takes."""
    from baselines.probe.encoder import read_description

    assert choices.encoder is not None  # check_needs
    return read_description(choices.encoder).image.height


def check(quick: bool, choices: Choices) -> None:  # noqa: ARG001
    """Refuse an encoder that is not as it is described."""
    from baselines.probe.encoder import open_encoder

    assert choices.encoder is not None  # check_needs
    open_encoder(choices.encoder)


BASELINE = Baseline(
    "linear-probe",
    "features of a frozen encoder (ONNX, --encoder), logistic",
    run,
    needs_images=True,
    needs_packages=("onnx", "onnxruntime"),
    needs_encoder=True,
    side=side,
    check=check,
)
