"""Networks of the size that GPUs are rented for, with random weights, as TorchScript and as ONNX.

* *vision*: ResNet-50 (He et al. 2015, doi:10.1109/CVPR.2016.90): float32 [3, 224, 224] -> float32
  [1000], 25.6 million weights.
* *text*: an encoder as large as BERT base (Devlin et al. 2019, doi:10.18653/v1/N19-1423): 128 token
  ids, int64 -> their mean embedding, float32 [768], 109 million weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_EXPANSION = 4


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = _EXPANSION * width
        self.way = nn.Sequential(
            *_convolution(channels, width, 1),
            nn.ReLU(),
            *_convolution(width, width, 3, stride),
            nn.ReLU(),
            *_convolution(width, out, 1),
        )
        self.shortcut = (
            nn.Identity()
            if channels == out and stride == 1
            else nn.Sequential(*_convolution(channels, out, 1, stride))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.way(x) + self.shortcut(x))


def _convolution(channels: int, width: int, size: int, stride: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, width, size, stride, padding=size // 2, bias=False)
    return convolution, nn.BatchNorm2d(width)


def vision(blocks: tuple[int, ...] = (3, 4, 6, 3), width: int = 64) -> nn.Module:
    """A residual network; as many blocks in each of its stages."""
    layers: list[nn.Module] = [
        *_convolution(3, width, 7, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]
    channels = width
    for stage, count in enumerate(blocks):
        wide = width * 2**stage
        for block in range(count):
            stride = 2 if stage and not block else 1
            layers.append(_Bottleneck(channels, wide, stride))
            channels = _EXPANSION * wide
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))
    return nn.Sequential(*layers, *head)


class _Encoder(nn.Module):
    def __init__(self, layers: int, width: int, heads: int, words: int, length: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Parameter(torch.randn(length, width))
        # No nn.TransformerEncoder, whose layers would begin with the same weights.
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width, heads, 4 * width, activation="gelu", batch_first=True
                )
                for _ in range(layers)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        encoded: Tensor = self.layers(self.words(x) + self.places)
        return encoded.mean(1)


@dataclass(frozen=True)
class Network:
    """A network and its inputs.

    Attributes:
      make: the network, with random weights.
      rows: (generator, number of rows) -> made-up rows of its input ``x``.
    """

    make: Callable[[], nn.Module]
    rows: Callable[[np.random.Generator, int], np.ndarray]

    def save(self, folder: Path) -> Mapping[str, Path]:
        """Writes it for each framework: input ``x``, one output. The same weights in both."""
        torch.manual_seed(0)
        network = self.make().eval()
        example = torch.from_numpy(self.rows(np.random.default_rng(0), 2))
        files = {"torch": folder / "network.pt", "onnx": folder / "network.onnx"}
        # The fused layer of torch's own is none that ONNX or a tracer knows.
        torch.backends.mha.set_fastpath_enabled(False)
        traced: Any = torch.jit
        traced.trace(_NamedInput(network), example).save(files["torch"])
        _export(network, example, files["onnx"])
        return files


class _NamedInput(nn.Module):
    """Calls its argument ``x``, as an nn.Sequential does not."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.network(x)
        return answer


def _export(network: nn.Module, example: Tensor, file: Path) -> None:
    varying: dict[str, Any] = {"x": {0: "rows"}, "output_0": {0: "rows"}}
    torch.onnx.export(
        network,
        (example,),
        file,
        input_names=["x"],
        output_names=["output_0"],
        dynamic_axes=varying,
        dynamo=False,  # torch's newer exporter needs a package more
    )


def _images(side: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    return lambda rng, rows: rng.random((rows, 3, side, side), "float32")


def _tokens(words: int, length: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    return lambda rng, rows: rng.integers(0, words, (rows, length))


NETWORKS: Mapping[str, Network] = {
    "vision, ResNet-50": Network(vision, _images(224)),
    "text, BERT base": Network(lambda: _Encoder(12, 768, 12, 30_522, 128), _tokens(30_522, 128)),
}
SMALL: Mapping[str, Network] = {
    "vision, small": Network(lambda: vision((1, 1), 4), _images(32)),
    "text, small": Network(lambda: _Encoder(2, 24, 2, 100, 16), _tokens(100, 16)),
}
