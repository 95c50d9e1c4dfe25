"""Export of a trained learner as one ONNX file, from 8-bit images to predictions."""

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
    """Wrapper that takes each model input as a separate argument."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, image: Tensor, *extra: Tensor) -> Tensor:
        """Compute predictions (n, columns)."""
        beside = torch.cat(extra, dim=1) if extra else image.new_empty((image.shape[0], 0))
        return self.learner.predict(image, beside)


def export_onnx(learner: Learner, path: Path) -> ModelInputs:
    """Write the ONNX file and return its interface for the manifest.

    The batch dimension is dynamic. Pixels are divided by 255 outside the graph; all other steps are inside.
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
    """Silence the exporter's warnings about its dependencies."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
