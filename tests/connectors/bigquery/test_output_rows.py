"""Predictions and dead letters as rows of tables."""

import datetime

import numpy as np

from pipeline.batch.batch import Batch, Reject
from pipeline.batch.block import Origin
from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.bigquery.output_rows import dead_letter_rows, prediction_rows
from pipeline.connectors.bigquery.schema import DEAD_LETTER_COLUMNS, TableColumn
from pipeline.formats import line_encoder

RELEASE = Release(3, (ModelVersion("net", "gs://b/net/7", "d"),))


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
    now = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    full = Reject(b"\xff", 5, "inference", "k", "m", "net", RELEASE, Origin(0, {"a": "b"}))
    bare = Reject(b"text", None, "decode", "k", "m")
    lines = b"".join(line_encoder.dead_letter(reject, now) for reject in (full, bare))
    first, second = dead_letter_rows(lines)
    names = {column.name for column in DEAD_LETTER_COLUMNS}
    assert set(first) == names
    assert set(second) == names - {"release_id", "generation", "models", "event_time"}
    assert (first["id"], first["payload_encoding"], first["generation"]) == ("5", "base64", 3)
    assert first["attributes"] == [{"key": "a", "value": "b"}]
    assert (second["id"], second["payload"], second["attributes"]) == (None, "text", [])
