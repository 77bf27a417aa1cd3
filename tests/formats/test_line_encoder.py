"""JSON lines from columns: types kept, nothing invalid, dead letters that hold the payload."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.batch.batch import Batch, Reject
from pipeline.batch.block import Origin
from pipeline.batch.columns import Ragged
from pipeline.batch.release import ModelVersion, Release
from pipeline.formats import line_encoder
from pipeline.formats.table_encoder import prediction_table

RELEASE = Release(4, (ModelVersion("m", "gs://b/m/7", "d1"), ModelVersion("a", "x/2/a.onnx", "d2")))


def batch(**columns):
    n = len(next(iter(columns.values())))
    return Batch(
        ids=tuple(f"id{i}" for i in range(n)),
        payloads=tuple(b"p%d" % i for i in range(n)),
        columns=columns,
        release=RELEASE,
    )


def lines(encoded):
    assert all(line.endswith(b"\n") for line in encoded)
    return [json.loads(line) for line in encoded]


def test_prediction_holds_id_columns_in_order_and_the_release():
    made = batch(label=np.array([3, 1]), proba=np.array([[0.25, 0.75], [1.0, 0.0]]))
    first, second = lines(line_encoder.predictions(made, ["proba", "label"]))
    assert first == {
        "id": "id0",
        "predictions": {"proba": [0.25, 0.75], "label": 3},
        "release": {"id": RELEASE.release_id, "generation": 4, "models": {"a": "2", "m": "7"}},
    }
    assert list(first["predictions"]) == ["proba", "label"]
    assert second["predictions"]["label"] == 1


def test_integers_stay_integers_and_float32_keeps_its_short_form():
    (text,) = line_encoder.predictions(
        batch(i=np.array([3], dtype=np.uint8), f=np.array([0.1], dtype=np.float32)), ["i", "f"]
    )
    assert b'"i":3,"f":0.1}' in text


def test_text_with_quotes_percent_and_line_breaks_survives():
    column = np.array(['50%b "x"\n', "ü"], dtype=object)
    made = batch(**{"100%b": column})
    assert [
        line["predictions"]["100%b"] for line in lines(line_encoder.predictions(made, ["100%b"]))
    ] == list(column)


@given(
    ids=st.lists(st.text(max_size=5) | st.integers(-(2**63), 2**64 - 1), max_size=5),
    texts=st.data(),
    extras=st.booleans(),
    dated=st.booleans(),
)
def test_lines_together_are_the_lines_one_by_one(ids, texts, extras, dated):
    column = texts.draw(st.lists(st.text(max_size=4), min_size=len(ids), max_size=len(ids)))
    made = Batch(
        ids=tuple(ids),
        payloads=(b"",) * len(ids),
        columns={"t,%": np.array(column, dtype=object), "n": np.arange(len(ids))},
        pass_through=tuple(b'{"%b":1}' for _ in ids) if extras else None,
        origins=tuple(Origin(7, {}, "") for _ in ids) if dated else None,
        release=RELEASE,
    )
    for output in (["t,%", "n"], ["n"], []):
        encoded = line_encoder.predictions(made, output)
        assert line_encoder.predictions_text(made, output) == b"".join(encoded)
        found = lines(encoded)
        assert [line["id"] for line in found] == ids
        if "t,%" in output:
            assert [line["predictions"]["t,%"] for line in found] == column


def test_bytes_are_base64_and_ragged_rows_keep_their_lengths():
    made = batch(
        raw=np.array([b"\xff", b""], dtype=object),
        tokens=Ragged([np.array([1, 2]), np.array([], dtype=np.int64)]),
    )
    found = [
        line["predictions"] for line in lines(line_encoder.predictions(made, ["raw", "tokens"]))
    ]
    assert found == [{"raw": "/w==", "tokens": [1, 2]}, {"raw": "", "tokens": []}]


def test_rows_with_nan_or_infinity_become_rejects_that_name_the_column():
    made = batch(a=np.array([1.0, np.nan, 2.0]), b=np.array([[1.0, 1], [1, 1], [np.inf, 1]]))
    kept = line_encoder.reject_unwritable(made, ["a", "b"])
    assert kept.ids == ("id0",)
    assert [(r.payload, r.stage, r.error_type) for r in kept.rejects] == [
        (b"p1", "encode", "not_finite_output"),
        (b"p2", "encode", "not_finite_output"),
    ]
    assert "'a'" in kept.rejects[0].error_message
    assert "'b'" in kept.rejects[1].error_message
    assert kept.rejects[0].release == RELEASE


def test_not_finite_values_outside_the_output_are_no_ones_business():
    assert (
        len(line_encoder.reject_unwritable(batch(a=np.array([np.nan]), b=np.array([1])), ["b"]))
        == 1
    )


@pytest.mark.parametrize(
    "column",
    [
        np.array(["fine", "half \ud800", "größe"], dtype=object),
        np.array(["fine", "half \ud800", "größe"]),
        np.array([["fine", "a"], ["half", "\udfff"], ["b", "größe"]], dtype=object),
        Ragged([np.array(["a"], dtype=object), np.array(["a", "\udfff"]), np.array(["b"])]),
    ],
)
def test_row_with_text_that_is_not_utf_8_is_a_reject_and_costs_no_other(column):
    kept = line_encoder.reject_unwritable(batch(c=column), ["c"])
    assert [(r.payload, r.stage, r.error_type) for r in kept.rejects] == [
        (b"p1", "encode", "not_text_output")
    ]
    assert [line["id"] for line in lines(line_encoder.predictions(kept, ["c"]))] == ["id0", "id2"]
    assert prediction_table(kept, ["c"]).num_rows == 2


@pytest.mark.parametrize("values", [["fine", "größe"], [b"fine", b"\xff"], []])
@pytest.mark.parametrize("ragged", [False, True])
def test_text_that_can_be_written_is_not_looked_at_row_by_row(values, ragged, monkeypatch):
    monkeypatch.setattr(line_encoder, "is_text", lambda _: pytest.fail("looked at each value"))
    column = np.empty((2, len(values)), dtype=object)
    column[:] = values
    made = batch(c=Ragged(column) if ragged else column)
    assert line_encoder.reject_unwritable(made, ["c"]) is made


def test_half_pairs_of_two_rows_make_no_character():
    kept = line_encoder.reject_unwritable(
        batch(c=np.array(["\ud83d", "\ude00"], dtype=object)), ["c"]
    )
    assert [reject.error_type for reject in kept.rejects] == ["not_text_output"] * 2


def test_text_beside_bytes_is_looked_at():
    kept = line_encoder.reject_unwritable(
        batch(c=np.array([b"\xff", "\ude00"], dtype=object)), ["c"]
    )
    assert [reject.payload for reject in kept.rejects] == [b"p1"]


def test_words_of_a_framework_that_are_not_utf_8_are_escaped():
    (reject,) = (
        batch(c=np.array([1]))
        .reject({0: ("model_error", "cannot read '\ud800'")}, stage="inference")
        .rejects
    )
    letter = json.loads(line_encoder.dead_letter(reject, datetime.now(UTC)))
    assert letter["error_message"] == "cannot read '\\ud800'"


def test_batch_without_release_is_refused():
    made = Batch(ids=("a",), payloads=(b"",), columns={"x": np.array([1])})
    with pytest.raises(ValueError, match="release"):
        line_encoder.predictions(made, ["x"])


numeric = hnp.arrays(
    dtype=st.sampled_from(["int8", "uint64", "int64", "float16", "float32", "float64", "bool"]),
    shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3),
    elements={"allow_nan": False, "allow_infinity": False},
)


@given(numeric)
def test_any_numeric_column_reads_back_as_it_was(column):
    found = [
        line["predictions"]["c"] for line in lines(line_encoder.predictions(batch(c=column), ["c"]))
    ]
    assert np.array_equal(np.array(found, dtype=column.dtype), column)
    kinds = {bool} if column.dtype == bool else {int} if column.dtype.kind in "iu" else {float, int}
    assert {type(v) for v in np.array(found, dtype=object).ravel()} <= kinds


def test_dead_letter_holds_payload_reason_release_and_time():
    reject = Reject(
        b"\xc3\xa9", "r1", "inference", "model_error", "boom", model="m", release=RELEASE
    )
    letter = orjson.loads(
        line_encoder.dead_letter(reject, datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))
    )
    assert letter == {
        "payload": "é",
        "payload_encoding": "utf-8",
        "id": "r1",
        "stage": "inference",
        "model": "m",
        "error_type": "model_error",
        "error_message": "boom",
        "release": RELEASE.as_json(),
        "time": "2026-03-04T05:06:07.000Z",
    }


def test_payload_that_is_not_utf8_is_base64():
    letter = orjson.loads(
        line_encoder.dead_letter(
            Reject(b"\xff\x00", None, "decode", "not_utf8", "x"), datetime.now(UTC)
        )
    )
    assert (letter["payload"], letter["payload_encoding"]) == ("/wA=", "base64")


ORIGIN = Origin(1_767_225_600_123_456, {"city": "Oslo"}, "k1")


def test_event_time_attributes_and_ordering_key_survive():
    made = replace(batch(y=np.array([1, 2])), origins=(ORIGIN, ORIGIN))
    encoded = line_encoder.predictions(made, ["y"])
    assert lines(encoded)[0]["event_time"] == "2026-01-01T00:00:00.123Z"
    first, _ = line_encoder.prediction_messages(made, encoded)
    assert first.data == encoded[0].rstrip()
    assert first.ordering_key == "k1"
    assert first.attributes == {
        "city": "Oslo",
        "record_id": "id0",
        "release_id": RELEASE.release_id,
        "generation": "4",
    }


def test_dead_letter_keeps_event_time_and_attributes():
    reject = Reject(b"x", None, "decode", "not_json", "no", origin=ORIGIN)
    line = line_encoder.dead_letter(reject, datetime.now(UTC))
    letter = orjson.loads(line)
    assert letter["event_time"] == "2026-01-01T00:00:00.123Z"
    assert letter["attributes"] == {"city": "Oslo"}
    message = line_encoder.dead_letter_message(reject, line)
    assert message.attributes == {"city": "Oslo", "stage": "decode", "error_type": "not_json"}
