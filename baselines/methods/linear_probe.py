"""Linear probe: logistic regression on the features of a frozen ONNX encoder."""

from __future__ import annotations

from baselines.api import Baseline, Choices, Result, TrainingTask
from baselines.describe import describe

DESCRIPTION = (
    "Logistic regression on the features of a frozen encoder, one per target; features are scaled by the "
    "training images, the strength of the penalty is chosen on val ({penalties})."
)
MODEL = "model.onnx"


def run(task: TrainingTask) -> Result:
    """Encode images, fit one probe per target, and join encoder and probes in one ONNX file.

    Raises:
        BenchError: No val images (``baseline-no-training``), or the encoder cannot be used.
    """
    from baselines.probe.encoder import encode_parts, open_encoder
    from baselines.probe.head import describe_penalties, export_probe, fit_probes
    from bench.submission.manifest import ModelInputs

    assert task.choices.encoder is not None  # check_needs
    encoder = open_encoder(task.choices.encoder)
    train, val, test = encode_parts(encoder, task)
    probes = fit_probes(task, train, val)
    outputs = export_probe(encoder, probes, task.folder / MODEL)
    description = encoder.description

    manifest = describe(
        task,
        f"Linear probe, {description.name}",
        f"{DESCRIPTION.format(penalties=describe_penalties(probes))} {description.description}".strip(),
        ("image",),
        model=ModelInputs(image=description.image, outputs=outputs),
        pretrained_weights=description.pretrained_weights,
        external_data=description.external_data,
    )
    predictions = {target: probe.probabilities(test) for target, probe in probes.items()}
    return Result(manifest, predictions, task.folder / MODEL)


def side(quick: bool, choices: Choices) -> int:  # noqa: ARG001
    """Return the side of the encoder's input image in pixels."""
    from baselines.probe.encoder import read_description

    assert choices.encoder is not None  # check_needs
    return read_description(choices.encoder).image.height


def check(quick: bool, choices: Choices) -> None:  # noqa: ARG001
    """Refuse an encoder that does not fit its description."""
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
