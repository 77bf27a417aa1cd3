"""Calls are filled up to a few numbers of rows, and nobody notices."""

import numpy as np
import pytest

from pipeline.backends.base import LoadContext
from pipeline.backends.filled import FilledServable, PairedServable, row_sizes
from pipeline.batch.columns import Ragged
from pipeline.errors import ModelFaultError, OutOfMemoryError, ProcessLostError
from pipeline.serving import opening
from pipeline.testing import FakeServable
from tests.support.specs import model_spec


def twice(inputs):
    return {"y": inputs["x"] * inputs["gain"], "whole": inputs["gain"]}


@pytest.mark.parametrize(
    ("call_rows", "between", "sizes"),
    [
        (1, False, (1,)),
        (64, False, (1, 2, 4, 8, 16, 32, 64)),
        (100, False, (1, 2, 4, 8, 16, 32, 64, 100)),
        (100, True, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 100)),
        (2, True, (1, 2)),
    ],
)
def test_sizes_are_few_and_end_with_the_largest_call(call_rows, between, sizes):
    assert row_sizes(call_rows, between) == sizes


@pytest.mark.parametrize("between", [False, True])
def test_framework_sees_only_sizes_and_each_call_gets_back_its_own_rows(between):
    fake = FakeServable(twice)
    servable = FilledServable(fake, ["x"], 100, between)
    for count in range(1, 131):
        x = np.arange(2.0 * count).reshape(count, 2)
        found = servable.predict({"x": x, "gain": np.array(3.0)})
        np.testing.assert_array_equal(found["y"], 3 * x)
        assert found["whole"] == 3.0  # has no rows to cut off
    assert set(fake.calls) == {*row_sizes(100, between), 128, 256}
    assert servable.warm_up_rows == row_sizes(100, between)


def test_text_is_filled_up_as_well():
    servable = FilledServable(FakeServable(lambda inputs: {"y": inputs["x"]}), ["x"], 8)
    texts = np.array(["a", "b", "c"], dtype=object)
    assert servable.predict({"x": texts})["y"].tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(("device", "filled"), [("cpu", False), ("cuda:0", True)])
@pytest.mark.parametrize("shared", [False, True])
def test_models_on_a_gpu_are_filled_up(device, filled, shared, monkeypatch, tmp_path):
    fake = FakeServable(lambda inputs: {"y": inputs["x"]})
    fake.device, fake.calls_at_once = device, 2

    class Backend:
        def load(self, *arguments):
            return fake

    monkeypatch.setattr(opening.registry, "backend", lambda framework: Backend())
    spec = model_spec(framework="onnx", inputs={"x": "x"}, outputs={"y": "y"})
    context = LoadContext("auto", shared=shared, call_rows=16)
    servable = opening.Opening(tmp_path, spec, context)()
    assert len(servable.predict({"x": np.ones((5, 1))})["y"]) == 5
    assert fake.calls == [6 if filled else 5]
    assert servable.device == device
    assert servable.warm_up_rows == (row_sizes(16, between=True) if filled else ())
    assert servable.prepared_rows == (16 if filled else None)
    servable.close()
    assert fake.closed


@pytest.mark.parametrize("extra", [-1, 1])
@pytest.mark.parametrize("ragged", [False, True])
def test_output_with_other_than_the_rows_filled_up_to_is_refused_not_shifted(extra, ragged):
    def other_rows(inputs):
        rows = np.resize(inputs["x"], (len(inputs["x"]) + extra, 1))
        return {"y": Ragged(rows) if ragged else rows}

    servable = FilledServable(FakeServable(other_rows), ["x"], 8)
    with pytest.raises(ModelFaultError, match=rf"output 'y' has {8 + extra} rows for 8"):
        servable.predict({"x": np.arange(5.0).reshape(5, 1)})


def squeezed(inputs):
    """As a network that squeezes its output: one row loses the batch axis."""
    return {"y": np.squeeze(inputs["x"] * inputs["gain"])}


def paired(function):
    fake = FakeServable(function)
    return fake, PairedServable(fake, ["x"], ["y"])


def ask(servable, *rows):
    return servable.predict({"x": np.array(rows).reshape(-1, 1), "gain": np.array(3.0)})["y"]


def test_single_row_goes_as_two_where_one_loses_the_batch_axis():
    fake, servable = paired(squeezed)
    assert ask(servable, 1.0, 2.0).tolist() == [3, 6]
    assert ask(servable, 5.0).tolist() == [15]
    assert ask(servable, 7.0).tolist() == [21]
    assert fake.calls == [2, 1, 2, 2]  # found out once


def test_single_row_goes_as_two_where_one_is_refused():
    def never_one(inputs):
        if len(inputs["x"]) == 1:
            raise ValueError("expected more than 1 value")
        return {"y": inputs["x"][:, 0]}

    fake, servable = paired(never_one)
    assert [ask(servable, v).tolist() for v in (5.0, 7.0)] == [[5], [7]]
    assert fake.calls == [1, 2, 2]


def test_row_at_fault_is_tried_as_two_only_until_one_row_has_worked():
    def picky(inputs):
        if (inputs["x"] < 0).any():
            raise ValueError("negative")
        return {"y": inputs["x"][:, 0]}

    fake, servable = paired(picky)
    with pytest.raises(ValueError, match="negative"):
        ask(servable, -1.0)
    assert ask(servable, 1.0).tolist() == [1]
    with pytest.raises(ValueError, match="negative"):
        ask(servable, -1.0)
    assert fake.calls == [1, 2, 1, 1]


@pytest.mark.parametrize("ragged", [False, True])
def test_two_of_something_for_any_rows_are_no_rows(ragged):
    def coordinates(inputs):
        found = np.array(np.nonzero(inputs["x"]))
        return {"y": Ragged(list(found)) if ragged else found}

    _, servable = paired(coordinates)
    assert len(ask(servable, 1.0)) == 2  # which is refused where rows are counted
    assert len(ask(servable, 1.0, 2.0, 3.0)) == 2


def test_output_that_never_has_rows_comes_as_it_is():
    _, servable = paired(lambda inputs: {"y": np.float64(3)})
    assert ask(servable, 1.0).shape == ()


@pytest.mark.parametrize("error", [OutOfMemoryError("full"), ProcessLostError("gone")])
def test_call_that_the_machine_fails_says_nothing_of_single_rows(error):
    def fail(inputs):
        raise error

    fake, servable = paired(fail)
    with pytest.raises(type(error)):
        ask(servable, 1.0)
    assert fake.calls == [1]


def test_lists_of_rows_that_stand_in_are_cut_off_as_well():
    pieces = FakeServable(lambda inputs: {"y": Ragged([np.ones(n) for n in inputs["x"]])})
    found = FilledServable(pieces, ["x"], 8).predict({"x": np.array([2, 0, 3])})["y"]
    assert [len(row) for row in found.rows] == [2, 0, 3]
    assert pieces.calls == [4]
