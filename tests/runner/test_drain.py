"""A job that is drained ends: every source of this project stops by itself.

On a drain a service truncates the restriction of each splittable DoFn. Beam's local runner does the
same with ``is_drain``, once and before the first poll, so what is drained here never polls.
"""

import uuid

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.connectors.files.watched.source import ReadNewFiles
from pipeline.connectors.pubsub.source import PollMessages
from pipeline.connectors.storage.listing import StorageLister
from pipeline.releases.versions import WatchTarget
from pipeline.releases.watcher import WatcherHandle
from pipeline.runner.ticks import Ticks
from pipeline.transforms.watch import WatchModels
from tests.support.waiting import in_thread


def never():
    return False


def watch(folder):
    target = WatchTarget(f"{folder}/clf/*", ("clf",))
    return WatchModels(WatcherHandle(uuid.uuid4().hex, (target,), StorageLister(), bool, 1), never)


def poll(folder):
    """Of a subscription that nobody made, and that nobody asks for."""
    return PollMessages(subscription="projects/p/subscriptions/none", block_rows=1)


SOURCES = {
    "ticks": lambda folder: Ticks(0.1, never),
    "watch": watch,
    "files": lambda folder: ReadNewFiles(f"{folder}/*.jsonl"),
    "messages": poll,
}


@pytest.mark.parametrize("source", SOURCES)
def test_source_ends_when_the_job_is_drained(source, tmp_path):
    def run():
        pipeline = beam.Pipeline(runner=FnApiRunner(is_drain=True))
        _ = pipeline | SOURCES[source](tmp_path)
        pipeline.run().wait_until_finish()

    in_thread(run, within_secs=60)
