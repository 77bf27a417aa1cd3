"""Tensors in bytes: what numpy wrote is read back; what is none costs its row only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.batch.columns import iterate
from pipeline.batch.tensors import DTYPES
from pipeline.errors import RowsError
from pipeline.ops.step import apply
from pipeline.spec.prepare import DecodeRaw
from tests.support.images import column

SIZED = [dtype for dtype in DTYPES if dtype not in ("string", "bytes")]


def decode(*values, **keys):
    step = DecodeRaw(column="y", op="decode_raw", of="x", **keys)
    return apply(step, {"x": column(*values)})["y"]


def reasons(*values, **keys):
    with pytest.raises(RowsError) as error:
        decode(*values, **keys)
    return {row: text.partition("): ")[2] for row, text in error.value.messages.items()}


@pytest.mark.parametrize("dtype", SIZED)
@given(data=st.data(), order=st.sampled_from(["little", "big"]), rows=st.integers(1, 3))
def test_what_numpy_wrote_is_read_back(dtype, data, order, rows):
    finite = hnp.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False)
    lengths = data.draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))
    tensors = [data.draw(hnp.arrays(dtype, (2, n), elements=finite)) for n in lengths]
    stored = np.dtype(dtype).newbyteorder(order)
    made = decode(
        *(tensor.astype(stored).tobytes() for tensor in tensors),
        dtype=dtype,
        shape=[2, None],
        byte_order=order,
    )
    for found, tensor in zip(iterate(made), tensors, strict=True):
        assert found.dtype == np.dtype(dtype)
        assert np.array_equal(found, tensor)


def test_rows_of_one_shape_are_one_array():
    made = decode(b"\x01\x00\x02\x00", b"\x03\x00\x04\x00", dtype="int16", shape=[2, 1])
    assert made.tolist() == [[[1], [2]], [[3], [4]]]
    assert decode(b"\x07", dtype="uint8", shape=[]).tolist() == [7]


def test_rows_with_another_number_of_bytes_are_named():
    assert reasons(b"12", b"1234", b"", dtype="int16", shape=[1]) == {
        1: "found 4 bytes, expected 2 for int16[1]",
        2: "found 0 bytes, expected 2 for int16[1]",
    }
    assert list(reasons(b"1234567", dtype="int16", shape=[None, 3])) == [0]


def test_values_that_no_field_could_have_are_named():
    floats = np.array([1, np.nan, np.inf], np.float32)
    good = np.ones(3, np.float32)
    assert reasons(
        good.tobytes(), floats.tobytes(), floats[::-1].tobytes(), dtype="float32", shape=[3]
    ) == {
        1: "found nan at value 1, expected float32",
        2: "found inf at value 0, expected float32",
    }
    assert reasons(b"\x01\x02", b"\x01", b"\x00\x03", dtype="bool") == {
        0: "found 2 at value 1, expected bool",
        2: "found 3 at value 1, expected bool",
    }


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"dtype": "string"}, "whose values have no size"),
        ({"dtype": "int8", "shape": [None, None]}, "only one axis may vary"),
        ({"dtype": "int8", "shape": [None, 0]}, "an axis of 0"),
    ],
)
def test_what_nobody_can_decode_is_refused_in_the_file(keys, message):
    with pytest.raises(ValueError, match=message):
        DecodeRaw(column="y", op="decode_raw", of="x", **keys)
