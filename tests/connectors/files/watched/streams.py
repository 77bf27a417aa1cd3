"""Runs a stream over a folder beside the test, and shows the test what it read."""

import contextlib
import os
import threading
from collections import Counter
from functools import partial
from pathlib import Path

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.connectors.files.watched.listing import list_files
from pipeline.connectors.files.watched.source import ReadNewFiles
from tests.support.waiting import wait_until

INTERVAL_SECS = 0.02
OLD = 1_700_000_000


def numbered(n):
    return b"".join(b'{"id": %d}\n' % i for i in range(n))


def place(path, content, modified=OLD):
    """Puts a file there at once, as writers should."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(content)
    os.utime(temporary, (modified, modified))
    temporary.rename(path)


class Stream:
    """A pipeline that runs until `stop`; what it reads is in `blocks`."""

    def __init__(self):
        self.blocks = []
        self.stop = False
        self.on_block = lambda block: None
        self.on_bundle_end = lambda: None
        self._changed = threading.Condition()

    def receive(self, block):
        self.on_block(block)
        with self._changed:
            self.blocks.append(block)
            self._changed.notify_all()

    @property
    def lines(self):
        return [line for block in self.blocks for line in block.payloads]

    def wait(self, condition, secs=30):
        with self._changed:
            assert self._changed.wait_for(condition, secs), f"waited in vain; got {self.blocks}"

    def wait_for_lines(self, *lines):
        """Until exactly these lines came."""
        self.wait(lambda: len(self.lines) >= len(lines))
        assert Counter(self.lines) == Counter(lines)


streams = {}


class Receive(beam.DoFn):
    def __init__(self, key):
        self.key = key

    def process(self, block):
        streams[self.key].receive(block)

    def finish_bundle(self):
        streams[self.key].on_bundle_end()


def is_stopped(key):
    return streams[key].stop


@contextlib.contextmanager
def reading(pattern, *, interval_secs=INTERVAL_SECS, **kwargs):
    """Runs the source in a pipeline, until the end of the block stops it."""
    key = len(streams)
    stream = streams[key] = Stream()
    failures = []

    def run():
        try:
            with beam.Pipeline(FnApiRunner()) as pipeline:
                source = ReadNewFiles(
                    str(pattern),
                    interval_secs=interval_secs,
                    stopped=partial(is_stopped, key),
                    **kwargs,
                )
                _ = pipeline | source | beam.ParDo(Receive(key))
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield stream
    finally:
        stream.stop = True
        thread.join(20)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


class Looks:
    """Counts how often folders are looked at."""

    def __init__(self):
        self._count = 0

    def __call__(self, pattern):
        self._count += 1
        return list_files(pattern)

    def wait_for(self, more):
        target = self._count + more
        wait_until(lambda: self._count >= target)
