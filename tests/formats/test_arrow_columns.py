"""Arrow arrays become the columns that their values would become one by one."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.categorical import Categorical
from pipeline.batch.columns import Ragged, iterate, presence_of, values_of
from pipeline.batch.tensors import DTYPES
from pipeline.errors import RecordError
from pipeline.formats import arrow_columns
from pipeline.formats.fields import FieldDecoder, IrregularError
from pipeline.formats.table_encoder import arrow_array
from pipeline.spec.record import FieldSpec

LEAVES = {
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=2),
    pa.binary(): st.binary(max_size=2),
}


@st.composite
def arrays(draw):
    kind = draw(st.sampled_from(list(LEAVES)))
    value = LEAVES[kind] if draw(st.integers(0, 3)) else st.none() | LEAVES[kind]
    for size in draw(st.sampled_from([(), (2,), (None,), (2, 2), (1, 2)])):
        longest = 2 if size is None else size
        value = st.lists(value, min_size=0 if size is None else size, max_size=longest)
        kind = pa.list_(kind) if draw(st.booleans()) or size is None else pa.list_(kind, size)
    array = pa.array(draw(st.lists(value, min_size=1, max_size=4)), kind)
    return array.slice(draw(st.integers(0, len(array) - 1)))


@given(
    arrays(),
    st.sampled_from(DTYPES),
    st.sampled_from([(), (2,), (None,), (2, 2), (2, 1), (4,), (None, 2)]),
)
def test_column_is_what_its_values_are_one_by_one(array, dtype, shape):
    decoder = FieldDecoder("f", FieldSpec(dtype=dtype, shape=shape), flat=True)
    try:
        rows = [decoder.row(value) for value in array.to_pylist()]
    except RecordError:
        rows = None
    try:
        column = arrow_columns.column(array, decoder)
    except IrregularError:
        assert rows is None, "every row is good, and yet the block is read one by one"
        return
    assert rows is not None, "a bad row was let through"
    for fast, careful in zip(iterate(column), rows, strict=True):
        assert (fast.dtype, fast.shape) == (careful.dtype, careful.shape)
        assert np.array_equal(fast, careful)
    if any(row.size for row in rows):
        assert arrow_columns.fits(array.type, decoder.spec)


def test_matching_numbers_share_the_memory_of_the_file():
    array = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32()))
    column = arrow_columns.column(array, FieldDecoder("f", FieldSpec(dtype="float32", shape=[2])))
    assert column.__array_interface__["data"][0] == array.values.buffers()[1].address


@pytest.mark.parametrize(
    "column",
    [
        np.arange(3),
        np.arange(12, dtype=np.float16).reshape(3, 2, 2),
        np.array(["a", "bc"]),
        np.array([[b"a"], [b"\xff"]], dtype=object),
        np.array([True, False]),
        np.zeros((2, 0), dtype=np.float32),
        Ragged([np.array([1.5]), np.array([])]),
        Ragged([np.zeros((1, 2)), np.ones((2, 2))]),
    ],
    ids=lambda column: str(getattr(column, "shape", "ragged")),
)
def test_output_columns_become_lists_of_their_values(column):
    array = arrow_array(column)
    assert array.to_pylist() == [row.tolist() for row in iterate(column)]
    assert array.type != pa.float16()


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("missing", ["keep", "dead_letter"])
@pytest.mark.parametrize("start", [0, 3])
def test_categories_are_the_texts_that_they_were(kind, missing, start):
    texts = ["north", "south", ""] * 100 + ["later", "ü", *map(str, range(300))]
    if missing == "keep":
        texts[5] = texts[-5] = None
    array = pa.array(texts, kind).slice(start)
    spec = FieldSpec.model_validate({"dtype": "string", "missing": missing})
    found = arrow_columns.column(array, FieldDecoder("t", spec))
    present = [text is not None for text in texts[start:]]
    assert presence_of(found).tolist() == present
    assert values_of(found)[present].tolist() == [
        text for text in texts[start:] if text is not None
    ]
    assert {type(text) for text in values_of(found)} == {str}
    if missing == "dead_letter":
        assert isinstance(found, Categorical)
