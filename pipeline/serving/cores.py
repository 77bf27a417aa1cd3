"""How many CPU cores this process may keep busy."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota_file: Path = _QUOTA) -> int:
    """The cores of the machine, of its CPU set, or of the container's quota: whatever is least.

    `os.cpu_count` knows neither ``docker run --cpuset-cpus`` nor ``--cpus``; threads beyond them
    only take turns.

    Args:
      quota_file: ``cpu.max`` of the control group, "QUOTA PERIOD" in microseconds or "max PERIOD"
        (https://docs.kernel.org/admin-guide/cgroup-v2.html); absent where there is no such limit.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota_us, period_us = quota_file.read_text().split()
        allowed = round(int(quota_us) / int(period_us))
    except (OSError, ValueError):  # no control group of this kind, or "max"
        return cores or 1
    return max(1, min(cores or 1, allowed))
