"""Messages are put together by number, bytes and time; none is lost, none gets another time."""

from dataclasses import replace

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.test_stream import TestStream as Messages
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import TimestampedValue
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.batch.block import Block, Origin
from pipeline.transforms.collect import CollectMessages

LONG_SECS = 3600.0
FOUND = []
BLOCKS = beam.coders.registry.get_coder(Block)


def keep(made):
    FOUND.append(made)


def beginning():
    return 0.0


def block(first, rows, size=1, second=0):
    """Messages with consecutive numbers, published one after the other."""
    numbers = range(first, first + rows)
    return Block(
        tuple(b"%d %s" % (number, b"z" * size) for number in numbers),
        "subscription",
        origins=tuple(
            Origin(1_000_000 * second + number, {"n": str(number)}) for number in numbers
        ),
        format="jsonl",
    )


def with_time(made, timestamp=beam.DoFn.TimestampParam):
    return made, timestamp.micros


def collected(blocks, check, *limits, **more):
    """Runs blocks with the event times of their first messages."""
    stamped = [TimestampedValue(b, b.origins[0].event_time_us / 1e6) for b in blocks]
    with beam.Pipeline(FnApiRunner()) as pipeline:
        found = (
            pipeline
            | beam.Create(stamped, reshuffle=False).with_output_types(TimestampedValue)
            | beam.Map(lambda element: element).with_output_types(Block)
            | CollectMessages(*limits, **more)
            | beam.Map(with_time)
        )
        assert_that(found, check)


@settings(max_examples=5, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    rows=st.integers(1, 12),
    most_bytes=st.integers(200, 5000),
    size=st.integers(1, 300),
)
def test_each_message_leaves_once_with_its_own_time_within_the_limits(
    sizes, rows, most_bytes, size
):
    firsts = [sum(sizes[:i]) for i in range(len(sizes))]
    given_blocks = [block(f, n, size) for f, n in zip(firsts, sizes, strict=True)]

    def check(found):
        pairs = [
            pair for made, _ in found for pair in zip(made.payloads, made.origins, strict=True)
        ]
        expected = [p for b in given_blocks for p in zip(b.payloads, b.origins, strict=True)]
        key = lambda pair: pair[1].event_time_us  # noqa: E731
        assert sorted(pairs, key=key) == sorted(expected, key=key)
        for made, _ in found:
            assert len(made.payloads) <= max(rows, *sizes)
            assert sum(map(len, made.payloads)) <= max(most_bytes, 9 * (size + 10))

    collected(given_blocks, check, rows, LONG_SECS, most_bytes)


def test_single_messages_become_full_blocks_with_the_earliest_time():
    blocks = [block(n, 1, second=100 - n) for n in range(64)]

    def check(found):
        assert max(len(made.payloads) for made, _ in found) >= 8
        for made, micros in found:
            assert micros == min(origin.event_time_us for origin in made.origins)

    collected(blocks, check, 64, LONG_SECS)


@pytest.mark.parametrize("change", [{"error": "cut"}, {"origins": None}])
def test_errors_and_blocks_of_files_do_not_wait(change):
    changed = replace(block(0, 2), **change)
    stream = Messages(coder=BLOCKS).add_elements([changed]).advance_watermark_to_infinity()
    assert in_stream(stream, 64, LONG_SECS) == [changed]


def test_messages_wait_no_longer_than_they_may():
    stream = Messages(coder=BLOCKS).add_elements([block(0, 1)]).add_elements([block(1, 1)])
    stream = stream.advance_processing_time(10).add_elements([block(2, 1)])
    found = in_stream(stream.advance_watermark_to_infinity(), 64, 5.0, clock=beginning)
    assert sorted(len(made.payloads) for made in found) == [1, 2]


def in_stream(stream, *limits, **more):
    """What comes of a stream whose clock begins at 0."""
    FOUND.clear()
    with beam.Pipeline(BundleBasedDirectRunner(), options=PipelineOptions(["--streaming"])) as p:
        _ = p | stream | CollectMessages(*limits, **more, places=1) | beam.Map(keep)
    return FOUND
