"""The stream of a soak: main.py in a process of its own, and what it uses of the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_LOOK_SECS = 1.0


class Job:
    """A streaming job that is started, stopped, paused and killed, always on the same folder.

    Args:
      arguments: of main.py.
      environ: more variables of its environment.
      folder: has its log, and its temporary and cached files.
    """

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
        self._command = [sys.executable, "main.py", *arguments]
        self._own = folder / "own"
        self._own.mkdir(parents=True)
        self._log_path = folder / "log.txt"
        self._log_path.touch()
        own = {"TMPDIR": str(self._own), "XDG_CACHE_HOME": str(self._own)}
        self._environ = {**os.environ, **environ, **own}
        self.uses: list[list[Use]] = []

    def start(self) -> None:
        """Starts it."""
        with self._log_path.open("a") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=_ROOT,
                env=self._environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.uses.append([])
        self._watch = threading.Thread(target=self._look_at, args=(self._process, self.uses[-1]))
        self._watch.start()

    def stop(self) -> int:
        """Asks it to end; returns its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._ended(90)

    def kill(self) -> None:
        """Ends it and its children at once."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._ended(10)

    def pause(self, secs: float) -> None:
        """Takes the processor away from it for a while."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        threading.Event().wait(secs)
        os.killpg(self._process.pid, signal.SIGCONT)

    def check(self) -> None:
        """Fails if it has ended."""
        assert self._process.poll() is None, f"the job ended:\n{self.log()[-3000:]}"

    def log(self) -> str:
        """Everything that it has logged."""
        return self._log_path.read_text()

    def close(self) -> None:
        """Leaves nothing running."""
        if self._process.poll() is None:
            self.kill()

    def _ended(self, secs: float) -> int:
        status = self._process.wait(timeout=secs)
        self._watch.join()
        return status

    def _look_at(self, process: subprocess.Popen[bytes], uses: list[Use]) -> None:
        while process.poll() is None:
            if (use := Use.of(process.pid, self._own)) is not None:
                uses.append(use)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_SECS)


class Use:
    """What a process uses at one moment.

    Attributes:
      memory_mb: resident, of the process alone.
      threads: of the process.
      files: that it has open.
      disk_mb: its temporary and cached files.
    """

    def __init__(self, memory_mb: float, threads: float, files: float, disk_mb: float) -> None:
        self.memory_mb = memory_mb
        self.threads = threads
        self.files = files
        self.disk_mb = disk_mb

    @classmethod
    def of(cls, pid: int, folder: Path) -> Use | None:
        """What it uses now; None if it has just ended."""
        try:
            status = dict(
                line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            )
            return cls(
                int(status["VmRSS"].split()[0]) / 1024,
                int(status["Threads"]),
                len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208
                _size_of(folder) / 1e6,
            )
        except (OSError, KeyError):
            return None


def _size_of(folder: Path) -> int:
    size = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(where, name)).st_size  # noqa: PTH118
            except OSError:
                continue  # it has just been removed
    return size


_ENOUGH = 240
"""Looks at one process, before its use says whether it grows: its first minutes always do."""
_MOST_GROWTH = {
    "memory_mb": (0.10, 30.0),
    "threads": (0.10, 5),
    "files": (0.10, 10),
    "disk_mb": (0.25, 5),
}
"""What -> share and amount by which the last quarter of a process may be above the second."""


def growth_of(uses: Sequence[Use]) -> list[str]:
    """What of a process grew with time; nothing if it was not looked at for long enough."""
    if len(uses) < _ENOUGH:
        return []
    quarter = len(uses) // 4
    found = []
    for what, (share, amount) in _MOST_GROWTH.items():
        values = [getattr(use, what) for use in uses]
        early = sorted(values[quarter : 2 * quarter])[quarter // 2]
        late = sorted(values[-quarter:])[quarter // 2]
        if late > early * (1 + share) + amount:
            found.append(f"{what} grew from {early:.0f} to {late:.0f} in {len(uses)} looks")
    return found
