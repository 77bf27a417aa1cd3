"""Starts Google's Pub/Sub emulator and ends it again. It keeps everything in memory."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

PROJECT = "digits-demo"
HOW_TO_GET_IT = """\
the Pub/Sub emulator is missing. It is part of the Google Cloud CLI and needs Java:
  1. the Google Cloud CLI: https://docs.cloud.google.com/sdk/docs/install
  2. gcloud components install beta pubsub-emulator
     (where the CLI is a Debian package: apt-get install google-cloud-cli-pubsub-emulator)
  3. Java, for example: apt-get install default-jre-headless
`make demo-streaming` shows the same without it."""

_START_SECS = 60
_STOP_SECS = 10


class EmulatorError(Exception):
    """There is no emulator; the message says why, and what to do."""


class Emulator:
    """A running emulator, also for clients of processes started meanwhile. Use it in ``with``.

    Args:
      folder: for its log and its settings.

    Raises:
      EmulatorError: it is not installed, or does not start.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("gcloud") is None or shutil.which("java") is None:
            raise EmulatorError(HOW_TO_GET_IT)
        self._log = folder / "emulator.log"
        data = folder / "emulator"
        data.mkdir()  # it keeps a settings file there, but does not make the folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *("gcloud", "beta", "emulators", "pubsub", "start", "--quiet"),
                    f"--host-port={self.address}",
                    f"--project={PROJECT}",
                    f"--data-dir={data}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "CLOUDSDK_CONFIG": str(folder / "gcloud")},
                # gcloud's end is not that of its child, the Java program: a group has both.
                start_new_session=True,
            )

    def __enter__(self) -> Emulator:
        try:
            self._wait_until_it_answers()
        except BaseException:
            self._stop()
            raise
        os.environ["PUBSUB_EMULATOR_HOST"] = self.address
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del os.environ["PUBSUB_EMULATOR_HOST"]
        self._stop()

    def _wait_until_it_answers(self) -> None:
        host, _, port = self.address.rpartition(":")
        give_up_at = time.monotonic() + _START_SECS
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                log = self._log.read_text(errors="replace")
                if "gcloud components install" in log or "apt-get install" in log:
                    raise EmulatorError(HOW_TO_GET_IT)
                raise EmulatorError(f"the Pub/Sub emulator does not answer:\n{log}")

    def _stop(self) -> None:
        for sent in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, sent)
                self._process.wait(timeout=_STOP_SECS)
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                pass  # all of the group have ended
            return
