"""Records that go to the models as they are."""

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.batch.block import Block
from pipeline.batch.payloads import ArrowRows, JsonRows
from pipeline.formats.decoder import payload_hash
from pipeline.formats.registry import FORMATS, decoders
from pipeline.spec.record import RecordSpec
from tests.support import formats

RECORD = RecordSpec.model_validate({"source": "raw", "fields": {"line": {"dtype": "bytes"}}})
PAYLOADS = (b"{not json", b"", b"\xff\x00", b"{not json")


@pytest.mark.parametrize("form", ["jsonl", "tfrecord"])
def test_payload_is_the_field_and_its_hash_the_id(form):
    batch = decoders(RECORD)[form].decode(Block(PAYLOADS, "f", format=form))
    assert batch.columns["line"].tolist() == list(PAYLOADS)
    assert batch.ids == tuple(map(payload_hash, PAYLOADS))
    assert batch.rejects == ()


@pytest.mark.parametrize("form", sorted(set(FORMATS) - {"jsonl", "tfrecord"}))
def test_format_without_payloads_costs_its_records_and_says_what_to_do(form):
    import pyarrow as pa

    payloads = {
        "csv": (b"1", b"2"),
        "avro": JsonRows([{"a": 1}, {"a": 2}]),
        "parquet": ArrowRows(pa.RecordBatch.from_pydict({"a": [1, 2]})),
    }[form]
    batch = decoders(RECORD)[form].decode(Block(payloads, "f", format=form, header=("a",)))
    assert len(batch) == 0
    assert len(batch.rejects) == 2
    assert {r.error_type for r in batch.rejects} == {"no_payload"}
    way_out = "--input_format=jsonl" if form == "csv" else "a field of dtype bytes"
    assert way_out in batch.rejects[0].error_message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "key"}, "with `source: raw` the id is a hash of the record"),
        ({"fields": {"x": {"dtype": "string"}}}, "expected with `source: raw` exactly one"),
    ],
)
def test_record_that_is_not_decoded_has_one_field_and_no_key(changes, message):
    with pytest.raises(ValidationError, match=message):
        RecordSpec.model_validate(
            {"source": "raw", "fields": {"line": {"dtype": "bytes"}}, **changes}
        )


def test_example_without_its_one_field_of_bytes_names_the_way_to_hand_it_over_whole():
    record = RecordSpec.model_validate({"fields": {"examples": {"dtype": "bytes"}}})
    block = Block((formats.example({"a": 1.5}),), "f", format="tfrecord")
    (reject,) = decoders(record)["tfrecord"].decode(block).rejects
    assert reject.error_message == (
        "field 'examples' is missing; the record has a; with `source: raw` under `record`, a model "
        "gets the whole message instead"
    )


def test_empty_block_is_an_empty_batch():
    batch = decoders(RECORD)["jsonl"].decode(Block((), "f"))
    assert isinstance(batch.columns["line"], np.ndarray)
    assert len(batch) == 0
