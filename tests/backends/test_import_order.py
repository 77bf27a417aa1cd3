"""Frameworks live in one process, in whatever order they come into it."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.backends import import_order
from tests.backends import framework_imports

ROOT = Path(__file__).parents[2]
NAMES = [call.__name__ for call in framework_imports.EVERY]


def orders(names):
    """As many orders as names: each name is first once, each right behind each other one once.

    After Williams (1949): 0, 1, -1, 2, -2... of an even number of names, shifted.
    """
    zigzag = [-(i // 2) if i % 2 == 0 else i // 2 + 1 for i in range(len(names))]
    return [[names[(z + shift) % len(names)] for z in zigzag] for shift in range(len(names))]


def run(code, *args):
    command = [sys.executable, *code, *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_each_framework_comes_right_behind_each_other_one_in_some_order():
    pairs = [pair for order in orders(NAMES) for pair in itertools.pairwise(order)]
    assert len(set(pairs)) == len(pairs) == len(NAMES) * (len(NAMES) - 1)


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]], ids=["forward", "backward"])
def test_frameworks_compute_with_each_before_each_other_one(order):
    check(order)


@pytest.mark.long
@pytest.mark.parametrize("order", orders(NAMES), ids=lambda order: f"{order[0]}_first")
def test_frameworks_compute_with_each_first_and_right_behind_each_other_one(order):
    check(order)


def check(order):
    done = run(["-m", "tests.backends.framework_imports"], *order)
    assert done.returncode == 0, f"after {done.stdout.split()}: {done.stderr}"
    assert done.stdout.split() == order * 2


def test_what_must_come_before_a_package_is_imported_with_it_and_only_with_it(tmp_path):
    for name in ("big", "before", "broken"):
        (tmp_path / f"{name}.py").write_text(f"print('{name}')\n")
    (tmp_path / "broken.py").write_text("raise RuntimeError('not for this machine')\n")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pipeline.backends import import_order\n"
        "import_order.BEFORE['big'] = ('missing', 'broken', 'before')\n"
        "import_order.keep_import_order()\n"
        "print('kept'); import json; import big; import big\n"
    )
    assert run(["-c", program]).stdout.split() == ["kept", "before", "big"]


def test_keeping_the_order_twice_costs_nothing_more():
    import_order.keep_import_order()
    before = list(sys.meta_path)
    import_order.keep_import_order()
    assert sys.meta_path == before
