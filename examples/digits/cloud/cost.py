"""What a run costs, at list prices: the most before it starts, an estimate while it runs.

Source: https://cloud.google.com/dataflow/pricing, the rates of us-central1 in USD. Other regions
cost up to a half more, which the bound includes. Pub/Sub, storage and logs of so few records are
cents, which it does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloud.dataflow import CLEAN_UP_MINUTES, Metrics

USD_PER_VCPU_HOUR = {"batch": 0.056, "stream": 0.069}
USD_PER_GIB_HOUR = 0.003557
USD_PER_DISK_GB_HOUR = 0.000054
USD_PER_STREAMED_GB = 0.018
DEAREST_REGION = 1.5

_DISK_GB = 30


@dataclass(frozen=True)
class Machine:
    """A machine type: its virtual CPUs and its memory."""

    name: str
    vcpus: int
    gib: float

    def usd_per_hour(self, kind: str) -> float:
        """As a worker of a "batch" or "stream" job."""
        memory = self.gib * USD_PER_GIB_HOUR
        return self.vcpus * USD_PER_VCPU_HOUR[kind] + memory + _DISK_GB * USD_PER_DISK_GB_HOUR


def most_usd(worker: Machine, launcher: Machine, max_workers: int, minutes: float) -> float:
    """The most that a run can cost: all workers of both jobs and all launchers to the end."""
    jobs = max_workers * (worker.usd_per_hour("batch") + worker.usd_per_hour("stream"))
    launchers = 4 * launcher.usd_per_hour("stream")  # batch, stream, check, update
    return (jobs + launchers) * (minutes + CLEAN_UP_MINUTES) / 60 * DEAREST_REGION


def job_usd(kind: str, metrics: Metrics) -> float:
    """What a job has cost by its metrics.

    Args:
      kind: "batch" or "stream".
      metrics: with TotalVcpuTime (s), TotalMemoryUsage (MB s), TotalPdUsage (GB s), and
        TotalStreamingDataProcessed (GB) of a stream.
    """
    used = metrics.scalars
    return (
        metrics.vcpu_hours * USD_PER_VCPU_HOUR[kind]
        + used.get("TotalMemoryUsage", 0.0) / 1024 / 3600 * USD_PER_GIB_HOUR
        + used.get("TotalPdUsage", 0.0) / 3600 * USD_PER_DISK_GB_HOUR
        + used.get("TotalStreamingDataProcessed", 0.0) * USD_PER_STREAMED_GB
    )
