"""A table read through Beam: a stub of BigQuery's REST API exports real Avro files."""

import datetime
import json
from decimal import Decimal

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from pipeline.connectors.bigquery.names import parse
from pipeline.connectors.bigquery.source import ReadTable
from pipeline.spec.record import RecordSpec

SCHEMA = {
    "id": "INT64",
    "x": "FLOAT64[]",
    "raw": "BYTES",
    "price": "NUMERIC",
    "at": "TIMESTAMP",
    "note": "STRING",
}
RECORD = RecordSpec.model_validate(
    {"id": "id", "fields": {"x": {"dtype": "float64", "shape": [2]}}}
)


@pytest.fixture
def read(bigquery, bucket):
    """Reads so many rows into blocks of so many, and hands the blocks to a check."""

    def run(count, check, block_rows):
        row = {
            "x": [0.5, float("nan")],
            "raw": b"\x00\xff",
            "price": Decimal("1.25"),
            "at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
            "note": None,
        }
        table = bigquery.add_table("in", "t", SCHEMA, [{"id": i, **row} for i in range(count)])
        options = PipelineOptions([f"--temp_location={bucket}/temp"])
        with beam.Pipeline(FnApiRunner(), options=options) as pipeline:
            blocks = pipeline | ReadTable(parse(table), RECORD, list(SCHEMA), block_rows)
            assert_that(blocks, check)
        return table

    return run


def test_rows_come_in_blocks_of_bounded_size(read):
    def check(blocks):
        assert max(len(block.payloads) for block in blocks) <= 10
        assert len(blocks) <= 8, "rows are gathered"
        found = [json.loads(payload)["id"] for block in blocks for payload in block.payloads]
        assert sorted(found) == list(range(50))

    read(50, check, block_rows=10)


def test_every_type_of_a_column_arrives_in_its_json_form(read):
    def check(blocks):
        (block,) = blocks
        assert block.source == "test-project.in.t"
        assert json.loads(block.payloads[0]) == {
            "id": 0,
            "x": [0.5, "NaN"],
            "raw": "AP8=",
            "price": 1.25,
            "at": "2026-01-02T00:00:00+00:00",
            "note": None,
        }

    read(1, check, block_rows=10)


def test_empty_table_is_no_block(read):
    def check(blocks):
        assert blocks == []

    read(0, check, block_rows=10)
