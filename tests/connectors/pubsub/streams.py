"""Runs a stream beside the test, and shows the test what reaches its end."""

from __future__ import annotations

import itertools
import threading
from collections import Counter

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.connectors.pubsub.source import PollMessages
from pipeline.runner.stopping import stop_signal

_numbers = itertools.count(1)
_streams = {}


class Stream:
    """A pipeline of sources and, behind each, the steps given and a step that collects blocks.

    Leave the ``with`` block to stop it; it fails if the pipeline did, or does not end.

    Args:
      reads: settings of PollMessages, for each source.
      step: called with every block, in the bundle; may wait or raise.
      sink: a transform behind the collected blocks.
    """

    def __init__(self, *reads, step=None, sink=None):
        self.blocks = []
        self._step = step
        self._changed = threading.Condition()
        self._error = None
        self._key = next(_numbers)
        _streams[self._key] = self
        self._pipeline = beam.Pipeline(FnApiRunner())
        for number, settings in enumerate(reads):
            read = PollMessages(**{"block_rows": 256, **settings})
            blocks = (
                self._pipeline
                | f"Read{number}" >> read
                | f"Collect{number}" >> beam.Map(_collect, self._key)
            )
            if sink is not None:
                _ = blocks | f"Sink{number}" >> sink
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        stop_signal.clear()  # an earlier stream of this process leaves it set
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        stop_signal.set()
        self._thread.join(timeout=60)
        stop_signal.clear()
        assert not self._thread.is_alive(), "the pipeline did not end"
        if kind is None:
            self._raise_error()

    def wait_for(self, messages, timeout=30):
        """Waits until so many messages have arrived."""

        def arrived():
            return self._error or self.count() >= messages

        with self._changed:
            assert self._changed.wait_for(arrived, timeout), f"{self.count()} of {messages} came"
        self._raise_error()

    def wait_for_end(self, timeout=30):
        """Waits until the pipeline has ended by itself."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "the pipeline did not end"

    def count(self):
        return sum(len(block.payloads) for block in self.blocks)

    def payloads(self):
        """How often each payload has arrived."""
        return Counter(payload for block in self.blocks for payload in block.payloads)

    def collect(self, block):
        if self._step is not None:
            self._step(block)
        with self._changed:
            self.blocks.append(block)
            self._changed.notify_all()
        return block

    def _raise_error(self):
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self):
        try:
            self._pipeline.run().wait_until_finish()
        except BaseException as error:
            self._error = error
        with self._changed:
            self._changed.notify_all()


def _collect(block, key):
    return _streams[key].collect(block)


def numbered(n, start=0):
    return [b"%d" % i for i in range(start, start + n)]
