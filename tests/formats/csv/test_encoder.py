"""Predictions as CSV: what readers find in the file is what was predicted."""

import base64
import csv
import io
import json

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyarrow import csv as arrow_csv

from pipeline.batch.batch import Batch
from pipeline.batch.columns import Masked, Ragged, presence_of, values_of
from pipeline.batch.payloads import as_json
from pipeline.batch.release import ModelVersion, Release
from pipeline.batch.tensors import DTYPES
from pipeline.errors import SpecError
from pipeline.formats import line_encoder
from pipeline.formats.csv import encoder
from pipeline.formats.csv.encoder import CsvLayout, layout_of
from pipeline.spec.record.keys import PathKey

RELEASE = Release(1, (ModelVersion("m", "models/7", "d" * 64), ModelVersion("a", "50%/b", "e")))
TEXTS = st.one_of(
    st.text(max_size=4),
    st.sampled_from(
        ["", '"', '""', ",", "\n", "\r\n", "\r", "\\", "NA", "null", "1.0", " a ", "%b"]
    ),
)


def texts(values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def batch(columns, ids=None, pass_through=None):
    rows = len(next(iter(columns.values())))
    ids = tuple(ids or (f"r{i}" for i in range(rows)))
    return Batch(ids, (b"p",) * rows, columns, pass_through=pass_through, release=RELEASE)


def encoded(made, types, keys=()):
    layout = layout_of(list(made.columns), types, keys)
    return layout.header + encoder.predictions(made, layout)


def cells(text):
    """The rows as the csv module reads them: header -> text."""
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


def with_arrow(text, types):
    """The columns as Arrow reads them, missing values None."""
    return arrow_csv.read_csv(
        io.BytesIO(text),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    ).to_pydict()


def values_of_dtype(draw, dtype, shape):
    if dtype in ("string", "bytes"):
        size = int(np.prod(shape))
        drawn = draw(st.lists(TEXTS, min_size=size, max_size=size))
        return texts(drawn if dtype == "string" else [t.encode() for t in drawn]).reshape(shape)
    numbers = hnp.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False)
    return draw(hnp.arrays(np.dtype(dtype), shape, elements=numbers))


@st.composite
def predicted(draw):
    """A batch of some columns, and their types."""
    rows = draw(st.integers(1, 4))
    columns, types = {}, {}
    for i in range(draw(st.integers(1, 3))):
        name, dtype = f"c{i}", draw(st.sampled_from(DTYPES))
        shape = draw(st.sampled_from([(), (1,), (3,)]))
        column = values_of_dtype(draw, dtype, (rows, *shape))
        if draw(st.booleans()):
            present = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
            column = Masked(column, np.array(present))
        columns[name], types[name] = column, (dtype, shape)
    ids = draw(st.lists(TEXTS, min_size=rows, max_size=rows))
    return batch(columns, ids), types


def arrow_type(dtype):
    if dtype in ("string", "bytes"):
        return pa.string()
    return pa.float32() if dtype == "float16" else pa.from_numpy_dtype(np.dtype(dtype))


def columns_of(made, types):
    """Name of a CSV column -> dtype, values, None where one is missing."""
    for name, (dtype, shape) in types.items():
        values, present = values_of(made.columns[name]), presence_of(made.columns[name])
        for i in range(shape[0] if shape else 1):
            column = values[:, i] if shape else values
            yield (
                f"{name}_{i}" if shape else name,
                dtype,
                [v if has else None for v, has in zip(column, present, strict=True)],
            )


@given(predicted())
def test_values_of_every_dtype_are_read_back_the_same(given):
    made, types = given
    expected = {name: (dtype, values) for name, dtype, values in columns_of(made, types)}
    text = encoded(made, types)
    named = {name: arrow_type(dtype) for name, (dtype, _) in expected.items()}
    found = with_arrow(text, {"id": pa.string(), **named})
    assert found["id"] == list(made.ids)
    for name, (dtype, values) in expected.items():
        for read, value in zip(found[name], values, strict=True):
            if value is None:
                assert read is None
            elif dtype == "bytes":
                assert base64.b64decode(read) == value
            elif dtype == "string":
                assert read == value
            else:
                again = np.array(read).astype(dtype)
                assert again.tobytes() == value.tobytes()  # also the sign of zero


@given(predicted())
def test_rows_are_the_same_whatever_rows_are_together_and_have_as_many_cells_as_the_header(given):
    made, types = given
    layout = layout_of(list(made.columns), types)
    together = encoder.predictions(made, layout)
    alone = [encoder.predictions(made.take(np.array([i])), layout) for i in range(len(made))]
    assert b"".join(alone) == together
    lines = list(csv.reader(io.StringIO((layout.header + together).decode(), newline="")))
    assert len(lines) == len(made) + 1
    assert {len(line) for line in lines} == {len(list(layout.columns()))}


@given(predicted())
def test_rows_that_come_as_lists_are_written_as_those_of_an_array(given):
    made, types = given
    layout = layout_of(list(made.columns), types)
    as_lists = {name: ragged(column) for name, column in made.columns.items()}
    lists = encoder.reject_misfits(batch(as_lists, made.ids), layout)
    assert not lists.rejects
    assert encoder.predictions(lists, layout) == encoder.predictions(made, layout)


def ragged(column):
    """The column as lists; a row without a value has none."""
    rows = zip(values_of(column), presence_of(column), strict=True)
    lists = [np.asarray(row, column_dtype(column)) for row, _ in rows]
    if not isinstance(column, Masked):
        return Ragged(lists)
    nothing = np.zeros(0, column_dtype(column))
    found = [row if has else nothing for row, has in zip(lists, column.present, strict=True)]
    return Masked(Ragged(found), column.present)


def column_dtype(column):
    return values_of(column).dtype


@pytest.mark.parametrize("dtype", ["float32", "string"])
def test_row_without_a_value_is_no_misfit_whatever_shape_stands_for_it(dtype):
    values = texts(["a"] * 6).reshape(2, 3) if dtype == "string" else np.ones((2, 3))
    made = batch({"y": Masked(values, np.array([False, False]))})
    layout = layout_of(["y"], {"y": (dtype, (2,))})
    left = encoder.reject_misfits(made, layout)
    assert not left.rejects
    rows = cells(layout.header + encoder.predictions(left, layout))
    assert [(row["y_0"], row["y_1"], row["generation"]) for row in rows] == [("", "", "1")] * 2


@given(st.lists(TEXTS.filter(lambda text: "\0" not in text), min_size=1, max_size=5))
def test_pandas_reads_texts_as_they_are(values):
    text = encoded(batch({"t": texts(values)}), {"t": ("string", ())})
    found = pd.read_csv(io.BytesIO(text), dtype=str, keep_default_na=False)
    assert found["t"].tolist() == values


def test_pandas_finds_the_dtypes_without_being_told():
    columns = {
        "whole": np.array([1.0, 2.0], np.float32),
        "big": np.array([2**64 - 1, 0], np.uint64),
        "small": np.array([-(2**63), 5]),
        "bit": np.array([True, False]),
        "v": np.array([[0.1, 1e-7], [1e20, 3.0]], np.float32),
    }
    types = {n: (c.dtype.name, c.shape[1:]) for n, c in columns.items()}
    made = encoded(batch(columns, ids=[7, 2**63]), types)
    found = pd.read_csv(io.BytesIO(made), float_precision="round_trip")
    assert {name: str(found[name].dtype) for name in found.columns[:7]} == {
        "id": "uint64",
        "whole": "float64",
        "big": "uint64",
        "small": "int64",
        "bit": "bool",
        "v_0": "float64",
        "v_1": "float64",
    }
    assert found["big"].tolist() == [2**64 - 1, 0]
    np.testing.assert_array_equal(found[["v_0", "v_1"]].to_numpy(np.float32), columns["v"])


def test_file_has_a_cell_for_each_value_and_json_for_the_rest():
    columns = {
        "label": Masked(texts(["", "x"]), np.array([True, False])),
        "p": Masked(np.array([[0.1, 1], [2, 3]], np.float32), np.array([True, False])),
        "top": texts(["a", 'b"', "c", "d"]).reshape(2, 2),
        "boxes": Ragged([np.array([[1, 2]]), np.zeros((0, 2), int)]),
        "words": Ragged([texts(["q,", '"']), texts([])]),
        "raw": texts([b"hi", b""]),
    }
    types = {
        "label": ("string", ()),
        "p": ("float32", (2,)),
        "top": ("string", (2,)),
        "boxes": ("int64", (None, 2)),
        "words": ("string", (None,)),
        "raw": ("bytes", ()),
    }
    made = encoded(batch(columns, ids=["a", 1]), types)
    released = f'"{RELEASE.release_id}",1,"{{""a"":""50%"",""m"":""7""}}"'
    assert made.decode() == (
        '"id","label","p_0","p_1","top_0","top_1","boxes","words","raw",'
        '"release_id","generation","models"\n'
        f'"a","",0.1,1.0,"a","b""","[[1,2]]","[""q,"",""\\""""]","aGk=",{released}\n'
        f'1,,,,"c","d","[]","[]","",{released}\n'
    )


NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
PASSED = st.none() | st.booleans() | NUMBERS | TEXTS | st.lists(NUMBERS | TEXTS, max_size=2)


@given(st.lists(st.tuples(PASSED, PASSED), min_size=1, max_size=4))
def test_passed_through_values_have_a_column_each(rows):
    passed = tuple(as_json({"a": a, "b, c": b}) for a, b in rows)
    made = batch({"y": np.zeros(len(rows))}, pass_through=passed)
    found = cells(encoded(made, {"y": ("float64", ())}, ["a", "b, c"]))
    for row, (a, b) in zip(found, rows, strict=True):
        for cell, value in ((row["a"], a), (row["b, c"], b)):
            if value is None or isinstance(value, str):
                assert cell == (value or "")
            else:
                assert json.loads(cell) == value
                assert type(json.loads(cell)) is type(value)


def test_passed_through_key_that_a_record_lacks_is_a_missing_value():
    made = batch({"y": np.zeros(2)}, pass_through=(b'{"a":""}', b"{}"))
    text = encoded(made, {"y": ("float64", ())}, ["a"])
    assert [line.split(b",")[2] for line in text.splitlines()] == [b'"a"', b'""', b""]


def test_values_are_those_of_the_json_lines():
    columns = {"p": np.random.default_rng(0).random((9, 3), np.float32), "n": np.arange(9)}
    made = batch(columns)
    found = cells(encoded(made, {"p": ("float32", (3,)), "n": ("int64", ())}))
    for row, line in zip(found, line_encoder.predictions(made, ["p", "n"]), strict=True):
        expected = orjson.loads(line)
        assert [json.loads(row[f"p_{i}"]) for i in range(3)] == expected["predictions"]["p"]
        assert json.loads(row["n"]) == expected["predictions"]["n"]
        assert json.loads(row["models"]) == expected["release"]["models"]


@pytest.mark.parametrize(
    ("types", "keys", "name"),
    [
        ({"id": ((), "int64")}, [], "id"),
        ({"models": ((), "int64")}, [], "models"),
        ({"y": ((), "int64")}, ["id"], "id"),
        ({"y": ((), "int64")}, ["y"], "y"),
        ({"y": ((3,), "int64")}, ["y_2"], "y_2"),
        ({"y": ((3,), "int64"), "y_0": ((), "int64")}, [], "y_0"),
        ({"y": ((), "int64")}, ["generation"], "generation"),
    ],
)
def test_two_columns_of_one_name_are_refused(types, keys, name):
    known = {column: (dtype, shape) for column, (shape, dtype) in types.items()}
    with pytest.raises(SpecError, match=f"two columns '{name}', .* and .*; rename one"):
        layout_of(list(known), known, keys)


def test_passed_through_path_is_called_as_in_json_and_a_key_that_is_given_twice_is_one_column():
    path = PathKey(path=("user", "zip"))
    layout = layout_of(["y"], {"y": ("int64", ())}, [path, "a", path])
    assert [name for name, _ in layout.columns()][:4] == ["id", "y", "user.zip", "a"]


def test_vector_leaves_its_own_name_free():
    layout_of(["id"], {"id": ("int64", (2,))}, ["y"])


def test_output_of_unknown_shape_is_refused():
    with pytest.raises(SpecError, match=r"shape of output column 'y', .* not known"):
        layout_of(["y"], {})


@pytest.mark.parametrize("shape", [(), (3,)])
def test_row_of_another_shape_than_the_header_says_is_a_reject_and_costs_no_other(shape):
    layout = CsvLayout({"y": shape, "z": None})
    right = np.zeros(shape)
    ragged = batch({"y": Ragged([right, np.zeros(2), right]), "z": np.zeros((3, 7))})
    left = encoder.reject_misfits(ragged, layout)
    assert left.ids == ("r0", "r2")
    (reject,) = left.rejects
    assert (reject.record_id, reject.stage, reject.error_type) == (
        *("r1", "encode"),
        "wrong_shape_output",
    )
    assert "'y' has shape [2]" in reject.error_message
    gaps = Masked(Ragged([right, np.zeros(2), np.zeros(0)]), np.array([True, True, False]))
    left = encoder.reject_misfits(batch({"y": gaps, "z": np.zeros(3)}), layout)
    assert left.ids == ("r0", "r2")
    dense = batch({"y": np.zeros((2, 2)), "z": np.zeros(2)})
    assert len(encoder.reject_misfits(dense, layout).rejects) == 2
