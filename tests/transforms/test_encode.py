"""A row that one sink cannot take is a dead letter in all of them."""

import csv

import numpy as np
import orjson

from pipeline.batch.batch import Batch
from pipeline.batch.columns import Ragged
from pipeline.batch.release import ModelVersion, Release
from pipeline.formats.csv.encoder import CsvLayout
from pipeline.transforms.encode import (
    DEAD_LETTER_LINES,
    OUTCOMES,
    PREDICTION_CSV,
    PREDICTION_LINES,
    Encode,
)


def test_row_that_does_not_fit_the_csv_header_is_a_dead_letter_for_the_table_too():
    wanted = [PREDICTION_CSV, PREDICTION_LINES, DEAD_LETTER_LINES, OUTCOMES]
    encode = Encode(["y"], wanted, "encode", csv=CsvLayout({"y": (2,)}))
    rows = Ragged([np.zeros(2), np.zeros(3), np.ones(2)])
    release = Release(4, (ModelVersion("m", "gs://b/m/7", "d1"),))
    batch = Batch(("a", "b", "c"), (b"1", b"2", b"3"), {"y": rows}, release=release)
    found = {output.tag: output.value for output in encode.process(batch)}
    assert [row[0] for row in csv.reader(found[PREDICTION_CSV].decode().splitlines())] == ["a", "c"]
    lines = list(map(orjson.loads, found[PREDICTION_LINES].splitlines()))
    assert [line["id"] for line in lines] == ["a", "c"]
    letter = orjson.loads(found[DEAD_LETTER_LINES])
    assert (letter["id"], letter["stage"], letter["payload"]) == ("b", "encode", "2")
    assert found[OUTCOMES] == (2, 1)
