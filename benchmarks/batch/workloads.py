"""The workloads by name, for command lines."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from benchmarks.batch.table.workload import Table
from benchmarks.batch.vectors.workload import Vectors
from benchmarks.batch.workload import Workload

WORKLOADS: Mapping[str, type[Workload]] = {kind.name: kind for kind in (Vectors, Table)}


def add_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--workload``, one of the names."""
    parser.add_argument("--workload", choices=WORKLOADS, default=Vectors.name)
