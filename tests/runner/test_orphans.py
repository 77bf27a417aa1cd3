"""A job server as Beam starts it, and the end of the process that did."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
STARTS = """
import sys, threading
from apache_beam.utils.subprocess_server import SubprocessServer
from pipeline.runner.orphans import end_with_this_process
end_with_this_process()
server = SubprocessServer(None, sys.argv[1:])
process, _ = server.start_process()
print(process.pid, flush=True)
threading.Event().wait()
"""


def command_of(pid):
    """Of a process that runs; empty if it does not."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""


def ignored(pid):
    """The signals that a process ignores."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(status.split("SigIgn:")[1].split()[0], 16)
    return {one for one in signal.Signals if mask >> (one - 1) & 1}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell of a parent's end")
def test_job_server_ends_with_a_process_that_is_killed():
    command = [sys.executable, "-c", STARTS, "sleep", "1000"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        try:
            wait_until(lambda: command_of(pid) == "sleep")
            assert not ignored(pid) & {signal.SIGPIPE, signal.SIGXFSZ}  # as Python itself has it
            parent.send_signal(signal.SIGKILL)
            wait_until(lambda: not command_of(pid))
        finally:
            parent.kill()
            if command_of(pid) == "sleep":
                os.kill(pid, signal.SIGKILL)
