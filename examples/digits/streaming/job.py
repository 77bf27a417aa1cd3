"""main.py in a process of its own, as a user starts it: here, or in a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[3]
_STOP_SECS = 60


class JobError(Exception):
    """The job ended, or does not end; the message shows the end of its log."""


class Job:
    """A running main.py. Ends with the ``with`` block, whatever happens in it.

    Args:
      arguments: of main.py.
      log: where its output goes; the folder that holds it is what a container sees of the disk.
      image: of the container that main.py runs in; None for this machine's Python.
    """

    def __init__(self, arguments: Sequence[str], log: Path, image: str | None = None) -> None:
        self._log = log
        self._container = f"ensemble-demo-{os.getpid()}" if image else None
        self._said_bytes = 0
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*self._python(image), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
                # Ctrl-C is for the demo, which then stops the job by itself.
                start_new_session=True,
            )

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            if self._container:  # which the client alone does not take along
                subprocess.run(["docker", "rm", "--force", self._container], capture_output=True)

    def _python(self, image: str | None) -> list[str]:
        """What stands before the arguments of main.py."""
        if image is None:
            return [sys.executable, str(ROOT / "main.py")]
        folder = self._log.parent
        return [
            *("docker", "run", "--rm", f"--name={self._container}", "--network=host"),
            *(f"--user={os.getuid()}:{os.getgid()}", f"--volume={folder}:{folder}"),
            *("--env=PUBSUB_EMULATOR_HOST", "--env=TF_CPP_MIN_LOG_LEVEL"),
            *("--entrypoint=python", image, "/template/main.py"),
        ]

    def said(self) -> list[str]:
        """The whole lines of its log since the last call."""
        with self._log.open("rb") as file:
            file.seek(self._said_bytes)
            content = file.read()
        content = content[: content.rfind(b"\n") + 1]
        self._said_bytes += len(content)
        return content.decode(errors="replace").splitlines()

    def check(self) -> None:
        """Makes sure that it runs.

        Raises:
          JobError: it does not.
        """
        if self._process.poll() is not None:
            raise JobError(f"main.py ended with status {self._process.returncode}{self._log_end()}")

    def stop(self) -> None:
        """Asks it to stop, as a service manager would, and waits until it has finished its work.

        Raises:
          JobError: it does not end in time, or with another status than 0.
        """
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(timeout=_STOP_SECS)
        except subprocess.TimeoutExpired:
            raise JobError(
                f"main.py goes on {_STOP_SECS} s after SIGTERM{self._log_end()}"
            ) from None
        if status != 0:
            raise JobError(f"main.py stopped with status {status}, expected 0{self._log_end()}")

    def _log_end(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-15:]
        return "\n".join([f"; the end of {self._log}:", *lines])
