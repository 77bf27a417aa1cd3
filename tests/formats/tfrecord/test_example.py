"""tf.Example: of a feature that comes twice, no value wins."""

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


def test_feature_that_is_missing_is_named_not_one_that_the_path_gives():
    record = RecordSpec.model_validate({"id": "shard", "fields": {"img": {"dtype": "bytes"}}})
    block = Block((example({"other": 1}),), "shard=7/f.tfrecord")
    (reject,) = FORMATS["tfrecord"].decoder(record).decode(block).rejects
    assert reject.error_type == "missing_field"
    assert reject.error_message.startswith("field 'img' is missing; the record has other;")


def test_feature_that_nobody_reads_may_come_twice():
    assert decode(GOOD + example({"other": 4})).columns["x"].tolist() == [1.0]
