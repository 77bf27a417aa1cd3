"""The memory that a process may still take: what the machine has left, or the container it is in.

Linux only: proc(5), and the memory controllers of cgroups, version 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class _Controller(NamedTuple):
    """The files of one version.

    Attributes:
      mount: of the hierarchy, below the root of the file system.
      limit, usage: bytes; a limit may also be a word, for none.
      given_back: the lines of ``memory.stat`` with what is counted, but given back when needed.
    """

    mount: str
    limit: str
    usage: str
    given_back: tuple[str, ...]


_V1 = _Controller(
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)
_V2 = _Controller("sys/fs/cgroup", "memory.max", "memory.current", ("inactive_file", "active_file"))


def left_bytes(root: Path = Path("/")) -> float:
    """The least of what the machine has available and what each enclosing cgroup may still take.

    Args:
      root: of the file system.

    Returns:
      bytes; infinity where nothing tells.
    """
    return max(min([_available(root), *_left_in_cgroups(root)]), 0)


def _available(root: Path) -> float:
    with suppress(OSError, ValueError, LookupError):
        return _numbers(root / "proc/meminfo")["MemAvailable:"] * 1024
    return math.inf


def _left_in_cgroups(root: Path) -> Iterator[float]:
    """What the cgroups of this process may still take, those around them included."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            controller = _V1 if controllers else _V2
            mount = root / controller.mount
            # A container may see the names that the machine has for it, but only its own files.
            own = mount / path.strip("/")
            for folder in (own, *(above for above in own.parents if above.is_relative_to(mount))):
                yield _left_in(folder, controller)


def _left_in(folder: Path, controller: _Controller) -> float:
    try:
        limit = int((folder / controller.limit).read_text())
        usage = int((folder / controller.usage).read_text())
        counted = _numbers(folder / "memory.stat")
    except (OSError, ValueError):  # no such folder, no limit
        return math.inf
    return limit - usage + sum(counted.get(name, 0) for name in controller.given_back)


def _numbers(file: Path) -> dict[str, int]:
    """The numbers of lines such as ``MemAvailable:  2048 kB``, by their first words."""
    words = (line.split() for line in file.read_text().splitlines())
    return {line[0]: int(line[1]) for line in words if len(line) > 1}
