"""Exports a trained learner as one ONNX file from 8-bit images to predictions."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from baselines.networks.learner import Learner
from bench.files import atomic_path
from bench.submission.manifest import ImageInput, ModelInputs

OPSET = 18
OUTPUT = "predictions"
LARGEST_BATCH = 65_536


class _Predictor(nn.Module):
    """A learner's inputs one by one, as the inputs of the file."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, image: Tensor, *extra: Tensor) -> Tensor:
        """Predictions (n, columns)."""
        beside = torch.cat(extra, dim=1) if extra else image.new_empty((image.shape[0], 0))
        return self.learner.predict(image, beside)


def export_onnx(learner: Learner, path: Path) -> ModelInputs:
    """Write the ONNX file and return its interface for the manifest.

    The batch is free. Pixels are divided by 255 outside, everything else is inside the graph.
    """
    side = learner.recipe.size
    predictor = _Predictor(learner).eval()
    names = ["image", *learner.extra]
    example = (torch.zeros(2, 1, side, side), *(torch.ones(2, 1) for _ in learner.extra))
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    beside = tuple({0: batch} for _ in learner.extra)
    shapes = ({0: batch}, beside) if beside else ({0: batch},)
    with atomic_path(path) as part, _quiet(), torch.no_grad():
        torch.onnx.export(
            predictor,
            example,
            str(part),
            dynamo=True,
            opset_version=OPSET,
            input_names=names,
            output_names=[OUTPUT],
            dynamic_shapes=shapes,
            external_data=False,
            verbose=False,
        )
    return ModelInputs(
        image=ImageInput(name="image", height=side, width=side, channels=1),
        age="age" if "age" in learner.extra else None,
        sex="sex" if "sex" in learner.extra else None,
        outputs={target: f"{OUTPUT}:{k}" for k, target in enumerate(learner.head.columns)},
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which warns of its own dependencies."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
