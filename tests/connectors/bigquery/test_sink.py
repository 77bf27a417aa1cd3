"""Rows into tables, by Beam's and by Google's own client; BigQuery is a stub of its REST API."""

import json

import apache_beam as beam
import pytest
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from pipeline.connectors.bigquery import sink as bigquery_sink
from pipeline.connectors.bigquery.names import parse
from pipeline.connectors.bigquery.sink import InsertByService, InsertRows, LoadRows
from pipeline.errors import ServiceError
from tests.support.bigquery_service import PROJECT


def to_rows(chunk):
    return [json.loads(line) for line in chunk.splitlines()]


RELEASE = {"release_id": "r7", "generation": 7, "models": [{"name": "net", "version": "3"}]}


def chunks(*ids, **more):
    return [json.dumps({"id": i, "y": 0.5, **RELEASE, **more}).encode() + b"\n" for i in ids]


@pytest.fixture
def table(bigquery):
    models = {"name": "STRING", "version": "STRING"}
    release = {"release_id": "STRING", "generation": "INT64", "models": models}
    return bigquery.add_table("out", "t", {"id": "STRING", "y": "FLOAT64", **release})


def load(table, lines, bucket):
    options = PipelineOptions([f"--temp_location={bucket}/temp"])
    with beam.Pipeline(FnApiRunner(), options=options) as pipeline:
        made = pipeline | beam.Create(lines, reshuffle=False)
        _ = made | LoadRows(parse(table), to_rows, PROJECT)


def insert(table, lines, expect=(), by=InsertRows):
    """Inserts, and looks at the dead letters that come out: their ids."""

    def check(found):
        assert sorted(json.loads(line)["id"] for line in found) == sorted(expect)

    with beam.Pipeline(FnApiRunner()) as pipeline:
        made = pipeline | beam.Create(lines, reshuffle=False)
        refused = made | by(parse(table), to_rows)
        assert_that(refused, check)


def ids(bigquery, table):
    return sorted(row["id"] for row in bigquery.rows(table))


def test_load_appends_all_rows_by_one_job_and_removes_its_files(bigquery, gcs, bucket, table):
    bigquery.rows(table).append({"id": "old", "y": 0.0})
    gcs.upload(f"{bucket}/temp/other", b"x")
    load(table, chunks(*"abc"), bucket)
    assert ids(bigquery, table) == ["a", "b", "c", "old"]
    assert bigquery.asked("POST /bigquery/v2/projects/test-project/jobs") == 1
    assert gcs.list(f"{bucket}/") == [f"{bucket}/temp/other"]


def test_load_whose_files_cannot_be_removed_is_done(bigquery, bucket, table, monkeypatch, caplog):
    def refuse(paths):
        raise BeamIOError("no permission", {})

    monkeypatch.setattr(FileSystems, "delete", refuse)
    load(table, chunks(*"abc"), bucket)
    assert ids(bigquery, table) == ["a", "b", "c"]
    assert "not removed: no permission" in caplog.text


def test_load_that_bigquery_refuses_fails_the_job_and_adds_nothing(bigquery, bucket, table):
    with pytest.raises(Exception, match="no such field: z"):
        load(table, [*chunks("a"), *chunks("b", z=1)], bucket)
    assert bigquery.rows(table) == []


@pytest.mark.parametrize("by", [InsertRows, InsertByService])
def test_refused_row_is_a_dead_letter_and_the_others_are_inserted(bigquery, table, by):
    insert(table, [*chunks("a", "b"), *chunks("c", z=1)], expect=["c"], by=by)
    assert ids(bigquery, table) == ["a", "b"]


def test_dead_letter_names_the_table_the_reason_the_row_and_its_release():
    row = {"id": 5, "y": 0.5, **RELEASE}
    refusal = [{"location": "y", "message": "no such field: y."}]
    letter = json.loads(bigquery_sink.letter_of(row, refusal, "p.d.t"))
    assert (letter["id"], letter["stage"], letter["error_type"]) == (5, "write", "not_inserted")
    assert letter["error_message"] == "table 'p.d.t' refused the row: y no such field: y."
    assert json.loads(letter["payload"]) == row
    assert letter["release"] == {"id": "r7", "generation": 7, "models": {"net": "3"}}


def test_many_rows_go_in_requests_of_a_size_that_bigquery_takes(bigquery, table):
    insert(table, [b"".join(chunks(*map(str, range(1200))))])
    assert len(bigquery.rows(table)) == 1200
    assert bigquery.asked("insertAll") == 3


def test_row_that_is_too_long_for_a_request_is_refused_alone(bigquery, table, monkeypatch):
    monkeypatch.setattr(bigquery_sink, "MOST_BYTES", 1500)
    long = "x" * 1500
    insert(table, [b"".join(chunks("a", long, "b"))], expect=[long])
    assert ids(bigquery, table) == ["a", "b"]


def test_table_that_may_not_be_written_any_more_fails_the_job(bigquery, table):
    bigquery.forbidden.append("POST .*insertAll")
    with pytest.raises(Exception, match=r"takes no rows any more: .*Access Denied") as failure:
        insert(table, chunks("a"))
    assert ServiceError.__name__ in repr(failure.getrepr())
