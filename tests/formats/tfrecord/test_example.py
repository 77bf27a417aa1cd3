"""tf.Example: of a feature that comes twice no value wins; other messages are no examples."""

import pytest

from pipeline.batch.block import Block
from pipeline.formats.registry import FORMATS
from pipeline.spec.record import RecordSpec
from tests.support.formats import example

RECORD = RecordSpec.model_validate({"id": "id", "fields": {"x": {"dtype": "float32"}}})
GOOD = example({"id": "a", "x": 1.0, "note": "n", "other": 3})


def decode(*payloads):
    return FORMATS["tfrecord"].decoder(RECORD, ["note"]).decode(Block(payloads, "a.tfrecord"))


@pytest.mark.parametrize("more", [{"x": 2.0}, {"x": 1.0}, {"x": 1}, {"id": "b"}, {"note": "n"}])
def test_feature_that_comes_twice_costs_its_record_and_no_value_wins(more):
    bad = GOOD + example(more)  # messages one behind the other are one with the fields of both
    batch = decode(GOOD, bad, GOOD)
    assert len(batch) == 2
    (reject,) = batch.rejects
    assert (reject.payload, reject.error_type) == (bad, "doubled_key")
    assert f"has '{next(iter(more))}' more than once" in reject.error_message
    assert reject.record_id == (None if "id" in more else "a")


def test_feature_that_is_missing_is_named_not_one_that_the_path_gives():
    record = RecordSpec.model_validate({"id": "shard", "fields": {"img": {"dtype": "bytes"}}})
    block = Block((example({"other": 1}),), "shard=7/f.tfrecord")
    (reject,) = FORMATS["tfrecord"].decoder(record).decode(block).rejects
    assert reject.error_type == "missing_field"
    assert reject.error_message.startswith("field 'img' is missing; the record has other;")


def test_feature_that_nobody_reads_may_come_twice():
    assert decode(GOOD + example({"other": 4})).columns["x"].tolist() == [1.0]


OPTIONAL = RecordSpec.model_validate({"fields": {"x": {"dtype": "float32", "missing": "keep"}}})


def inside(number, *messages):
    """Messages of less than 128 bytes as the field of that number of another one."""
    assert all(len(message) < 128 for message in messages)
    return b"".join(bytes([number << 3 | 2, len(message)]) + message for message in messages)


X = example({"x": 1.0})
WORDS = example({"words": "abc", "n": 7})  # its bytes could be the name of a feature


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(inside(1, X, X), id="ExampleListWithContext of numbers"),
        pytest.param(inside(1, WORDS, WORDS), id="ExampleListWithContext of words"),
        pytest.param(inside(1, X) + inside(2, X), id="ExampleListWithContext with a context"),
        pytest.param(example({"y": 1.0}) + inside(2, X), id="SequenceExample"),
        pytest.param(inside(2, b"chr1") + b"\x18\x07", id="the message of a program"),
        pytest.param(b"\x0a\x02\x10\x07", id="one whose first field is a message, too"),
        pytest.param(b"{}", id="text"),
    ],
)
def test_other_messages_are_no_records_that_lack_every_value(message):
    batch = FORMATS["tfrecord"].decoder(OPTIONAL).decode(Block((message, X), "a.tfrecord"))
    assert batch.columns["x"].values.tolist() == [1.0]
    (reject,) = batch.rejects
    assert (reject.payload, reject.error_type) == (message, "not_an_example")
    assert "with `source: raw` under `record`" in reject.error_message


def test_examples_may_lack_every_value_and_may_be_the_context_of_a_sequence():
    blank = [b"", example({"y": 1.0}), example({"\n": 1.0}), inside(1, inside(1, inside(1, b"y")))]
    batch = FORMATS["tfrecord"].decoder(OPTIONAL).decode(Block((*blank, X + inside(2, X)), "a"))
    assert batch.columns["x"].present.tolist() == [False] * 4 + [True]
