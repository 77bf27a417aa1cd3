"""Rows and outputs whose lengths or types vary within a batch."""

import numpy as np
import pytest

from pipeline.batch import columns
from pipeline.batch.columns import Ragged
from pipeline.batch.tensors import Signature
from pipeline.errors import ModelFaultError
from pipeline.serving.step.model_step import ModelStep
from pipeline.testing import FakeServable
from tests.serving.step.entries import batch, spec

RAGGED = Ragged([np.array([1, 2]), np.array([3]), np.array([4, 5])])


def test_rows_of_different_length_are_grouped_and_come_back_in_order():
    servable = FakeServable(lambda inputs: {"y": inputs["x"].sum(axis=1)})
    done = ModelStep(spec()).run(batch(RAGGED), servable)
    assert servable.calls == [2, 1]
    assert done.columns["twice"].tolist() == [3, 3, 9]


def test_rows_of_different_length_are_padded_when_the_model_asks_for_it():
    seen = []
    step = ModelStep(spec({"x": {"column": "x", "pad_value": 0}}))
    servable = FakeServable(lambda i: seen.append(i["x"].tolist()) or {"y": i["x"].sum(axis=1)})
    assert step.run(batch(RAGGED), servable).columns["twice"].tolist() == [3, 3, 9]
    assert seen == [[[1, 2], [3, 0], [4, 5]]]


def pieces(inputs):
    """As many ones as the row says."""
    return {"y": Ragged([np.ones(int(n), "f4") for n in inputs["x"]])}


def test_outputs_of_different_length_become_a_ragged_column():
    done = ModelStep(spec(), call_rows=3).run(batch(np.array([2, 0, 1, 1])), FakeServable(pieces))
    assert isinstance(done.columns["twice"], Ragged)
    assert [len(row) for row in done.columns["twice"].rows] == [2, 0, 1, 1]


def test_computed_column_is_ragged_also_where_its_rows_agree():
    step, rows = ModelStep(spec()), np.arange(2)
    found = step.compute({"x": np.array([2, 2])}, rows, FakeServable(pieces))["y"]
    assert isinstance(found, Ragged)
    found = step.compute(
        {"x": Ragged([np.array([2]), np.array([2, 2])])}, rows, FakeServable(pieces_of)
    )
    assert isinstance(found["y"], Ragged)
    several = FakeServable(pieces, Signature(fixed_batch_rows=1))
    assert isinstance(step.compute({"x": np.array([2, 2])}, rows, several)["y"], Ragged)


def pieces_of(inputs):
    return {"y": Ragged([np.ones(3, "f4") for _ in inputs["x"]])}


def test_ragged_outputs_of_calls_with_a_fixed_number_of_rows_are_those_of_the_rows():
    signature = Signature(fixed_batch_rows=4)
    done = ModelStep(spec()).run(
        batch(np.array([2, 0, 1, 3, 1, 5])), FakeServable(pieces, signature)
    )
    assert [len(row) for row in done.columns["twice"].rows] == [2, 0, 1, 3, 1, 5]


def test_list_with_another_number_of_rows_is_a_model_fault_that_names_the_way_out():
    servable = FakeServable(lambda inputs: {"y": Ragged([np.zeros(2)] * 3)})
    done = ModelStep(spec()).run(batch(np.arange(8)), servable)
    assert {r.error_type for r in done.rejects} == {"model_fault"}
    reason = done.rejects[0].error_message
    assert "output 'y' is a list of 3 for" in reason
    assert "or a list with one tensor for each row" in reason


def test_empty_list_is_a_model_fault_that_names_the_way_out():
    empty = FakeServable(lambda inputs: {"y": Ragged([])})
    with pytest.raises(ModelFaultError, match="output 'y' is a list of 0 for 2 rows"):
        ModelStep(spec()).compute({"x": np.arange(2)}, np.arange(2), empty)


def test_output_of_a_dtype_that_no_column_has_is_named():
    servable = FakeServable(lambda inputs: {"y": inputs["x"] * 1j})
    with pytest.raises(TypeError, match="output 'y' has dtype complex128, expected one of"):
        ModelStep(spec()).compute({"x": np.ones(2)}, np.arange(2), servable)


def test_rows_of_different_rank_are_no_column():
    mixed = FakeServable(lambda inputs: {"y": Ragged([np.zeros(2), np.zeros((1, 2))])})
    with pytest.raises(ModelFaultError, match="rows of different rank or dtype"):
        ModelStep(spec()).compute({"x": np.arange(2)}, np.arange(2), mixed)


def test_bytes_stay_bytes_in_every_row_whatever_the_backend_could_decode():
    column = np.array(["plain", b"\xff", "ü"], dtype=object)
    servable = FakeServable(lambda inputs: {"y": inputs["x"]})
    done = ModelStep(spec(bytes_outputs=["y"])).run(batch(column), servable)
    assert done.columns["twice"].tolist() == [b"plain", b"\xff", "ü".encode()]
    assert done.rejects == ()


def test_lists_of_text_are_text_in_every_row():
    rows = [np.array(["a", b"\xff"], object), np.array([], object), np.array([b"b"], object)]
    servable = FakeServable(lambda inputs: {"y": Ragged(rows)})
    done = ModelStep(spec()).run(batch(np.arange(3)), servable)
    assert [row.tolist() for row in columns.iterate(done.columns["twice"])] == [[], ["b"]]
    assert [r.record_id for r in done.rejects] == [0]


def by_call(small, large):
    """Returns one form for calls of small numbers and another one for others."""
    return FakeServable(
        lambda inputs: {"y": np.stack([small if inputs["x"][0] < 2 else large] * len(inputs["x"]))}
    )


@pytest.mark.parametrize(
    ("small", "large", "found"),
    [
        (np.array(7.0), np.array([8.0]), "rank 1 and float64"),
        (np.array(True), np.array(3), "rank 0 and int64"),
        (np.array(0.5), np.array(2**53 + 1), "rank 0 and int64"),
    ],
)
def test_rows_of_calls_of_another_form_cost_themselves_with_the_reason(small, large, found):
    done = ModelStep(spec(max_batch_size=2)).run(batch(np.arange(4)), by_call(small, large))
    assert done.columns["twice"].tolist() == [small.item()] * 2
    assert [(r.record_id, r.error_type) for r in done.rejects] == [
        (2, "model_error"),
        (3, "model_error"),
    ]
    assert f"model 'm': output 'y' has rows of {found} here" in done.rejects[0].error_message


def test_call_of_empty_rows_does_not_make_bytes_of_other_calls_numbers():
    def words(inputs):
        few = inputs["x"][0] < 1
        return {"y": Ragged([np.empty(0) if few else np.array([b"\xff"], object)])}

    step = ModelStep(spec(max_batch_size=1, bytes_outputs=["y"]))
    done = step.run(batch(np.arange(3)), FakeServable(words))
    assert [row.tolist() for row in done.columns["twice"].rows] == [[], [b"\xff"], [b"\xff"]]
    assert {row.dtype for row in done.columns["twice"].rows} == {np.dtype(object)}


def test_rows_of_another_length_are_not_rounded_by_what_others_return():
    def sizes(inputs):
        long = inputs["x"].shape[1] > 1
        return {"y": np.full(len(inputs["x"]), 2**53 + 1 if long else 0.5)}

    column = Ragged([np.zeros(1), np.zeros(2), np.zeros(1)])
    done = ModelStep(spec()).run(batch(column), FakeServable(sizes))
    assert done.columns["twice"].tolist() == [0.5, 0.5]
    assert [r.record_id for r in done.rejects] == [1]
    assert "has rows of rank 0 and int64 here" in done.rejects[0].error_message


def test_parts_of_a_fixed_number_of_rows_are_not_rounded_by_what_others_return():
    def sizes(inputs):
        large = inputs["x"][0] > 1
        return {"y": np.full(len(inputs["x"]), 2**53 + 1 if large else 0.5)}

    servable = FakeServable(sizes, Signature(fixed_batch_rows=2))
    done = ModelStep(spec()).run(batch(np.array([0.0, 1.0, 5.0, 6.0])), servable)
    assert done.columns["twice"].tolist() == [0.5, 0.5]
    assert [reject.record_id for reject in done.rejects] == [2, 3]
