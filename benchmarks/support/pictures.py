"""The pictures of docs/benchmarks.md: one look, colours that the colour-blind can tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

# Okabe and Ito, https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, SKY, RED, PURPLE, YELLOW, GREY = (
    *("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#CC79A7", "#F0E442", "#8C8C8C"),
)

plt.rcParams.update(
    {
        "font.size": 11,
        "axes.titlesize": 12,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": "#DDDDDD",
        "legend.frameon": False,
    }
)


def figure(rows: int, columns: int, width: float, height: float, **more: Any) -> tuple[Figure, Any]:
    """An empty picture and its panels; inches, of 110 pixels."""
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **more)


def save(picture: Figure, path: Path) -> None:
    picture.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(picture)
    print(f"Drew {path}")
