"""Pub/Sub on Dataflow, as far as it can be seen from here."""

from datetime import UTC, datetime

import apache_beam as beam
import pytest
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.ptransform_overrides import get_dataflow_transform_overrides
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from pipeline.batch.block import Block, Origin
from pipeline.batch.message import Message
from pipeline.connectors.pubsub.sink import PublishByService
from pipeline.connectors.pubsub.source import BlockBundle, PollMessages, ReadByService

SUBSCRIPTION = "projects/test-project/subscriptions/in"
TOPIC = "projects/test-project/topics/out"


@pytest.mark.parametrize("source", [{"subscription": SUBSCRIPTION}, {"topic": TOPIC}])
def test_dataflow_reads_and_writes_by_itself_and_without_a_shuffle(source):
    options = PipelineOptions(["--streaming", "--runner=DataflowRunner"])
    pipeline = beam.Pipeline(FnApiRunner(), options=options)
    _ = (
        pipeline
        | ReadByService(**source, block_rows=100)
        | beam.Map(lambda block: (Message(block.payloads[0]),))
        | PublishByService(TOPIC)
    )
    pipeline.replace_all(get_dataflow_transform_overrides(options))
    transforms = pipeline.to_runner_api().components.transforms.values()
    found = {each.spec.urn for each in transforms}
    assert {"beam:transform:pubsub_read:v1", "beam:transform:pubsub_write:v1"} <= found
    assert not {"beam:transform:group_by_key:v1", "beam:transform:reshuffle:v1"} & found


def test_attributes_with_id_and_time_are_told_to_the_service():
    options = PipelineOptions(["--streaming", "--runner=DataflowRunner"])
    pipeline = beam.Pipeline(FnApiRunner(), options=options)
    attributes = {"id_label": "order", "timestamp_attribute": "happened"}
    _ = pipeline | ReadByService(subscription=SUBSCRIPTION, block_rows=100, **attributes)
    pipeline.replace_all(get_dataflow_transform_overrides(options))
    (read,) = (
        beam_runner_api_pb2.PubSubReadPayload.FromString(each.spec.payload)
        for each in pipeline.to_runner_api().components.transforms.values()
        if each.spec.urn == "beam:transform:pubsub_read:v1"
    )
    assert (read.id_attribute, read.timestamp_attribute) == ("order", "happened")


def test_event_time_is_the_elements_not_the_publish_time():
    message = PubsubMessage(b"0", {}, "0", datetime(2026, 1, 2, tzinfo=UTC))

    def check(found):
        ((block, at),) = found
        assert block.origins[0].event_time_us == at == 7_000_000

    with beam.Pipeline(FnApiRunner()) as pipeline:
        blocks = (
            pipeline
            | beam.Create([message])
            | beam.Map(lambda each: TimestampedValue(each, 7))
            | beam.ParDo(BlockBundle(SUBSCRIPTION, block_rows=2))
            | beam.Map(_with_time)
        )
        assert_that(blocks, check)


def test_a_bundle_becomes_blocks_that_keep_origins_and_event_time():
    times = [datetime(2026, 1, 2, 3, 4, 5, micros, tzinfo=UTC) for micros in (30, 10, 20)]
    messages = [
        PubsubMessage(b"%d" % i, {"n": str(i)}, str(i), published, ordering_key="key")
        for i, published in enumerate(times)
    ]
    first_us = int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()) * 1_000_000

    def check(found):
        assert sorted(found, key=lambda each: -len(each[0].payloads)) == [
            (
                Block(
                    (b"0", b"1"),
                    SUBSCRIPTION,
                    origins=(
                        Origin(first_us + 30, {"n": "0"}, "key"),
                        Origin(first_us + 10, {"n": "1"}, "key"),
                    ),
                ),
                first_us + 10,
            ),
            (
                Block((b"2",), SUBSCRIPTION, origins=(Origin(first_us + 20, {"n": "2"}, "key"),)),
                first_us + 20,
            ),
        ]

    with beam.Pipeline(FnApiRunner()) as pipeline:
        blocks = (
            pipeline
            | beam.Create(messages, reshuffle=False)
            | beam.Map(lambda each: TimestampedValue(each, each.publish_time.timestamp()))
            | beam.ParDo(BlockBundle(SUBSCRIPTION, block_rows=2))
            | beam.Map(_with_time)
        )
        assert_that(blocks, check)


def _with_time(block, time=beam.DoFn.TimestampParam):
    return block, Timestamp.of(time).micros


@pytest.mark.parametrize("source", [{}, {"subscription": SUBSCRIPTION, "topic": TOPIC}])
@pytest.mark.parametrize("read", [ReadByService, PollMessages])
def test_one_of_subscription_and_topic_is_needed(source, read):
    with pytest.raises(ValueError, match="exactly one"):
        read(**source, block_rows=1)
