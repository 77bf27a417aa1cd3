"""Predictions as Arrow tables."""

from base64 import b64encode

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.batch import Batch
from pipeline.batch.columns import Masked, Ragged, from_rows
from pipeline.batch.release import ModelVersion, Release
from pipeline.formats import line_encoder
from pipeline.formats.table_encoder import prediction_table

RELEASE = Release(1, (ModelVersion("m", "models/7", "d" * 64),))


@pytest.mark.parametrize(
    "ids", [(1, -2, 0), (1, 2**63), (-(2**63), 2**64), ("a", "é"), (1, "1"), ()]
)
def test_ids_of_every_kind_become_text(ids):
    batch = Batch(ids, (b"",) * len(ids), {"y": np.zeros(len(ids))}, release=RELEASE)
    assert prediction_table(batch, ["y"])["id"].to_pylist() == list(map(str, ids))


DTYPES = ["float32", "float16", "float64", "int8", "uint64", "bool", "string", "bytes"]


@st.composite
def ragged(draw):
    """(dtype, row shape, rows): lists of different length, of values or of pairs."""
    dtype = draw(st.sampled_from(DTYPES))
    inner = draw(st.sampled_from([(), (2,)]))
    rows = []
    for length in draw(st.lists(st.integers(0, 3), min_size=1, max_size=5)):
        size = length * (inner[0] if inner else 1)
        if dtype in ("string", "bytes"):
            flat = np.empty(size, dtype=object)
            texts = draw(st.lists(st.text(max_size=3), min_size=size, max_size=size))
            flat[:] = texts if dtype == "string" else [text.encode() for text in texts]
        else:
            numbers = st.integers(0, 1) if dtype == "bool" else st.integers(0, 100)
            flat = np.array(draw(st.lists(numbers, min_size=size, max_size=size)))
            flat = (flat / 10 if dtype.startswith("float") else flat).astype(dtype)
        rows.append(flat.reshape(length, *inner))
    return dtype, (None, *inner), rows


def of(column):
    rows = len(column)
    return Batch(tuple(range(rows)), (b"",) * rows, {"y": column}, release=RELEASE)


@given(ragged())
def test_lists_are_those_of_the_json_whatever_rows_are_together(made):
    dtype, shape, rows = made
    types = {"y": (dtype, shape)}
    table = prediction_table(of(Ragged(rows)), ["y"], types)
    lines = [orjson.loads(line) for line in line_encoder.predictions(of(Ragged(rows)), ["y"])]
    for row, found, line in zip(rows, table["y"].to_pylist(), lines, strict=True):
        alone = of(from_rows([row]))
        assert found == row.tolist() or dtype == "float16"
        assert prediction_table(alone, ["y"], types)["y"].to_pylist() == [found]
        assert prediction_table(alone, ["y"], types).schema.equals(table.schema)
        assert (
            orjson.loads(line_encoder.predictions(alone, ["y"])[0])["predictions"]
            == line["predictions"]
        )
        if dtype == "bytes":
            found = _base64(found)
        assert (
            np.allclose(line["predictions"]["y"], found)
            if "float" in dtype
            else (line["predictions"]["y"] == found)
        )


def _base64(value):
    return [_base64(v) for v in value] if isinstance(value, list) else b64encode(value).decode()


@pytest.mark.parametrize(
    "values",
    [np.array([1.5, 0]), np.array([7, 0]), np.array(["a", ""], object), np.ones((2, 3))],
    ids=["float", "integer", "text", "vector"],
)
def test_a_missing_value_is_null_as_in_the_json(values):
    column = Masked(values, np.array([True, False]))
    batch = Batch((0, 1), (b"",) * 2, {"y": column}, release=RELEASE)
    found = prediction_table(batch, ["y"], {"y": ("float64", ())})["y"].to_pylist()
    assert found == [values[0].tolist() if hasattr(values[0], "tolist") else values[0], None]
    lines = [orjson.loads(line) for line in line_encoder.predictions(batch, ["y"])]
    assert [line["predictions"]["y"] for line in lines] == found
