"""Our own sources: one restriction, one coder, one way to be cut off."""

import pickle
from dataclasses import replace

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from hypothesis import given
from hypothesis import strategies as st

from pipeline.connectors.files.watched.source import ReadNewFiles
from pipeline.connectors.pubsub.source import PollMessages
from pipeline.connectors.storage.listing import StorageLister
from pipeline.releases.versions import WatchTarget
from pipeline.releases.watcher import WatcherHandle
from pipeline.runner.coders import FormCoder
from pipeline.runner.endless import Endless, ProgressTracker, SourceProgress, end
from pipeline.runner.stopping import stopped
from pipeline.runner.ticks import Ticks
from pipeline.transforms.watch import WatchModels

WATCHER = WatcherHandle("key", (WatchTarget("m/*", ("m",)),), StorageLister(), bool, 1)
SOURCES = {
    "ticks": lambda: Ticks(1, stopped),
    "watch": lambda: WatchModels(WATCHER, stopped),
    "files": lambda: ReadNewFiles("in/*"),
    "messages": lambda: PollMessages(subscription="projects/p/subscriptions/s", block_rows=1),
}
PROGRESS = st.builds(
    SourceProgress, st.binary(max_size=64), st.binary(max_size=16), st.integers(0, 2**53 - 1)
)


def restriction_coder(source):
    pipeline = beam.Pipeline(options=PipelineOptions(streaming=True))
    _ = pipeline | SOURCES[source]()
    proto, context = pipeline.to_runner_api(return_context=True)
    payloads = [
        beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload)
        for step in proto.components.transforms.values()
        if step.spec.urn == "beam:transform:pardo:v1"
    ]
    (found,) = [each.restriction_coder_id for each in payloads if each.restriction_coder_id]
    return context.coders.get_by_id(found)


@pytest.mark.parametrize("source", SOURCES)
def test_restriction_of_every_source_has_the_same_coder(source):
    coder = restriction_coder(source)
    assert coder == restriction_coder("ticks")
    progress, *_estimator = coder.coders()
    assert progress == FormCoder(SourceProgress)


@given(PROGRESS, st.booleans())
def test_progress_comes_back_from_its_bytes(progress, ended):
    progress = replace(progress, ended=ended)
    coder = Endless().restriction_coder()
    assert coder.decode(coder.encode(progress)) == progress
    assert pickle.loads(pickle.dumps(coder)) == coder


@given(PROGRESS)
def test_source_that_is_cut_off_goes_on_elsewhere_where_it_was(progress):
    tracker = ProgressTracker(SourceProgress())
    assert tracker.try_split(0.5) is None
    assert tracker.try_claim(progress)
    primary, residual = tracker.try_split(0)
    assert (primary, residual) == (replace(progress, ended=True), progress)
    assert not tracker.try_claim(replace(progress, blocks=progress.blocks + 1))
    assert not end(tracker)
    assert tracker.try_split(0) is None
    assert tracker.check_done()


def test_source_that_neither_ended_nor_was_deferred_is_a_fault():
    tracker = ProgressTracker(SourceProgress())
    with pytest.raises(ValueError, match="neither deferred nor ended"):
        tracker.check_done()
    assert end(tracker)
    assert tracker.check_done()
    assert tracker.try_split(0) is None
