"""Predictions and dead letters as rows of tables."""

import base64
import datetime
import hashlib
import json

import numpy as np
import pytest

from pipeline.batch.batch import Batch, Reject
from pipeline.batch.block import Origin
from pipeline.batch.columns import Masked
from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.bigquery.output_rows import MOST_BYTES, dead_letter_rows, prediction_rows
from pipeline.connectors.bigquery.schema import DEAD_LETTER_COLUMNS, TableColumn
from pipeline.formats import line_encoder

RELEASE = Release(3, (ModelVersion("net", "gs://b/net/7", "d"),))
NOW = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


def test_prediction_becomes_a_flat_row():
    batch = Batch(
        ids=(7,),
        payloads=(b"",),
        columns={"y": np.array([[0.1, 0.2]], np.float32), "m": np.array([[[1, 2], [3, 4]]])},
        pass_through=(b'{"city":"Oslo"}',),
        release=RELEASE,
        origins=(Origin(1_500_000, {}),),
    )
    lines = b"".join(line_encoder.predictions(batch, ["y", "m"]))
    columns = [
        TableColumn("id", "STRING"),
        TableColumn("y", "FLOAT64", repeated=True),
        TableColumn("m", "STRING"),
        TableColumn("pass_through", "STRING"),
    ]
    assert prediction_rows(lines, columns) == [
        {
            "id": "7",
            "y": [0.1, 0.2],
            "m": "[[1,2],[3,4]]",
            "pass_through": '{"city":"Oslo"}',
            "event_time": "1970-01-01T00:00:01.500Z",
            "release_id": RELEASE.release_id,
            "generation": 3,
            "models": [{"name": "net", "version": "7"}],
        }
    ]


def test_dead_letters_have_the_columns_of_their_table_whatever_they_lack():
    full = Reject(b"\xff", 5, "inference", "k", "m", "net", RELEASE, Origin(0, {"a": "b"}))
    bare = Reject(b"text", None, "decode", "k", "m")
    lines = b"".join(line_encoder.dead_letter(reject, NOW) for reject in (full, bare))
    first, second = dead_letter_rows(lines)
    names = {column.name for column in DEAD_LETTER_COLUMNS}
    assert set(first) == names
    assert set(second) == names - {"release_id", "generation", "models", "event_time"}
    assert (first["id"], first["payload_encoding"], first["generation"]) == ("5", "base64", 3)
    assert first["attributes"] == [{"key": "a", "value": "b"}]
    assert (second["id"], second["payload"], second["attributes"]) == (None, "text", [])


@pytest.mark.parametrize("unit", [b"x", "é".encode(), b"\xff"], ids=["ascii", "text", "bytes"])
def test_dead_letter_that_no_table_takes_is_cut_and_tells_what_it_was(unit):
    payload = unit * (12_000_000 // len(unit))
    reject = Reject(payload, "a", "decode", "not_json", "found nonsense")
    (row,) = dead_letter_rows(line_encoder.dead_letter(reject, NOW))
    assert len(json.dumps(row)) < MOST_BYTES
    assert row.keys() <= {column.name for column in DEAD_LETTER_COLUMNS}
    assert row["error_message"].startswith("found nonsense (the payload is cut: 12,000,000 bytes")
    assert hashlib.sha256(payload).hexdigest() in row["error_message"]
    kept = row["payload"]
    raw = base64.b64decode(kept) if row["payload_encoding"] == "base64" else kept.encode()
    assert len(raw) > 10_000
    assert payload.startswith(raw)


def test_dead_letter_is_whole_where_a_table_takes_it():
    reject = Reject(b"x" * 8_000_000, "a", "decode", "not_json", "found nonsense")
    (row,) = dead_letter_rows(line_encoder.dead_letter(reject, NOW))
    assert (len(row["payload"]), row["error_message"]) == (8_000_000, "found nonsense")


def test_a_missing_value_is_left_out_which_is_null_and_an_empty_list_where_it_repeats():
    present = np.array([False])
    columns = {
        "y": Masked(np.zeros((1, 2)), present),
        "t": Masked(np.array([""], object), present),
    }
    batch = Batch((7,), (b"",), columns, release=RELEASE)
    lines = b"".join(line_encoder.predictions(batch, ["y", "t"]))
    kinds = [TableColumn("y", "FLOAT64", repeated=True), TableColumn("t", "STRING")]
    (row,) = prediction_rows(lines, [TableColumn("id", "INT64"), *kinds])
    assert row.keys() == {"id", "release_id", "generation", "models"}
