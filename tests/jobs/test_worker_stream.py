"""Streams whose workers are other processes: how they are asked to end."""

import threading

from pipeline.errors import ArtifactError
from pipeline.jobs.engines import worker_stream
from pipeline.jobs.engines.worker_stream import stop_marked
from pipeline.runner import stopping


class Refusing:
    """A job whose release folder refuses the mark some times, and then takes it."""

    def __init__(self, times):
        self._left = times
        self.marked = threading.Event()

    def stop(self, by):
        if self._left:
            self._left -= 1
            raise ArtifactError("releases: permission denied")
        self.marked.set()


class Said:
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def test_mark_that_is_refused_is_said_once_with_the_ways_out_and_tried_again(monkeypatch):
    monkeypatch.setattr(worker_stream, "RETRY_SECS", 0.01)
    job, said = Refusing(3), Said()
    stopping.stop_signal.clear()
    try:
        with stop_marked(job, said):
            assert not job.marked.is_set()
            stopping.stop_all()
            assert job.marked.wait(20)
    finally:
        stopping.stop_signal.clear()
    (line,) = said.lines
    assert "permission denied" in line
    assert "python -m pipeline stop" in line
