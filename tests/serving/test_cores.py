"""Threads are counted by what the process may use, not by what the machine has."""

import os
import subprocess
import sys

import pytest

from pipeline.serving.cores import usable_cores

MACHINE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000\n", MACHINE),
        ("50000 100000\n", 1),
        ("100000 100000\n", 1),
        ("10000000 100000\n", MACHINE),
        ("nonsense", MACHINE),
    ],
)
def test_quota_of_the_container_counts_where_there_is_one(quota, cores, tmp_path):
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores(tmp_path / "cpu.max") == cores
    assert usable_cores(tmp_path / "absent") == MACHINE


def test_cpu_set_counts():
    first = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, [{first}]);"
        "from pipeline.serving.cores import usable_cores; print(usable_cores())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "1"
