"""What a process may still take: of the machine, and of the containers around it."""

import math
from pathlib import Path

import pytest

from pipeline.serving.trial.machine_memory import left_bytes

MIB = 1 << 20
UNLIMITED_V1 = 9223372036854771712


class Machine:
    """Files as the kernel shows them."""

    def __init__(self, root: Path):
        self.root = root

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def available(self, mib):
        self.write("proc/meminfo", f"MemTotal: 99999999 kB\nMemAvailable: {mib * 1024} kB")

    def in_v2(self, path):
        self.write("proc/self/cgroup", f"0::{path}")

    def in_v1(self, path):
        self.write("proc/self/cgroup", f"5:cpu,cpuacct:/x\n4:memory:{path}\n0::/")

    def limit_v2(self, folder, limit, usage, inactive=0, active=0):
        folder = f"sys/fs/cgroup/{folder}"
        self.write(f"{folder}/memory.max", limit if limit == "max" else limit * MIB)
        self.write(f"{folder}/memory.current", usage * MIB)
        stat = f"anon 5\ninactive_file {inactive * MIB}\nactive_file {active * MIB}"
        self.write(f"{folder}/memory.stat", stat)

    def limit_v1(self, folder, limit, usage, inactive=0):
        folder = f"sys/fs/cgroup/memory/{folder}"
        self.write(f"{folder}/memory.limit_in_bytes", limit)
        self.write(f"{folder}/memory.usage_in_bytes", usage * MIB)
        self.write(f"{folder}/memory.stat", f"cache 1\ntotal_inactive_file {inactive * MIB}")

    @property
    def left_mib(self):
        return left_bytes(self.root) / MIB


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    made.available(1000)
    return made


def test_without_limits_it_is_what_the_machine_has_available(machine):
    machine.in_v2("/")
    assert machine.left_mib == 1000


def test_nothing_is_limited_where_nothing_tells(tmp_path):
    assert left_bytes(tmp_path) == math.inf


def test_limit_of_a_group_counts_less_what_is_used_and_not_given_back(machine):
    machine.in_v2("/job")
    machine.limit_v2("job", 800, 500, inactive=150, active=50)
    assert machine.left_mib == 500


def test_limits_of_the_groups_around_count_too(machine):
    machine.in_v2("/slice/job")
    machine.limit_v2("slice/job", "max", 10)
    machine.limit_v2("slice", 600, 400)
    assert machine.left_mib == 200


def test_container_that_sees_the_names_of_the_machine_finds_its_own_files(machine):
    machine.in_v1("/docker/0123456789ab")
    machine.limit_v1(".", 700 * MIB, 400, inactive=100)
    assert machine.left_mib == 400


def test_number_that_stands_for_no_limit_is_none(machine):
    machine.in_v1("/")
    machine.limit_v1(".", UNLIMITED_V1, 400)
    assert machine.left_mib == 1000


def test_group_beyond_its_limit_leaves_nothing(machine):
    machine.in_v2("/")
    machine.limit_v2(".", 100, 120)
    assert machine.left_mib == 0


def test_this_machine_has_some_left():
    assert 0 < left_bytes() < math.inf
