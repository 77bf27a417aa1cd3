"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("apache-beam", "numpy", "orjson", "onnxruntime", "pyarrow", "scikit-learn", "torch")


def describe(packages: Sequence[str] = _PACKAGES, gpu: str | None = None) -> str:
    """One line: processors, system, versions, and how busy it is now, before the first run.

    Args:
      packages: whose versions count.
      gpu: its name, if the benchmark uses one.
    """
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    packages = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{f'{gpu}, ' if gpu else ''}{os.cpu_count()} cores ({model}), {platform.system()}, "
        f"Python {platform.python_version()}, {packages}; "
        f"load average before the first run {os.getloadavg()[0]:.1f}"
    )
