"""A child process under limits: of time, of memory, and of what it may drag down with it.

Its memory is looked at from here, as resident pages: TensorFlow and PyTorch alone map more than
4 GB of addresses, so a limit of the address space says nothing. CPU time is limited by the kernel
(setrlimit(2)), which no loop in native code can put off. When memory is short, the kernel ends this
process before any other (proc(5), oom_score_adj); it ends with its parent (prctl(2)).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pipeline.backends.reasons import cut
from pipeline.serving.trial import machine_memory

_LOOK_SECS = 0.05
_WALL_FACTOR = 10
_NICE = 5
"""Those who serve on the same cores come first."""
_PARENT_DEATH_SIGNAL = 1
_LEFT_SHARE = 15 / 16
"""Of the memory that the machine has left, what a process may take."""
_FILE_BYTES = 1 << 30
_READ_BYTES = 4096
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Limits:
    """What a process may take.

    Attributes:
      cpu_secs: seconds of all its threads together; ten times that by the clock.
      memory_bytes: most resident memory; never more than the machine has left when it starts.
    """

    cpu_secs: int
    memory_bytes: int


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
      reason: what ended it, as in "was ended by SIGSEGV"; None where it exited with 0.
      by_chance: the reason may be the machine's state, so that another try may go well.
      by_machine: the reason surely is that: it had too little memory left.
      said: the end of what it printed, in one line; empty where that is nothing.
    """

    reason: str | None
    by_chance: bool
    by_machine: bool
    said: str


def confine(cpu_secs: int) -> None:
    """Puts this process under the limits that the kernel keeps. Called by the child itself."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = cpu_secs if hard == resource.RLIM_INFINITY else min(cpu_secs, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    os.nice(_NICE)
    with suppress(OSError):  # not everybody may, in a sandbox
        Path("/proc/self/oom_score_adj").write_text("1000")


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    output: Path,
    limits: Limits,
    look: Callable[[], None] = lambda: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Ended:
    """Runs a process to its end, or ends it and what it started.

    Args:
      command: runs it. It must call `confine`.
      environment: its variables.
      output: a new file for what it prints.
      limits: what it may take.
      look: called some times a second meanwhile.
      cancelled: asked as often; once it is so, the process is ended.

    Raises:
      OSError: it cannot be started.
    """
    began, peak = time.monotonic(), 0
    left = machine_memory.left_bytes()
    with output.open("w+b") as file:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            end = None
            while end is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_SECS)
                    break
                look()
                peak = max(peak, resident_bytes(process.pid))
                secs = time.monotonic() - began
                end = _Cause("was given up, since the job ends") if cancelled() else None
                end = end or _excess(limits, left, peak, secs)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        # By this descriptor: the process may have put something else in the place of the file.
        said = _last_line(file)
    look()
    end = end or _cause(process.returncode, limits)
    return Ended(end.reason, end.by_chance, end.by_machine, said)


class _Cause(NamedTuple):
    """See Ended."""

    reason: str | None
    by_chance: bool = False
    by_machine: bool = False


def _excess(limits: Limits, left_bytes: float, peak_bytes: int, secs: float) -> _Cause | None:
    """Which limit a process is beyond that is kept from here."""
    if peak_bytes > limits.memory_bytes:
        return _Cause(f"took more than {limits.memory_bytes >> 20:,} MiB of memory")
    # At the very end of what is left, the kernel would end it, and this process has no room, too.
    if peak_bytes > left_bytes * _LEFT_SHARE:
        left_mb = int(left_bytes) >> 20
        reason = f"took most of the {left_mb:,} MiB of memory that this machine had left"
        return _Cause(reason, by_chance=True, by_machine=True)
    if secs > limits.cpu_secs * _WALL_FACTOR:
        return _Cause(f"took more than {limits.cpu_secs * _WALL_FACTOR:,} s", by_chance=True)
    return None


def _cause(status: int, limits: Limits) -> _Cause:
    """What ended a process by itself, or by the kernel."""
    if status == 0:
        return _Cause(None)
    if status > 0:
        return _Cause(f"ended with exit status {status}")
    if -status == signal.SIGXCPU:
        return _Cause(f"took more than {limits.cpu_secs:,} s of CPU time", by_chance=True)
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    return _Cause(f"was ended by {name}", by_chance=-status == signal.SIGKILL)


def resident_bytes(pid: int) -> int:
    """The resident memory of a process; 0 where it has ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * resource.getpagesize()


def _last_line(file: BinaryIO) -> str:
    file.seek(max(file.seek(0, os.SEEK_END) - _READ_BYTES, 0))
    text = file.read(_READ_BYTES).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = lines[-1] if lines else ""
    return cut("".join(c if c.isprintable() else " " for c in said), _SHOWN_CHARACTERS)
