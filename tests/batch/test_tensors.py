"""What may be handed to what."""

import numpy as np
import pytest

from pipeline.batch.tensors import (
    DTYPES,
    FLOATS,
    INTEGERS,
    describe,
    dtype_fits,
    dtype_name,
    numpy_dtype,
    shape_fits,
)


@pytest.mark.parametrize(
    ("have", "wants"),
    [
        ("bool", {"bool", *INTEGERS, *FLOATS}),
        ("int8", {"int8", "int16", "int32", "int64", *FLOATS}),
        ("int32", {"int32", "int64", *FLOATS}),
        ("int64", {"int64", *FLOATS}),
        ("uint8", {"uint8", "uint16", "uint32", "uint64", "int16", "int32", "int64", *FLOATS}),
        ("uint64", {"uint64", *FLOATS}),
        ("float16", {*FLOATS}),
        ("float64", {*FLOATS}),
        ("string", {"string", "bytes"}),
        ("bytes", {"string", "bytes"}),
    ],
)
def test_dtype_fits_where_values_survive_or_floats_get_narrower(have, wants):
    assert {want for want in DTYPES if dtype_fits(have, want)} == wants
    assert dtype_fits(have, None)


@pytest.mark.parametrize(
    ("have", "want", "fits"),
    [
        ((), (), True),
        ((64,), (64,), True),
        ((64,), (32,), False),
        ((64,), (), False),
        ((64,), (1, 64), False),
        ((64,), (None,), True),
        ((None,), (None,), True),
        ((None,), (64,), False),
        ((3, None), (3, None), True),
        ((3, None), (None, 8), False),
        ((3, None), None, True),
    ],
)
def test_shape_fits_where_every_length_is_taken(have, want, fits):
    assert shape_fits(have, want) is fits


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_name_comes_back_from_its_array(name):
    value = {"string": "a", "bytes": b"a"}.get(name, 1)
    assert dtype_name(np.array([value], dtype=numpy_dtype(name))) == name


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.array([None]), "holds NoneType objects"),
        (np.array([1j]), "has dtype complex128, expected one of int8"),
        (np.array(["2026-01-01"], "datetime64[D]"), r"has dtype datetime64\[D\]"),
    ],
)
def test_array_of_no_tensor_type_is_refused_by_what_it_holds(array, found):
    with pytest.raises(TypeError, match=found):
        dtype_name(array)


def test_description_reads_like_a_type():
    assert describe("float32", (64,)) == "float32[64]"
    assert describe("int64", (None, 3)) == "int64[any, 3]"
    assert describe("string", ()) == "string"
    assert describe(None, None) == "any dtype, any shape"
