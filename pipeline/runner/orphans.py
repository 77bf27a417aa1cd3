"""Job servers that Beam starts as processes, Prism and Flink's: they end with this process.

Beam ends them itself where it ends in order. Where it is killed, they would stay, with their ports
open.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

# prctl(2): the kernel sends the signal when the thread that started the process is gone. It may be
# gone already. Python ignores two signals, and what it executes would inherit that.
_BOUND = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(ignored, signal.SIG_DFL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


def end_with_this_process() -> None:
    """Makes the job servers that Beam starts later end, however this process does. On Linux."""
    from apache_beam.utils import subprocess_server

    if sys.platform == "linux" and subprocess_server.subprocess is subprocess:
        namespace = {**vars(subprocess), "Popen": _start}
        subprocess_server.subprocess = SimpleNamespace(**namespace)


def _start(command: Sequence[str], **more: Any) -> subprocess.Popen[Any]:
    stays = threading.current_thread() is threading.main_thread()
    if not stays or not shutil.which(command[0]):  # what is not there fails with Popen's words
        return subprocess.Popen(command, **more)
    bound = [sys.executable, "-ISc", _BOUND, str(os.getpid()), *command]
    process = subprocess.Popen(bound, **more)
    process.args = command  # which Beam shows where it does not come up
    return process
