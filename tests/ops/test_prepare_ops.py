"""Numbers, labels and text: what comes out, what is refused row by row, and that types hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import TypeAdapter

from pipeline.batch.columns import Ragged, iterate
from pipeline.batch.tensors import FLOATS, INTEGERS, dtype_name
from pipeline.errors import RowsError
from pipeline.ops.step import apply
from pipeline.spec.prepare import AnyPrepare

STEP = TypeAdapter(AnyPrepare)


def step(op, **options):
    return STEP.validate_python({"column": "y", "op": op, "of": "x", **options})


def text(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def run(column, op, **options):
    return apply(step(op, **options), {"x": column})["y"]


def reasons(column, op, **options):
    with pytest.raises(RowsError) as error:
        run(column, op, **options)
    prefix = f"prepare step 'y' ({op} of 'x'): "
    return {row: message.removeprefix(prefix) for row, message in error.value.messages.items()}


def test_scale_by_factor_and_by_range():
    assert run(np.array([[1, 2], [3, 4]], np.int8), "scale", factor=2, offset=1).tolist() == [
        [3, 5],
        [7, 9],
    ]
    assert run(np.array([10.0, 15.0, 25.0]), "scale", min=10, max=20).tolist() == [0, 0.5, 1.5]


def test_scaled_value_beyond_the_dtype_is_a_reason():
    column = np.array([1.0, 3e38], np.float32)
    assert list(reasons(column, "scale", factor=10)) == [1]


def test_one_hot_of_labels_of_integers_and_of_ragged_rows():
    assert run(text("b", "a"), "one_hot", labels=["a", "b"]).tolist() == [[0, 1], [1, 0]]
    assert run(np.array([7, 5]), "one_hot", labels=[5, 6, 7]).tolist() == [[0, 0, 1], [1, 0, 0]]
    ragged = run(Ragged([np.array([2]), np.array([0, 1])]), "one_hot", depth=3)
    assert [row.tolist() for row in ragged.rows] == [[[0, 0, 1]], [[1, 0, 0], [0, 1, 0]]]


def test_unknown_label_is_named():
    assert reasons(text("a", "z"), "one_hot", labels=["a"]) == {
        1: "found 'z', which is none of the 1 labels"
    }
    assert reasons(np.array([0, -100, 3]), "one_hot", depth=3) == {
        1: "found -100, expected 0 to 2",
        2: "found 3, expected 0 to 2",
    }
    assert list(reasons(np.array([2**64 - 1], np.uint64), "one_hot", depth=3)) == [0]


def test_of_a_row_with_several_bad_values_the_first_is_told():
    column = Ragged([np.array([1, 9, 8]), np.array([], np.int64), np.array([7])])
    assert reasons(column, "one_hot", depth=3) == {
        0: "found 9, expected 0 to 2",
        2: "found 7, expected 0 to 2",
    }


def test_cast_reads_numbers_from_text_and_writes_them():
    assert run(text(" 12", "-3"), "cast", dtype="int8").tolist() == [12, -3]
    assert run(text("1e3", ".5"), "cast", dtype="float32").tolist() == [1000, 0.5]
    assert run(np.array([1, 2]), "cast", dtype="string").tolist() == ["1", "2"]
    assert run(np.array([True, False]), "cast", dtype="string").tolist() == ["true", "false"]


@pytest.mark.parametrize("bad", ["", "x", "1.5", "1_000", "128", "nan"])
def test_text_that_is_no_number_of_the_dtype_is_a_reason(bad):
    assert list(reasons(text("1", bad), "cast", dtype="int8")) == [1]


@pytest.mark.parametrize("bad", ["nan", "inf", "1e39", "1,5"])
def test_text_that_is_no_finite_float_is_a_reason(bad):
    assert list(reasons(text("1", bad), "cast", dtype="float32")) == [1]


def test_text_becomes_bytes_and_bytes_text_by_utf8():
    encoded = run(text("é", "b"), "cast", dtype="bytes")
    assert encoded.tolist() == ["é".encode(), b"b"]
    assert run(encoded, "cast", dtype="string").tolist() == ["é", "b"]
    assert reasons(text(b"ok", b"a\xff"), "cast", dtype="string") == {
        1: "byte 0xff at position 1 is not UTF-8"
    }


@given(
    have=st.sampled_from([*INTEGERS, *FLOATS, "bool"]),
    want=st.sampled_from([*INTEGERS, *FLOATS, "bool"]),
    data=st.data(),
)
def test_a_cast_number_is_the_same_number_or_a_reason(have, want, data):
    values = data.draw(
        hnp.arrays(
            have,
            (3,),
            elements=hnp.from_dtype(np.dtype(have), allow_nan=False, allow_infinity=False),
        )
    )
    try:
        cast = run(values, "cast", dtype=want)
        bad = set()
    except RowsError as error:
        bad = set(error.messages)
        good = np.array([i not in bad for i in range(3)])
        cast = run(values[good], "cast", dtype=want) if good.any() else np.empty(0, want)
        values, refused = values[good], values[~good]
        if want in INTEGERS:
            limits = np.iinfo(want)
            assert not any(limits.min <= v.item() <= limits.max and v == int(v) for v in refused)
    assert cast.dtype == want
    if want in INTEGERS or want == "bool":
        assert [int(v) for v in cast] == [v.item() for v in values]
    else:
        assert np.isfinite(cast).all()


def test_lower_keeps_the_shape():
    column = np.array([["AB", "Ç"]], dtype=object)
    assert run(column, "lower").tolist() == [["ab", "ç"]]
    ragged = run(Ragged([text("A"), text()]), "lower")
    assert [row.tolist() for row in ragged.rows] == [["a"], []]


def test_pad_fills_and_cuts_when_it_may():
    column = Ragged([np.array([1, 2, 3]), np.array([4])])
    assert run(column, "pad", length=2, value=9, truncate=True).tolist() == [[1, 2], [4, 9]]
    assert reasons(column, "pad", length=2) == {0: "found 3 values, expected at most 2"}
    dense = np.array([["a"], ["b"]], dtype=object)
    assert run(dense, "pad", length=3).tolist() == [["a", "", ""], ["b", "", ""]]


SHAPES = {"one": (), "dense": (2,), "ragged": (None,)}
CASES = [
    ("scale", {"factor": 2}, [*INTEGERS, *FLOATS, "bool"]),
    ("normalize", {"mean": 1, "std": 2}, [*INTEGERS, *FLOATS]),
    ("one_hot", {"depth": 2}, [*INTEGERS, "bool"]),
    ("one_hot", {"labels": ["", "a"]}, ["string"]),
    *(
        ("cast", {"dtype": dtype}, [*INTEGERS, *FLOATS, "bool"])
        for dtype in ("int8", "float16", "bool", "string")
    ),
    ("cast", {"dtype": "bytes"}, ["string", "bytes"]),
    ("lower", {}, ["string"]),
    ("pad", {"length": 4}, [*INTEGERS, *FLOATS, "bool", "string"]),
]


def made_up(dtype, shape):
    filling = {"string": "", "bytes": b""}.get(dtype, 1)
    kind = object if dtype in ("string", "bytes") else dtype
    if None not in shape:
        return np.full((2, *shape), filling, dtype=kind)
    return Ragged(np.full(n, filling, dtype=kind) for n in (3, 1))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("op", "options", "dtypes"), CASES)
def test_columns_have_the_types_that_were_announced(op, options, dtypes, shape):
    if op == "pad" and shape != (None,):
        shape = (None,)
    for dtype in dtypes:
        (expected, expected_shape) = step(op, **options).types((dtype, shape))["y"]
        column = run(made_up(dtype, shape), op, **options)
        assert dtype_name(np.asarray(next(iter(iterate(column))))) == expected, dtype
        for row in iterate(column):
            assert len(row.shape) == len(expected_shape)
            assert all(n in (None, m) for n, m in zip(expected_shape, row.shape, strict=True))


REFUSED = [
    ("decode_image", {}, ("string", ()), "one image file of dtype bytes"),
    ("decode_image", {}, ("bytes", (2,)), "one image file of dtype bytes"),
    ("decode_audio", {"rate": "hz"}, ("string", ()), "one sound file of dtype bytes"),
    ("resize", {"height": 2, "width": 2}, ("float64", (3, 3)), "uint8 or float32"),
    ("resize", {"height": 2, "width": 2}, ("uint8", (3,)), "[height, width]"),
    ("normalize", {"mean": (1.0, 2.0)}, ("uint8", (4, 4, 3)), "a last axis of 2"),
    ("normalize", {"layout": "chw"}, ("uint8", (4, 4)), "[height, width, channels]"),
    ("normalize", {}, ("string", ()), "numbers"),
    ("scale", {"factor": 2}, ("string", ()), "numbers"),
    ("one_hot", {"labels": ["a"]}, ("int64", ()), "text"),
    ("one_hot", {"labels": [1]}, ("string", ()), "integers"),
    ("one_hot", {"depth": 2}, ("float32", ()), "integers"),
    ("cast", {"dtype": "int8"}, ("bytes", ()), "what can become int8"),
    ("cast", {"dtype": "bool"}, ("string", ()), "what can become bool"),
    ("lower", {}, ("bytes", ()), "text"),
    ("pad", {"length": 2}, ("int64", (3,)), "first axis alone varies"),
    ("pad", {"length": 2, "value": "x"}, ("int64", (None,)), "'x' is not a int64"),
    ("tokenize", {"file": "t.json"}, ("string", (None,)), "one text"),
]


@pytest.mark.parametrize(("op", "options", "read", "needs"), REFUSED)
def test_column_of_a_wrong_type_is_refused_in_words(op, options, read, needs):
    with pytest.raises(ValueError) as error:
        step(op, **options).types(read)
    assert needs in str(error.value)


def concat(types, columns):
    """The joined column; what was promised of its type holds."""
    joined = STEP.validate_python({"column": "y", "op": "concat", "of": [*columns]})
    made = apply(joined, columns)["y"]
    (promised,) = joined.types(*types).values()
    assert (dtype_name(made), made.shape[1:]) == promised
    return made


def test_columns_of_a_table_become_a_feature_matrix():
    columns = {
        "age": np.array([30, 40], np.int16),
        "region": np.array([[0, 1], [1, 0]], np.float32),
        "member": np.array([True, False]),
    }
    types = [("int16", ()), ("float32", (2,)), ("bool", ())]
    assert concat(types, columns).tolist() == [[30, 0, 1, 1], [40, 1, 0, 0]]


def test_texts_are_joined_too():
    columns = {"a": text("x", "y"), "b": text("z", "w")}
    assert concat([("string", ())] * 2, columns).tolist() == [["x", "z"], ["y", "w"]]


@pytest.mark.parametrize(
    ("types", "needs"),
    [
        ([("float32", ()), ("string", ())], "needs numbers, or text only"),
        ([("float32", (None,)), ("float32", ())], "needs columns without a variable axis"),
        ([("float32", (2, 3)), ("float32", (3, 3))], "agree in all axes but the last"),
    ],
)
def test_columns_that_cannot_be_joined_are_refused(types, needs):
    joined = STEP.validate_python({"column": "y", "op": "concat", "of": ["a", "b"]})
    with pytest.raises(ValueError, match=needs):
        joined.types(*types)
