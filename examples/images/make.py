"""Makes pictures, a small network that tells what is on them, and the names of what it tells.

    python examples/images/make.py --output_dir build/images

writes ``pictures/`` (the input, three broken files among it), ``models/convnet/1/model.pt``,
``labels.txt`` and a copy of ``ensemble.yaml``. It needs no connection and takes some seconds. The
network learns from what the ensemble file's own prepare steps make of the pictures, so in training
it sees exactly what it will see in the job.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from pipeline.ops.step import apply  # noqa: E402  # needs the path above
from pipeline.spec import graph  # noqa: E402
from pipeline.spec import text as spec_text  # noqa: E402

LABELS = ("circle", "square", "triangle")
TRAINING, HELD_OUT, SEED = 360, 30, 7


def draw(label: str, random: np.random.Generator) -> Image.Image:
    """One shape in one colour on a noisy ground, somewhere near the middle; sizes differ."""
    width, height = random.integers(60, 200, 2)
    ground = random.integers(0, 110, 3)
    noise = random.integers(0, 30, (height, width, 3))
    image = Image.fromarray((ground + noise).astype(np.uint8))
    x, y = width * random.uniform(0.45, 0.55), height * random.uniform(0.45, 0.55)
    r = min(width, height) * random.uniform(0.25, 0.4)
    colour = tuple(map(int, random.integers(150, 255, 3)))
    pen = ImageDraw.Draw(image)
    if label == "circle":
        pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    elif label == "square":
        pen.rectangle((x - r * 0.85, y - r * 0.85, x + r * 0.85, y + r * 0.85), fill=colour)
    else:
        pen.polygon([(x, y - r), (x - r, y + r * 0.8), (x + r, y + r * 0.8)], fill=colour)
    return image


def pictures(count: int, seed: int) -> list[tuple[str, bytes]]:
    """Labels, and JPEG files that show them."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        label, file = LABELS[number % len(LABELS)], io.BytesIO()
        draw(label, random).save(file, "JPEG", quality=85)
        made.append((label, file.getvalue()))
    return made


def prepared(files: list[bytes]) -> Any:
    """What the ensemble file makes of the files, as the model reads it."""
    spec = spec_text.parse((HERE / "ensemble.yaml").read_text(), source="ensemble.yaml")
    columns: dict[str, Any] = {"file": np.array(files, dtype=object)}
    for step in graph.resolve(spec).prepare:
        columns |= apply(step, columns)
    return torch.from_numpy(columns["pixels"])


def train(made: list[tuple[str, bytes]]) -> nn.Module:
    """Three convolutions and an average over the picture: float32[rows, 3, h, w] to [rows, 3]."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # on layers this small, threads only wait for each other
    network = nn.Sequential(
        *(nn.Conv2d(3, 16, 5, stride=2), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32 * 4, len(LABELS))),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    pixels = prepared([file for _, file in made])
    labels = torch.tensor([LABELS.index(label) for label, _ in made])
    for _ in range(8):
        for rows in torch.randperm(len(labels)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(pixels[rows]), labels[rows]).backward()
            optimizer.step()
    return network.eval()


def write(output_dir: Path) -> float:
    """Writes everything; returns the share of pictures that the network names."""
    held_out = pictures(HELD_OUT, seed=SEED + 1)
    network = train(pictures(TRAINING, seed=SEED))
    model = output_dir / "models/convnet/1/model.pt"
    folder = output_dir / "pictures"
    for each in (model.parent, folder):
        each.mkdir(parents=True, exist_ok=True)
    pixels = prepared([file for _, file in held_out])
    torch.jit.trace(network, pixels[:2]).save(str(model))
    for number, (label, file) in enumerate(held_out):
        (folder / f"{number:02d}-{label}.jpg").write_bytes(file)
    good = held_out[0][1]
    (folder / "broken-cut-short.jpg").write_bytes(good[: len(good) // 2])
    (folder / "broken-no-image.jpg").write_text("not a picture\n")
    (folder / "broken-empty.jpg").write_bytes(b"")
    (output_dir / "labels.txt").write_text("\n".join(LABELS))
    shutil.copy(HERE / "ensemble.yaml", output_dir)
    named = network(pixels).argmax(1).tolist()
    right = [LABELS[i] == label for i, (label, _) in zip(named, held_out, strict=True)]
    return float(np.mean(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output_dir", type=Path, required=True, help="where to write")
    output_dir = parser.parse_args().output_dir
    right = write(output_dir)
    print(f"{HELD_OUT} pictures and 3 broken files in {output_dir}/pictures")
    print(f"the network names {right:.0%} of the pictures")


if __name__ == "__main__":
    main()
