"""Runs a command as a user would: how long it took, what it wrote when, how much memory it held."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_INTERVAL_SECS = 0.2
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
      secs: from starting the process to its end.
      peak_bytes: most resident memory at one time, summed over the process and its children;
        looked at every 0.2 s. A library that two of them share counts twice.
      growth: how its output grew, looked at as often: seconds since the start, bytes.
    """

    secs: float
    peak_bytes: int
    growth: tuple[tuple[float, int], ...] = ()


class FailedError(Exception):
    """A command ended with another status than 0; the message shows the end of its output."""


def run(command: Sequence[str], output_folder: Path | None = None) -> Run:
    """Runs a command to its end.

    Args:
      command: what to run.
      output_folder: where it writes; its growth is watched.

    Raises:
      FailedError: it failed.
    """
    peak_bytes = 0
    growth: list[tuple[float, int]] = []
    ended = threading.Event()
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )

        def look() -> None:
            if output_folder is not None:
                growth.append((time.perf_counter() - started, bytes_in(output_folder)))

        def watch() -> None:
            nonlocal peak_bytes
            while not ended.wait(_INTERVAL_SECS):
                peak_bytes = max(peak_bytes, resident_bytes(session=process.pid))
                look()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            status = process.wait()
            secs = time.perf_counter() - started
        finally:
            ended.set()
            watcher.join()
            look()
            if process.returncode is None:  # interrupted; Ctrl-C does not reach its session
                os.killpg(process.pid, signal.SIGTERM)
        if status:
            output.seek(0)
            tail = b"\n".join(output.read().splitlines()[-20:]).decode(errors="replace")
            raise FailedError(f"{' '.join(command)}\nended with status {status}:\n{tail}")
    return Run(secs, peak_bytes, tuple(growth))


def bytes_in(folder: Path) -> int:
    """The size of all files in a folder and the folders in it, now."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # it has just got its final name
                size += Path(place, name).stat().st_size
    return size


def resident_bytes(session: int) -> int:
    """Resident memory of all processes of a session, now."""
    pages = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        # See proc(5). The name, in parentheses, may hold anything, so fields count from behind it.
        fields = stat.rpartition(")")[2].split()
        if int(fields[3]) == session:
            pages += int(fields[21])
    return pages * _PAGE_BYTES
