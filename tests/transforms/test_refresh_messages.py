from dataclasses import replace
from datetime import UTC, datetime

import apache_beam as beam
import pytest
from apache_beam.metrics import MetricsFilter
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from pipeline.batch.block import Block, Origin
from pipeline.connectors.storage.listing import StorageLister
from pipeline.releases.candidate import Candidate
from pipeline.releases.versions import WatchTarget
from pipeline.releases.watcher import WatcherHandle
from pipeline.transforms.gate import EVENTS
from pipeline.transforms.refresh_messages import (
    BundleLookout,
    CandidatesFromMessages,
    WatcherLookout,
)
from pipeline.transforms.watch import WatchModels

SOURCE = "projects/p/subscriptions/refresh"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def clock():
    return NOW


def block(*messages):
    """Messages are payloads, or the URIs of objects that appeared."""
    payloads, origins = [], []
    for time_us, message in enumerate(messages):
        attributes = {}
        if isinstance(message, str):
            bucket, _, name = message.removeprefix("gs://").partition("/")
            attributes = {"eventType": "OBJECT_FINALIZE", "bucketId": bucket, "objectId": name}
        payloads.append(b"" if attributes else message)
        origins.append(Origin(time_us, attributes))
    return Block(tuple(payloads), SOURCE, origins=tuple(origins))


def undecided(candidate):
    return False


@pytest.fixture
def handle(bucket, job_key):
    target = WatchTarget(f"{bucket}/clf/*", ("clf",))
    return WatcherHandle(
        job_key, (target,), StorageLister(), undecided, interval_secs=0.02, periodic=False
    )


def look_in_bundle(handle, *messages):
    """(candidates, events) that the step makes of one block."""
    step = CandidatesFromMessages(["clf"], BundleLookout(handle), clock=clock)
    found = list(step.process(block(*messages)))
    events = [output.value for output in found if isinstance(output, beam.pvalue.TaggedOutput)]
    return [output for output in found if isinstance(output, Candidate)], events


def test_good_messages_become_candidates_and_bad_ones_release_events(handle):
    messages = (b'{"models": {"clf": "gs://b/7"}}', b'{"model": {}}', "gs://elsewhere/x")
    pipeline = beam.Pipeline(FnApiRunner())
    step = CandidatesFromMessages(["clf"], WatcherLookout(handle), clock=clock)
    found = (
        pipeline
        | beam.Create([block(*messages)])
        | beam.ParDo(step).with_outputs(EVENTS, main="candidates")
    )
    assert_that(
        found["candidates"] | beam.Map(lambda candidate: dict(candidate.models)),
        equal_to([{"clf": "gs://b/7"}]),
        label="candidates",
    )
    pattern = handle.targets[0].pattern
    assert_that(
        found[EVENTS] | beam.Map(lambda event: event.line()),
        equal_to(
            [
                b'{"event":"rejected","time":"2026-01-01T00:00:00.000Z",'
                b"\"reason\":\"unknown key 'model'; did you mean 'models'?\","
                b'"source":"event projects/p/subscriptions/refresh",'
                b'"message":"\'{\\"model\\": {}}\'"}\n',
                b'{"event":"ignored","time":"2026-01-01T00:00:00.000Z",'
                b'"reason":"gs://elsewhere/x is not under any watched pattern '
                b"(" + pattern.encode() + b')",'
                b'"source":"event projects/p/subscriptions/refresh"}\n',
            ]
        ),
        label="events",
    )
    result = pipeline.run()
    counters = result.metrics().query(MetricsFilter().with_namespace("ensemble"))["counters"]
    assert {c.key.metric.name: c.result for c in counters} == {
        "refresh_messages": 3,
        "refresh_messages_refused": 1,
        "refresh_messages_ignored": 1,
    }


def test_notification_makes_the_process_watcher_look(gcs, bucket, handle, running, stop):
    gcs.upload(f"{bucket}/clf/10/model.onnx", b"model")
    messages = [block(f"{bucket}/clf/10/model.onnx")]
    step = CandidatesFromMessages(["clf"], WatcherLookout(handle))
    with running(
        lambda pipeline: pipeline | WatchModels(handle, stop),
        lambda pipeline: pipeline | beam.Create(messages) | beam.ParDo(step),
    ) as take:
        assert take().models == {"clf": f"{bucket}/clf/10"}


def test_redropped_old_version_proposes_the_newest(gcs, bucket, handle):
    for number in (10, 9):
        gcs.upload(f"{bucket}/clf/{number}.onnx", b"model")
    candidates, events = look_in_bundle(handle, f"{bucket}/clf/9.onnx")
    assert ([c.models["clf"] for c in candidates], events) == ([f"{bucket}/clf/10.onnx"], [])


def test_look_in_the_bundle_waits_until_a_folder_is_complete(gcs, bucket, handle):
    for name in ("saved_model.pb", "variables/data"):
        gcs.upload(f"{bucket}/clf/8/{name}", b"x")
    names = [f"{bucket}/clf/8/saved_model.pb", f"{bucket}/clf/8/variables/data"]
    candidates, events = look_in_bundle(handle, *names)
    assert ([c.models["clf"] for c in candidates], events) == ([f"{bucket}/clf/8"], [])


class CountingLister(StorageLister):
    calls = 0

    def list_files(self, pattern, rule=None):
        type(self).calls += 1
        return super().list_files(pattern, rule)


def test_look_in_the_bundle_remembers_what_is_complete(gcs, bucket, handle):
    gcs.upload(f"{bucket}/clf/8/model.onnx", b"x")
    handle = replace(handle, lister=CountingLister())
    step = CandidatesFromMessages(["clf"], BundleLookout(handle))
    message = block(f"{bucket}/clf/8/model.onnx")
    first, second = list(step.process(message)), list(step.process(message))
    assert [c.models["clf"] for c in first] == [f"{bucket}/clf/8"]
    assert first == second  # the first may have been lost with its bundle
    assert CountingLister.calls == 3


def test_look_that_fails_says_why_and_goes_on(handle):
    missing = replace(handle, targets=(WatchTarget("gs://no-such/clf/*", ("clf",)),))
    candidates, events = look_in_bundle(missing, "gs://no-such/clf/8.onnx")
    assert candidates == []
    (event,) = events
    assert event.outcome == "rejected"
    assert event.reason == (
        "cannot look under gs://no-such/clf/*: gs://no-such/clf/* cannot be listed: "
        "bucket 'no-such' does not exist"
    )
