"""Networks of the families that entrants submit, small and in full size, from both exporters of torch."""

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


class DenseNet121(nn.Module):
    """DenseNet-121 (Huang et al. 2017, arXiv:1608.06993) of MONAI, for one channel."""

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets.densenet import DenseNet121 as Monai

        self.network = Monai(spatial_dims=2, in_channels=1, out_channels=2, pretrained=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image)


class Attention(nn.Module):
    """A transformer block: attention by `scaled_dot_product_attention`, then two layers with GELU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        images, tokens, width = x.shape
        shape = (images, tokens, 3, self.heads, width // self.heads)
        q, k, v = self.qkv(self.first(x)).reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)
        attended = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(attended.transpose(1, 2).reshape(images, tokens, width))
        return x + self.mlp(self.second(x))


class VisionTransformerSmall(nn.Module):
    """ViT-S/16 (Touvron et al. 2021, arXiv:2012.12877) for one channel, with a class token."""

    def __init__(self, side: int = 224, width: int = 384, depth: int = 12, heads: int = 6) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, width, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(torch.randn(1, 1 + (side // 16) ** 2, width) * 0.02)
        self.blocks = nn.Sequential(*(Attention(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.patch(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        return self.head(self.norm(self.blocks(x))[:, 0])


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, layer normalisation over channels, two layers with GELU, layer scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.scale = nn.Parameter(torch.full((width,), 1e-1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.mlp(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))
        return x + (self.scale * y).permute(0, 3, 1, 2)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (n, channels, height, width)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtTiny(nn.Module):
    """ConvNeXt-T (Liu et al. 2022, arXiv:2201.03545) for one channel."""

    def __init__(self, depths: tuple[int, ...] = (3, 3, 9, 3), width: int = 96) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width, 4, 4), ChannelNorm(width)]
        for stage, depth in enumerate(depths):
            if stage:
                layers += [ChannelNorm(width), nn.Conv2d(width, 2 * width, 2, 2)]
                width *= 2
            layers += [ConvNeXtBlock(width) for _ in range(depth)]
        self.layers = nn.Sequential(*layers)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.layers(image).mean((2, 3))))


FULL_SIZE: dict[str, type[nn.Module]] = {
    "densenet121": DenseNet121,
    "vit-small": VisionTransformerSmall,
    "convnext-tiny": ConvNeXtTiny,
}


def full_size_network(family: str, side: int = 224) -> nn.Module:
    """An untrained network in full size; its batch normalisation has seen two random images."""
    torch.manual_seed(0)
    made = FULL_SIZE[family](side) if family == "vit-small" else FULL_SIZE[family]()
    with torch.no_grad():
        made.train()(torch.rand(2, 1, side, side))
    return made.eval()


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


def export(
    made: nn.Module, path: Path, *, dynamo: bool, training: bool = False, side: int = SIZE
) -> onnx.ModelProto:
    """The network as ONNX with a free batch, input ``image`` and output ``scores``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the older exporter, which is deprecated and still used
        model = _exported(made, torch.rand(2, 1, side, side), dynamo=dynamo, training=training)
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
