"""Small networks of the families that entrants hand in, exported with both exporters of torch."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from tests.runtime.models import SIZE


class DenseNet(nn.Module):
    """Dense blocks: convolution, batch normalisation, concatenation, average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(16 + 8 * k), nn.ReLU(), nn.Conv2d(16 + 8 * k, 8, 3, padding=1), nn.Dropout(0.2)
            )
            for k in range(4)
        )
        self.head = nn.Linear(48, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.head(torch.relu(x).mean((2, 3)))


class VisionTransformer(nn.Module):
    """Patches, attention with softmax over tokens, layer normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 32, 8, 8)
        self.place = nn.Parameter(torch.randn(1, 9, 32) * 0.1)
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(3))
        self.qkv = nn.Linear(32, 96)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, 32))
        self.head = nn.Linear(32, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.patch(image).flatten(2).transpose(1, 2) + self.place
        q, k, v = self.qkv(self.norms[0](x)).reshape(-1, 9, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        attended = torch.softmax(q @ k.transpose(-2, -1) / 8**0.5, -1) @ v
        x = x + attended.transpose(1, 2).reshape(-1, 9, 32)
        x = x + self.mlp(self.norms[1](x))
        return self.head(self.norms[2](x).mean(1))


class ConvNeXt(nn.Module):
    """Depthwise convolution, layer normalisation over channels, layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 24, 4, 4)
        self.depthwise = nn.Conv2d(24, 24, 7, padding=3, groups=24)
        self.norm = nn.LayerNorm(24)
        self.mlp = nn.Sequential(nn.Linear(24, 96), nn.GELU(), nn.Linear(96, 24))
        self.scale = nn.Parameter(torch.full((24,), 0.1))
        self.head = nn.Linear(24, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image)
        y = self.mlp(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))
        x = x + (self.scale * y).permute(0, 3, 1, 2)
        return self.head(x.mean((2, 3)))


FAMILIES: dict[str, type[nn.Module]] = {
    "densenet": DenseNet,
    "vit": VisionTransformer,
    "convnext": ConvNeXt,
}


def network(family: str, *, training: bool = False, settle: bool = True) -> nn.Module:
    """An untrained network; with `settle` its running means have seen images."""
    torch.manual_seed(0)
    made = FAMILIES[family]()
    if settle:
        made.train()
        for _ in range(5):
            made(torch.rand(16, 1, SIZE, SIZE))
    return made.train(training)


def export(made: nn.Module, path: Path, *, dynamo: bool, training: bool = False) -> onnx.ModelProto:
    """The network as ONNX with a free batch, input ``image`` and output ``scores``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the older exporter, which is deprecated and still used
        model = _exported(made, torch.rand(2, 1, SIZE, SIZE), dynamo=dynamo, training=training)
    path.write_bytes(model.SerializeToString())
    return model


def _exported(made: nn.Module, example: torch.Tensor, *, dynamo: bool, training: bool) -> onnx.ModelProto:
    if dynamo:
        program = torch.onnx.export(
            made,
            (example,),
            input_names=["image"],
            output_names=["scores"],
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
            verbose=False,
        )
        model: onnx.ModelProto = program.model_proto
        return model
    buffer = io.BytesIO()
    torch.onnx.export(
        made,
        (example,),
        buffer,  # type: ignore[arg-type]
        input_names=["image"],
        output_names=["scores"],
        dynamo=False,
        dynamic_axes={"image": {0: "batch"}, "scores": {0: "batch"}},
        training=torch.onnx.TrainingMode.TRAINING if training else torch.onnx.TrainingMode.EVAL,
        do_constant_folding=not training,
    )
    return onnx.load_from_string(buffer.getvalue())
