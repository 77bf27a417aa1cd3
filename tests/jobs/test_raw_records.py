"""`record: {source: raw}`: records that a model parses by itself."""

import base64

import pytest

from pipeline.formats.decoder import payload_hash
from pipeline.formats.tfrecord.format import framed
from tests.support.jobs import record

RECORDS = (b"{not json", b"\xff\x00\x01", b"plain", b"plain")


@pytest.fixture
def raw(job):
    job.spec["record"] = {"source": "raw", "fields": {"message": {"dtype": "bytes"}}}
    job.spec["models"] = [
        {
            "name": "parser",
            "framework": "python",
            "uri": "tests.support.steps:Parses",
            "inputs": {"raw": "message"},
            "outputs": {"length": "length", "same": "same"},
            "bytes_outputs": ["same"],
        }
    ]
    job.spec |= {"combine": [], "output": ["length", "same"]}
    return job


def told(job):
    return sorted((p["id"], *p["predictions"].values()) for p in job.predictions())


def expected(records):
    return sorted((payload_hash(one), len(one), base64.b64encode(one).decode()) for one in records)


def test_lines_reach_the_model_as_they_are(raw):
    raw.write_input(*RECORDS)
    assert raw.run() == 0
    assert told(raw) == expected(RECORDS)


def test_messages_of_a_tfrecord_file_reach_the_model_as_they_are(raw):
    (raw.input / "a.tfrecord").write_bytes(b"".join(map(framed, (*RECORDS, b"with\nline"))))
    assert raw.run() == 0
    assert told(raw) == expected((*RECORDS, b"with\nline"))


def test_rows_of_a_csv_file_are_refused_unless_they_are_called_lines(raw, capsys):
    raw.write_input(b"a,b", b"1,2", name="a.csv")
    assert raw.run() == 2
    shown = capsys.readouterr().err
    assert "a.csv: with `source: raw`, found CSV, whose rows mean something with their" in shown
    assert raw.run("--input_format=jsonl") == 0
    assert told(raw) == expected((b"a,b", b"1,2"))


@pytest.mark.parametrize("form", ["parquet", "avro"])
def test_formats_without_payloads_are_refused_with_the_way_out(form, raw, capsys):
    raw.write_input(b"whatever")
    assert raw.run(f"--input_format={form}") == 2
    shown = capsys.readouterr().err
    assert f"--input_format={form}: with `source: raw`, found {form.capitalize()}" in shown
    assert "or without `source` a field of dtype bytes: a column" in shown


def test_keys_of_what_is_not_decoded_cannot_be_passed_through(raw, capsys):
    raw.write_input(record(0))
    raw.spec["pass_through"] = ["x"]
    assert raw.run() == 2
    assert "with `source: raw` a record is only bytes and has no keys" in capsys.readouterr().err


def test_text_that_is_none_names_the_key_that_makes_it_bytes(raw):
    del raw.spec["models"][0]["bytes_outputs"]
    raw.write_input(*RECORDS)
    assert raw.run() == 0
    assert {p["predictions"]["same"] for p in raw.predictions()} == {"{not json", "plain"}
    (dead,) = raw.dead_letters()
    assert (dead["id"], dead["error_type"]) == (payload_hash(RECORDS[1]), "not_text")
    assert "name the output in `bytes_outputs` of the model" in dead["error_message"]
