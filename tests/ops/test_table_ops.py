"""Operations on columns of tables: the results of those libraries that models are trained with."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import TypeAdapter, ValidationError

from pipeline.batch.columns import Masked, Ragged
from pipeline.batch.tensors import FLOATS, INTEGERS
from pipeline.errors import RowsError
from pipeline.ops.step import apply
from pipeline.spec.column_types import Gaps, TypesError
from pipeline.spec.prepare import AnyPrepare

STEP = TypeAdapter(AnyPrepare)


def step(op, **keys):
    return STEP.validate_python({"column": "y", "op": op, "of": "x", **keys})


def text(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def run(column, op, **keys):
    if isinstance(column, list):
        column = text(column)
    return apply(step(op, **keys), {"x": column})["y"]


def reasons(column, op, **keys):
    with pytest.raises(RowsError) as error:
        run(column, op, **keys)
    prefix = f"prepare step 'y' ({op} of 'x'): "
    return {row: message.removeprefix(prefix) for row, message in error.value.messages.items()}


texts = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=20)
long_texts = st.integers(0, 300).map(lambda n: ["añ1"[i % 3] * n for i in range(3)])
buckets = st.integers(1, 1000)


# --- hash


@settings(max_examples=30, deadline=None)  # the first example loads TensorFlow
@given(texts | long_texts, buckets)
def test_farm_is_the_hash_of_tensorflow(values, buckets):
    import tensorflow as tf

    expected = tf.strings.to_hash_bucket_fast(values, buckets).numpy()
    assert run(values, "hash", function="farm", buckets=buckets).tolist() == expected.tolist()
    as_bytes = [value.encode() for value in values]
    assert run(as_bytes, "hash", function="farm", buckets=buckets).tolist() == expected.tolist()


@settings(max_examples=10)
@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=9), buckets)
def test_farm_is_the_hash_of_keras_for_integers_and_text(values, buckets):
    import keras

    layer = keras.layers.Hashing(buckets)
    found = run(np.array(values), "hash", function="farm", buckets=buckets)
    assert found.tolist() == np.array(layer(np.array(values))).tolist()
    words = [f"é{value}" for value in values]
    found = run(words, "hash", function="farm", buckets=buckets)
    assert found.tolist() == np.array(layer(np.array(words))).tolist()


@given(texts | long_texts, buckets, st.integers(0, 2**32 - 1))
def test_murmur3_is_the_hash_of_scikit_learn(values, buckets, seed):
    from sklearn.utils import murmurhash3_32

    keys = {"buckets": buckets, "seed": seed}
    found = run(values, "hash", function="murmur3_unsigned", **keys)
    hashed = [murmurhash3_32(value, seed, positive=True) for value in values]
    assert found.tolist() == [number % buckets for number in hashed]


@given(texts.filter(all), st.integers(2, 1000))
def test_murmur3_is_the_column_of_a_feature_hasher(values, buckets):
    from sklearn.feature_extraction import FeatureHasher

    hasher = FeatureHasher(buckets, input_type="string", alternate_sign=False)
    expected = hasher.transform([[value] for value in values]).toarray().argmax(axis=1)
    assert run(values, "hash", function="murmur3", buckets=buckets).tolist() == expected.tolist()
    pairs = FeatureHasher(buckets, alternate_sign=False)
    expected = pairs.transform([{"sex": value} for value in values]).toarray().argmax(axis=1)
    found = run(values, "hash", function="murmur3", buckets=buckets, prefix="sex=")
    assert found.tolist() == expected.tolist()


def test_half_a_character_is_a_reason_and_costs_no_other():
    found = reasons(["a", "\ud800"], "hash", function="farm", buckets=3)
    assert found == {1: "found '\\ud800', expected text that UTF-8 can hold"}


def test_half_a_character_that_is_to_become_bytes_costs_no_other_row():
    found = reasons(["a", "\ud83d"], "cast", dtype="bytes")
    assert found == {1: "found '\\ud83d', expected text that UTF-8 can hold"}


def test_seed_that_no_one_looks_at_is_refused():
    with pytest.raises(ValidationError, match="key 'seed' has no use with `function: farm`"):
        step("hash", function="farm", buckets=3, seed=1)


# --- ordinal


@given(st.lists(st.text(max_size=2), min_size=1, unique=True), texts)
def test_codes_are_those_of_scikit_learn_and_keras(labels, values):
    from sklearn.preprocessing import OrdinalEncoder

    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encoder.fit(text(labels)[:, None])
    (known,) = encoder.categories_
    values = [*values, *labels]
    expected = encoder.transform(text(values)[:, None])[:, 0]
    found = run(values, "ordinal", labels=known.tolist(), unknown=-1)
    assert found.tolist() == expected.tolist()
    by_keras = run(values, "ordinal", labels=labels, first=1, unknown=0)
    assert by_keras.tolist() == [labels.index(v) + 1 if v in labels else 0 for v in values]


def test_keras_looks_up_with_first_1_and_unknown_0():
    import keras

    vocabulary, values = ["b", "é", "a"], ["a", "zz", "é", "b", ""]
    layer = keras.layers.StringLookup(vocabulary=vocabulary)
    found = run(values, "ordinal", labels=vocabulary, first=1, unknown=0)
    assert found.tolist() == np.array(layer(np.array(values))).tolist()


def test_value_that_is_no_label_is_a_reason_unless_it_has_a_code():
    found = reasons(["a", "b"], "ordinal", labels=["a"])
    assert found == {1: "found 'b', which is none of the 1 labels"}
    ragged = run(Ragged([np.array([7]), np.array([9, 7])]), "ordinal", labels=[9, 7], unknown=5)
    assert [row.tolist() for row in ragged.rows] == [[1], [0, 1]]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({}, "either `labels` or `file`"),
        ({"labels": ["a"], "file": "b"}, "either `labels` or `file`"),
        ({"labels": []}, "at least one label"),
        ({"labels": ["a", 1]}, "all text or all integers"),
        ({"labels": ["a", "a"]}, "found a label twice"),
        ({"labels": ["a", "b"], "unknown": 1}, r"`unknown: 1`, the code of a label \(0 to 1\)"),
        ({"labels": ["a"], "unknown": 1 << 63}, "which int64 cannot hold"),
    ],
)
def test_categories_that_say_nothing_or_two_things_are_refused(keys, says):
    with pytest.raises(ValidationError, match=says):
        step("ordinal", **keys)


def test_value_that_is_no_label_may_be_missing():
    keys = {"labels": ["a", "b"], "unknown": "missing"}
    found = run(["b", "z", "a"], "ordinal", **keys)
    assert (found.values.tolist(), found.present.tolist()) == ([1, 0, 0], [True, False, True])
    column = Masked(text(["", "z", "b", ""]), np.array([False, True, True, True]))
    found = run(column, "ordinal", **keys)
    assert (found.values.tolist(), found.present.tolist()) == ([0, 0, 1, 0], [0, 0, 1, 0])
    ordinal = step("ordinal", **keys)
    assert (ordinal.gaps(Gaps.NONE), ordinal.gaps(Gaps.ROWS)) == (Gaps.ROWS, Gaps.ROWS)
    assert step("ordinal", labels=["a"]).gaps(Gaps.NONE) == Gaps.NONE
    with pytest.raises(TypesError, match="a single value"):
        ordinal.types(("string", (2,)))


def test_categories_come_from_a_file():
    read = step("ordinal", file="categories.txt", unknown=2).with_file_text("a\nb\n")
    assert read.labels == ("a", "b")
    with pytest.raises(ValueError, match=r"the code of a label \(0 to 2\)"):
        step("ordinal", file="categories.txt", unknown=2).with_file_text('["a", "b", "c"]')


# --- bucketize


ascending = st.lists(st.floats(-50, 50) | st.integers(-50, 50), min_size=1, max_size=8).map(
    lambda found: sorted(set(found))
)
close = st.floats(-60, 60) | st.integers(-60, 60).map(float)


@given(ascending, st.lists(close, min_size=1), st.booleans())
def test_buckets_are_those_of_numpy(boundaries, values, right):
    values = np.array([*values, *boundaries], dtype=np.float64)
    found = run(values, "bucketize", boundaries=boundaries, closed="right" if right else "left")
    assert found.tolist() == np.digitize(values, boundaries, right=right).tolist()


@settings(max_examples=20)
@given(
    st.lists(
        st.floats(-50, 50, width=32, allow_subnormal=False), min_size=1, max_size=8, unique=True
    )  # TensorFlow takes subnormal numbers for 0
)
def test_buckets_of_float32_are_those_of_tensorflow(found):
    import tensorflow as tf

    boundaries = sorted(found)
    values = np.array([*boundaries, 0.7, -3, 49.99999], np.float32)
    expected = tf.raw_ops.Bucketize(input=values, boundaries=boundaries).numpy()
    assert run(values, "bucketize", boundaries=boundaries).tolist() == expected.tolist()


def test_boundary_that_no_float32_is_belongs_to_the_float32_that_is_written_so():
    import tensorflow as tf

    values = np.array([0.7, 0.1], np.float32)
    expected = tf.raw_ops.Bucketize(input=values, boundaries=[0.1, 0.7]).numpy().tolist()
    assert run(values, "bucketize", boundaries=[0.1, 0.7]).tolist() == expected == [2, 1]


@given(
    st.sampled_from(INTEGERS).flatmap(
        lambda dtype: hnp.arrays(dtype, 9, elements=hnp.from_dtype(np.dtype(dtype)))
    ),
    st.lists(
        st.integers(-(2**65), 2**65) | st.floats(-300, 300) | st.integers(-300, 300), min_size=1
    ),
    st.booleans(),
)
def test_integers_of_any_size_are_compared_exactly(values, boundaries, right):
    boundaries = sorted(set(boundaries))
    found = run(values, "bucketize", boundaries=boundaries, closed="right" if right else "left")
    passed = (lambda v, b: v > b) if right else (lambda v, b: v >= b)
    expected = [sum(passed(value, b) for b in boundaries) for value in values.tolist()]
    assert found.tolist() == expected


def test_intervals_closed_right_are_those_of_pandas():
    values, boundaries = np.array([0.0, 1, 1.5, 2, 9]), [1.0, 2.0]
    bins = pandas.cut(values, [-np.inf, *boundaries, np.inf], labels=False)
    assert run(values, "bucketize", boundaries=boundaries, closed="right").tolist() == bins.tolist()


def test_boundaries_out_of_order_or_alike_in_the_dtype_are_refused():
    with pytest.raises(ValidationError, match="found 1 behind 2, expected ascending numbers"):
        step("bucketize", boundaries=[2, 1])
    with pytest.raises(TypesError, match="a dtype in which its boundaries differ"):
        step("bucketize", boundaries=[1, 1 + 1e-9]).types(("float32", ()))


# --- clip, log1p


numbers = st.sampled_from([*INTEGERS, *FLOATS]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        (3, 2),
        elements=hnp.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False),
    )
)


@given(numbers, st.integers(0, 50), st.integers(50, 100))
def test_clip_and_log1p_are_those_of_numpy(values, low, high):
    found = run(values, "clip", min=low, max=high)
    assert found.dtype == values.dtype
    assert found.tolist() == np.clip(values, low, high).tolist()
    assert run(values, "clip", max=high).tolist() == np.clip(values, None, high).tolist()
    positive = np.abs(np.maximum(values, 0))
    wide = positive.astype(np.float32) if values.dtype == np.float16 else positive
    expected = np.log1p(wide if wide.dtype.kind == "f" else wide.astype(np.float64))
    logs = run(positive, "log1p")
    assert logs.dtype == expected.dtype
    assert logs.tolist() == expected.tolist()


def test_logarithm_of_nothing_is_a_reason():
    found = reasons(np.array([0.5, -1, -2]), "log1p")
    assert found == {1: "found -1.0, expected more than -1", 2: "found -2.0, expected more than -1"}


@pytest.mark.parametrize(
    ("keys", "dtype"),
    [
        ({"min": 0.5}, "int64"),
        ({"max": 300}, "uint8"),
        ({"min": -1}, "uint8"),
        ({"max": 1e39}, "float32"),
    ],
)
def test_limit_that_the_dtype_cannot_hold_is_refused(keys, dtype):
    with pytest.raises(TypesError, match="needs a dtype that can hold"):
        step("clip", **keys).types((dtype, ()))


@pytest.mark.parametrize("keys", [{}, {"min": 2, "max": 1}])
def test_limits_that_are_none_or_crossed_are_refused(keys):
    with pytest.raises(ValidationError, match="expected"):
        step("clip", **keys)


# --- parse_time


times = st.datetimes(
    datetime(2, 1, 1),
    datetime(9998, 12, 31),
    timezones=st.none() | st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))),
)


@given(times, st.sampled_from(["T", " "]))
def test_parts_are_those_of_the_time_in_utc_or_as_written(time, separator):
    written = time.isoformat(separator)
    utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    for part in ("year", "month", "day", "hour", "minute", "second"):
        assert run([written], "parse_time", part=part).tolist() == [getattr(utc, part)]
        as_written = run([written], "parse_time", part=part, clock="text")
        assert as_written.tolist() == [getattr(time, part)]
    assert run([written], "parse_time", part="weekday").tolist() == [utc.weekday()]
    day = (utc.date() - utc.date().replace(month=1, day=1)).days + 1
    assert run([written], "parse_time", part="day_of_year").tolist() == [day]
    micros = (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert run([written], "parse_time", part="epoch_us").tolist() == [micros]
    assert run([written], "parse_time", part="epoch_secs").tolist() == [utc.timestamp()]


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)))
def test_weekday_and_day_of_the_year_are_those_of_pandas(time):
    stamp = pandas.Timestamp(time)
    found = [run([str(time)], "parse_time", part=p)[0] for p in ("weekday", "day_of_year")]
    assert found == [stamp.dayofweek, stamp.dayofyear]


@pytest.mark.parametrize(
    ("written", "hour"),
    [
        ("2024-03-01", 0),
        ("2024-03-01T10:00Z", 10),
        ("20240301T1000+0230", 7),
        (" 2024-W09-5T10 ", 10),
        ("2024-03-01T10:00:00.123456789+00:00", 10),
    ],
)
def test_iso_8601_in_its_forms(written, hour):
    assert run([written], "parse_time", part="hour").tolist() == [hour]


def test_other_formats_are_those_of_strptime():
    keys = {"part": "epoch_secs", "format": "%d/%m/%Y %H:%M %z"}
    assert run(["02/01/1970 01:00 +0100"], "parse_time", **keys).tolist() == [86400.0]
    assert run(["17:05"], "parse_time", part="hour", format="%H:%M").tolist() == [17]


@pytest.mark.parametrize(
    "bad", ["", "yesterday", "2024-13-01", "2024-02-30", "0001-01-01T00:00+01:00"]
)
def test_text_that_is_no_time_is_a_reason_and_costs_no_other(bad):
    found = reasons(["2024-01-01", bad], "parse_time", part="hour")
    assert found == {1: f"found {bad!r}, expected a time in ISO 8601"}


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"part": "day", "format": "%H:%M"}, "needs a year, and the format has none"),
        ({"part": "day", "format": "%Y %Q"}, "'Q' is a bad directive"),
        ({"part": "day", "format": "%Y %Z"}, "a name of a time zone"),
        ({"part": "day", "format": "YYYY"}, "expected `iso` or directives"),
        ({"part": "epoch_us", "clock": "text"}, "`clock: text` has no use"),
    ],
)
def test_formats_that_cannot_tell_are_refused(keys, says):
    with pytest.raises(ValidationError, match=says):
        step("parse_time", **keys)
