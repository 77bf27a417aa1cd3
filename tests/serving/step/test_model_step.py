"""One model over a batch: what its tensors get, and what becomes of its outputs."""

import pickle

import numpy as np
import pytest

from pipeline.batch.categorical import categorical
from pipeline.batch.tensors import Signature, TensorSpec
from pipeline.serving.step.model_step import ModelStep
from pipeline.testing import FakeServable
from tests.serving.step.entries import GOOD, batch, spec, twice


@pytest.mark.parametrize("values", [np.arange(3), np.array(["a", "b", "c"], dtype=object)])
def test_single_values_fit_a_tensor_with_an_axis_of_one(values):
    seen = []

    def look(inputs):
        seen.append(inputs["x"].shape)
        return {"y": inputs["x"]}

    servable = FakeServable(look)
    servable.signature = Signature(inputs=(TensorSpec("x", None, (None, 1)),))
    done = ModelStep(spec()).run(batch(values), servable)
    assert done.columns["twice"].tolist() == [[value] for value in values]
    assert all(shape[1:] == (1,) for shape in seen)


def test_model_gets_categories_as_a_plain_array():
    kinds = []

    def look(inputs):
        kinds.append(type(inputs["x"]))
        return {"y": inputs["x"]}

    column = categorical(np.array(["a", "b"], dtype=object), np.array([1, 0, 1]))
    done = ModelStep(spec()).run(batch(column), FakeServable(look))
    assert done.columns["twice"].tolist() == ["b", "a", "b"]
    assert set(kinds) == {np.ndarray}


def test_outputs_become_columns():
    done = ModelStep(spec()).run(batch(np.arange(5)), FakeServable(twice))
    assert done.columns["twice"].tolist() == [0, 2, 4, 6, 8]


def test_step_of_a_job_can_be_sent_to_a_worker():
    pickle.loads(pickle.dumps(ModelStep(spec()))).run(batch(GOOD), FakeServable(twice))


def test_output_with_another_number_of_rows_is_a_model_fault():
    servable = FakeServable(lambda inputs: {"y": np.zeros(3)})
    done = ModelStep(spec()).run(batch(np.arange(8)), servable)
    assert {r.error_type for r in done.rejects} == {"model_fault"}
    assert "expected the rows as first axis" in done.rejects[0].error_message


def test_column_is_cast_to_the_declared_dtype():
    seen = []
    servable = FakeServable(
        lambda inputs: seen.append(inputs["x"].dtype) or twice(inputs),
        Signature(inputs=(TensorSpec("x", "float32", (None,)),)),
    )
    ModelStep(spec()).run(batch(np.arange(3, dtype=np.float64)), servable)
    assert seen == [np.float32]


def test_constant_input_comes_without_batch_axis():
    step = ModelStep(spec({"x": "x", "k": {"value": 3, "dtype": "int64"}}))
    done = step.run(batch(np.arange(4)), FakeServable(lambda i: {"y": i["x"] * i["k"]}))
    assert done.columns["twice"].tolist() == [0, 3, 6, 9]


def declares(dtype):
    return Signature(inputs=(TensorSpec("x", dtype),))


def test_rows_whose_numbers_the_tensor_cannot_hold_cost_themselves_only():
    column = np.array([1, 2**24 + 1, 3, 2**24 + 3])
    servable = FakeServable(twice, declares("float32"))
    done = ModelStep(spec()).run(batch(column), servable)
    assert done.columns["twice"].tolist() == [2, 6]
    assert [(r.record_id, r.error_type, r.stage, r.model) for r in done.rejects] == [
        (1, "cast_error", "inference", "m"),
        (3, "cast_error", "inference", "m"),
    ]
    assert done.rejects[0].error_message == (
        "model 'm' input 'x': found 16777217 in column 'x', expected what float32 can hold"
    )
    assert servable.calls == [2]


def test_batch_of_which_the_tensor_can_hold_no_row_makes_no_call():
    servable = FakeServable(twice, declares("float16"))
    done = ModelStep(spec(), max_model_faults=1).run(batch(np.array([1e6, -1e6])), servable)
    assert len(done.rejects) == 2
    assert servable.calls == []


def test_text_that_is_none_costs_its_row_only():
    column = np.array([b"plain", b"\xff", "ü".encode(), b"//4="], dtype=object)
    servable = FakeServable(lambda inputs: {"y": inputs["x"]})
    done = ModelStep(spec()).run(batch(column), servable)
    assert done.columns["twice"].tolist() == ["plain", "ü", "//4="]
    assert [(r.record_id, r.error_type) for r in done.rejects] == [(1, "not_text")]
    assert "0xff at position 0" in done.rejects[0].error_message
    assert "`bytes_outputs`" in done.rejects[0].error_message
    assert servable.calls == [4]


@pytest.mark.parametrize("changes", [{}, {"bytes_outputs": ["y"]}], ids=["text", "bytes"])
@pytest.mark.parametrize("other", [None, 1.5, ["list"]], ids=str)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_neither_text_nor_bytes_costs_its_row_only(other, place, changes):
    column = np.array(["a", "b", "c"], dtype=object)
    column[place] = other
    servable = FakeServable(lambda inputs: {"y": inputs["x"]})
    done = ModelStep(spec(**changes)).run(batch(column), servable)
    kept = [value for row, value in enumerate("abc") if row != place]
    assert done.columns["twice"].tolist() == [v.encode() if changes else v for v in kept]
    # Without text before it, it is no dtype, which fails the call: its row is found by bisection.
    reason = "not_text" if place else "model_error"
    assert [(r.record_id, r.error_type, r.model) for r in done.rejects] == [(place, reason, "m")]
    assert f"holds {type(other).__name__} " in done.rejects[0].error_message


def test_output_of_which_nothing_is_text_is_an_error_of_its_model():
    servable = FakeServable(lambda inputs: {"y": np.array([None] * len(inputs["x"]))})
    done = ModelStep(spec()).run(batch(np.arange(3)), servable)
    assert [reject.error_type for reject in done.rejects] == ["model_error"] * 3
    assert "holds NoneType objects" in done.rejects[0].error_message


def test_half_a_surrogate_pair_cannot_become_bytes_and_costs_its_row_only():
    column = np.array(["a", "b\ud83d", b"c"], dtype=object)
    servable = FakeServable(lambda inputs: {"y": inputs["x"]})
    done = ModelStep(spec(bytes_outputs=["y"])).run(batch(column), servable)
    assert done.columns["twice"].tolist() == [b"a", b"c"]
    assert [(r.record_id, r.error_type) for r in done.rejects] == [(1, "not_text")]
    assert "half of a surrogate pair at position 1" in done.rejects[0].error_message
