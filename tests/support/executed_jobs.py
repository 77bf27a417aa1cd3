"""Launches executed here: main.py with the same parameters, on Prism, with our own sources."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.connectors.storage.log_files import LogFiles
from pipeline.releases.gate import utc_now
from pipeline.releases.orders.jobs import JobFolder
from tests.support.dataflow_service import Body

_ROOT = Path(__file__).parents[2]
_STOP_SECS = 120


class PrismExecution:
    """See Execution. One process of main.py, whose workers are threads of it.

    Where the service would drain or update a stream, it gets the mark in its release folder.

    Args:
      launch: the ``launchParameter`` of a request.
      log: where its output goes.
      runner: options of the runner.
    """

    def __init__(self, launch: Body, log: Path, runner: Sequence[str]) -> None:
        parameters = launch["parameters"]
        self._release_dir = parameters.get("release_dir")
        self._log = log
        self._end = "JOB_STATE_DONE"
        options = [f"--{name}={value}" for name, value in parameters.items()]
        if self._release_dir:
            options.append("--release_poll_secs=1")
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(_ROOT / "main.py"), *options, *runner],
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
                start_new_session=True,  # Ctrl-C is for the test
            )

    def state(self) -> str:
        """See Execution."""
        status = self._process.poll()
        if status is None:
            streams = "streaming through" in self._text() or not self._release_dir
            return "JOB_STATE_RUNNING" if streams else "JOB_STATE_QUEUED"
        return (
            self._end if status == 0 or self._end == "JOB_STATE_CANCELLED" else "JOB_STATE_FAILED"
        )

    def stop(self, state: str) -> None:
        """See Execution."""
        assert self._release_dir, "only streams are drained or updated"
        self._end = state
        jobs = JobFolder(self._release_dir, LogFiles())
        for job_id in jobs.running():
            jobs.stop(job_id, "the stand-in for the service", utc_now())
        self._process.wait(timeout=_STOP_SECS)

    def kill(self) -> None:
        """See Execution."""
        if self._process.poll() is None:
            self._end = "JOB_STATE_CANCELLED"
            os.killpg(self._process.pid, signal.SIGKILL)  # Prism is its child
            self._process.wait()

    def last_words(self) -> str:
        """See Execution."""
        return " | ".join(self._text().splitlines()[-3:])

    def _text(self) -> str:
        return self._log.read_text(errors="replace")


class IdleExecution:
    """See Execution. Does nothing.

    Args:
      begins: the state in which it is until somebody ends it.
    """

    def __init__(self, begins: str = "JOB_STATE_RUNNING") -> None:
        self._state = begins

    def state(self) -> str:
        """See Execution."""
        return self._state

    def stop(self, state: str) -> None:
        """See Execution."""
        self._state = state

    def kill(self) -> None:
        """See Execution."""
        if self._state in {"JOB_STATE_RUNNING", "JOB_STATE_QUEUED"}:
            self._state = "JOB_STATE_CANCELLED"

    def last_words(self) -> str:
        """See Execution."""
        return "nothing was done"
