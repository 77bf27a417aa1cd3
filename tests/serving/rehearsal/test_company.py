"""A model that gives a row something else in other company is refused, with both values."""

import itertools

import numpy as np
import pytest

from pipeline.backends.filled import PairedServable
from pipeline.batch.release import ModelVersion, Release
from pipeline.batch.tensors import Signature, TensorSpec
from pipeline.errors import ModelError, OutOfMemoryError
from pipeline.serving.rehearsal import golden
from pipeline.serving.rehearsal.rehearsal import Comparison, attempt, rehearse
from pipeline.serving.release_manager import ReleaseManager
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from pipeline.testing import FakeLoader, FakeServable

X = {"x": {"dtype": "float32", "shape": [4]}}


def entry(name="a", inputs=None, outputs=None, **more):
    return {
        "name": name,
        "framework": "onnx",
        "uri": f"{name}/1",
        "inputs": inputs or {"x": "x"},
        "outputs": outputs or {"y": f"{name}_y"},
        **more,
    }


def ensemble(*models, fields=None):
    record = {"fields": fields or X}
    return resolve(EnsembleSpec.model_validate({"name": "e", "record": record, "models": models}))


def run(graph, servables, comparison=None):
    release = Release(1, tuple(ModelVersion(m.name, m.uri, m.name) for m in graph.models))
    manager = ReleaseManager(FakeLoader(lambda version: servables[version.model]))
    return rehearse(graph, release, manager, comparison=comparison or Comparison())


def problem(function, comparison=None, **more):
    servable = FakeServable(function)
    with pytest.raises(ModelError) as error:
        run(ensemble(entry(**more)), {"a": servable}, comparison)
    (found,) = error.value.problems
    return found


def passes(function, comparison=None, fields=None, **more):
    """The calls, as numbers of rows."""
    servable = FakeServable(function)
    run(ensemble(entry(**more), fields=fields), {"a": servable}, comparison)
    return servable.calls


def total(inputs):
    return {"y": inputs["x"].sum(axis=1)}


def over_the_batch(inputs):
    return {"y": (inputs["x"] - inputs["x"].mean(axis=0)).sum(axis=1)}


def along_the_rows(inputs):
    """As a recurrent network whose first axis is time: the first row is right."""
    return {"y": np.cumsum(inputs["x"].sum(axis=1))}


def counting():
    calls = itertools.count()
    return lambda inputs: {"y": inputs["x"].sum(axis=1) + next(calls)}


def noisy():
    chance = np.random.default_rng(0)
    return lambda inputs: {"y": inputs["x"].sum(axis=1) + chance.normal(size=len(inputs["x"]))}


def test_rows_are_computed_together_alone_in_another_order_and_again():
    rows = []

    def look(inputs):
        rows.append(inputs["x"].copy())
        return total(inputs)

    assert passes(look) == [3, 1, 3, 3]
    together, alone, backwards, again = rows
    assert len(np.unique(together, axis=0)) == 3
    np.testing.assert_array_equal(alone, together[-1:])
    np.testing.assert_array_equal(backwards, together[::-1])
    np.testing.assert_array_equal(again, together)


def test_model_that_normalises_over_the_batch_is_refused_with_both_values():
    found = problem(over_the_batch)
    assert found.startswith("model 'a' gives rows other outputs in other company: output 'y'")
    assert " together with 2 others, but 0 alone" in found
    assert "in another order" not in found  # the same rows, so the same mean
    assert "again" not in found
    assert "`independent_rows: false`" in found


def test_rows_along_an_axis_are_refused_although_the_first_row_is_right():
    found = problem(along_the_rows)
    assert " alone" in found
    assert " in another order" in found
    assert "its rows on another axis" in found


@pytest.mark.parametrize("model", [counting(), noisy()])
def test_model_with_state_or_chance_is_refused_and_told_so(model):
    found = problem(model)
    assert " again;" in found
    assert "it draws random numbers or keeps state between calls" in found


@pytest.mark.parametrize("good", [2, 3])
def test_model_that_fails_when_it_is_called_again_is_refused(good):
    calls = itertools.count(1)

    def used_up(inputs):
        if next(calls) > good:
            raise RuntimeError("generator already executing")
        return total(inputs)

    assert problem(used_up) == (
        "model 'a' fails when it is called again: RuntimeError: generator already executing"
    )


@pytest.mark.parametrize("model", [over_the_batch, along_the_rows, counting(), noisy()])
def test_what_is_meant_is_allowed_and_not_compared(model):
    assert passes(model, independent_rows=False) == [3, 1]


def test_each_row_alone_is_the_same_where_that_is_all_that_is_asked_for():
    assert passes(over_the_batch, max_batch_size=1) == [1] * 9
    assert passes(along_the_rows, Comparison(call_rows=1)) == [1] * 9


def test_state_shows_also_where_each_row_is_alone():
    found = problem(counting(), max_batch_size=1)
    assert " at first, but " in found


def test_process_that_loads_an_accepted_release_compares_nothing_but_calls_with_one_row():
    servable = FakeServable(over_the_batch)
    graph = ensemble(entry())
    release = Release(1, (ModelVersion("a", "a/1", "a"),))
    manager = ReleaseManager(FakeLoader(lambda v: servable))
    rehearse(graph, release, manager, comparison=Comparison(in_company=False))
    assert servable.calls == [3, 1]


def test_difference_within_rounding_passes():
    def rounds(inputs):
        return {"y": inputs["x"].sum(axis=1) + 3e-5 * len(inputs["x"])}

    passes(rounds)


def test_half_precision_and_a_gpu_have_a_tolerance_of_their_own():
    def rounds(inputs):
        return {"y": inputs["x"].sum(axis=1) * (1 + 3e-3 * len(inputs["x"]))}

    graph = ensemble(entry())
    for attribute, value in (("half_inside", True), ("device", "cuda:0")):
        servable = FakeServable(rounds)
        setattr(servable, attribute, value)
        run(graph, {"a": servable})
    assert "alone" in problem(rounds)


def labels_with_scores(inputs):
    """The label follows the number of rows, the scores do not."""
    n = len(inputs["x"])
    return {"label": np.full(n, n), "y": np.full((n, 2), 0.5)}


def test_label_at_a_tie_is_no_difference():
    passes(labels_with_scores, outputs={"y": "p", "label": "l"})


def test_labels_alone_count_where_more_than_one_row_has_another():
    def one_flips(inputs):
        n = len(inputs["x"])
        return {"y": np.array(["a"] * n if n > 1 else ["b"], dtype=object)}

    passes(one_flips)
    calls = itertools.count()
    found = problem(lambda inputs: {"y": np.full(len(inputs["x"]), next(calls))})
    assert "output 'y' of row 3 is 0 together with 2 others, but 1 alone" in found


def test_real_outputs_go_to_the_next_model():
    seen = []

    def second(inputs):
        seen.append(inputs["z"].copy())
        return {"y": inputs["z"] * 2}

    graph = ensemble(entry(), entry("b", {"z": "a_y"}))
    found = run(graph, {"a": FakeServable(total), "b": FakeServable(second)})
    np.testing.assert_array_equal(seen[0], found.columns["x"].sum(axis=1))


def test_dependence_on_real_outputs_of_another_model_is_found():
    """On rows of zeros, nothing would show."""
    graph = ensemble(entry(), entry("b", {"x": "a_y"}))

    def centred(inputs):
        return {"y": inputs["x"] - inputs["x"].mean()}

    with pytest.raises(ModelError, match="model 'b' gives rows other outputs"):
        run(graph, {"a": FakeServable(total), "b": FakeServable(centred)})


# --- which rows


def test_small_vocabulary_gets_zeros_where_it_has_no_more():
    def look_up(inputs):
        return {"y": np.array([[1.0, 2.0]])[inputs["x"]]}

    ids = {"x": {"dtype": "int64", "shape": [5]}}
    assert passes(look_up, fields=ids)[-4:] == [3, 1, 3, 3]


def test_integers_are_zeros_on_a_gpu():
    seen = []

    def look(inputs):
        seen.append(inputs["ids"].max())
        return {"y": inputs["x"].sum(axis=1)}

    servable = FakeServable(look)
    servable.device = "cuda:0"
    fields = {**X, "ids": {"dtype": "int64", "shape": [None]}}
    run(ensemble(entry(inputs={"x": "x", "ids": "ids"}), fields=fields), {"a": servable})
    assert set(seen) == {0}


def test_records_are_taken_where_there_are_some():
    seen = []

    def look(inputs):
        seen.append(inputs["x"].copy())
        return total(inputs)

    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    passes(look, Comparison(records={"x": rows}))
    np.testing.assert_array_equal(seen[0], rows[[0, 1, 0]])


def test_records_that_a_model_rejects_are_made_up_for():
    def only_small(inputs):
        if inputs["x"].max() > 1:
            raise ValueError("too large")
        return total(inputs)

    passes(only_small, Comparison(records={"x": np.full((2, 4), 7, np.float32)}))


def test_examples_of_a_version_come_first():
    """Only what the examples have shows that the rows depend on each other."""

    def above_a_hundred(inputs):
        large = inputs["x"] > 100
        return {"y": (inputs["x"] - large * inputs["x"].mean()).sum(axis=1)}

    passes(above_a_hundred)
    graph = ensemble(entry())
    lines = '{"inputs": {"x": [1, 2, 3, 400]}}\n{"inputs": {"x": [1, 200, 3, 4]}}\n'
    examples = golden.parse(lines, golden.WARM_UP, graph.models[0])
    found = problem(above_a_hundred, Comparison(examples=lambda version: examples))
    assert "of row 2 is" in found


# --- without warm-up


RECORDS = Comparison(records={"x": np.arange(8, dtype=np.float32).reshape(2, 4)})


def test_without_warm_up_no_row_is_made_up():
    assert passes(over_the_batch, warm_up=False) == []


def test_without_warm_up_records_and_examples_are_compared_all_the_same():
    assert "in other company" in problem(over_the_batch, RECORDS, warm_up=False)
    graph = ensemble(entry())
    lines = '{"inputs": {"x": [1, 2, 3, 400]}}\n{"inputs": {"x": [1, 200, 3, 4]}}\n'
    examples = golden.parse(lines, golden.WARM_UP, graph.models[0])
    found = problem(over_the_batch, Comparison(examples=lambda version: examples), warm_up=False)
    assert "in other company" in found


def test_without_warm_up_records_that_the_model_rejects_are_no_problem():
    def rejects(inputs):
        raise ValueError("unknown category")

    assert passes(rejects, RECORDS, warm_up=False)


# --- a batch of one, and of many


def test_row_that_cannot_come_alone_is_refused():
    def never_one(inputs):
        if len(inputs["x"]) == 1:
            raise ValueError("expected more than 1 value per channel")
        return total(inputs)

    assert problem(never_one) == (
        "model 'a' computes 3 rows together, but not one of them by itself, which may come alone: "
        "ValueError: expected more than 1 value per channel"
    )


def test_model_that_takes_one_row_at_a_time_is_compared_so():
    def only_one(inputs):
        if len(inputs["x"]) > 1:
            raise ValueError("cannot reshape")
        return total(inputs)

    assert passes(only_one) == [3] + [1] * 3 + [2] + [1] * 6


def test_network_that_mixes_each_two_rows_is_refused_although_three_fail():
    def mixes(inputs):
        return {"y": inputs["x"].reshape(-1, 2, 4).sum(axis=1).repeat(2, axis=0).sum(axis=1)}

    servable = PairedServable(FakeServable(mixes), ["x"], ["y"])
    with pytest.raises(ModelError, match=r"at first, but .* together with another"):
        run(ensemble(entry()), {"a": servable})
    run(ensemble(entry(independent_rows=False)), {"a": servable})


def test_memory_that_runs_out_for_several_rows_is_no_fault():
    def cramped(inputs):
        if len(inputs["x"]) > 1:
            raise OutOfMemoryError("no room")
        return total(inputs)

    assert passes(cramped) == [3] + [1] * 3 + [2] + [1] * 6


# --- the way out that a failure names


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a price must be positive"),
        RuntimeError("no URL"),
        AssertionError(),
    ],
)
def test_model_that_rejects_values_is_told_of_warm_up(error):
    def picky(inputs):
        raise error

    assert "set `warm_up: false`" in problem(picky)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Invalid rank for input: x Got: 2 Expected: 3"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (3x4 and 5x2)"),
        RuntimeError("expected scalar type Long but found Float"),
        ValueError("X has 4 features, but LinearRegression is expecting 5 features as input."),
        TypeError("forward() got an unexpected keyword argument 'x'"),
        KeyError("area"),
        AttributeError("no such thing"),
        NotImplementedError("'aten::_cudnn_rnn' is not implemented on this machine"),
        RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'"),
        ValueError("No OpKernel was registered to support Op 'CudnnRNNV3' used by {{node rnn}}"),
    ],
)
def test_wrong_rank_name_type_or_operation_is_not(error):
    def misfit(inputs):
        raise error

    found = problem(misfit)
    assert "warm_up" not in found
    assert str(error) in found


def test_text_about_a_column_is_about_values_where_it_changes_with_them():
    def unknown(inputs):
        raise ValueError(f"found unknown category {inputs['x'].flat[0]} in column 0")

    assert "set `warm_up: false`" in problem(unknown)


def test_what_is_learnt_of_a_refused_model_comes_beside_the_problem():
    graph = ensemble(entry())
    release = Release(1, (ModelVersion("a", "a/1", "a"),))
    signature = Signature(outputs=(TensorSpec("y", "float32", (None,)),))
    servable = FakeServable(over_the_batch, signature)
    found, problems = attempt(graph, release, ReleaseManager(FakeLoader(lambda v: servable)))
    assert found.types["a_y"] == ("float32", ())
    assert len(problems) == 1


def test_examples_that_the_model_fails_on_are_said_and_leave_the_made_up_rows(caplog):
    """Of a new version the check of its examples refuses them, with the line."""

    def below_a_hundred(inputs):
        if (inputs["x"] > 100).any():
            raise ValueError("above a hundred")
        return total(inputs)

    lines = "".join(f'{{"inputs": {{"x": [{i}, 200, 3, 4]}}}}\n' for i in range(3))
    examples = golden.parse(lines, golden.WARM_UP, ensemble(entry()).models[0])
    assert passes(below_a_hundred, Comparison(examples=lambda version: examples))
    (said,) = caplog.messages
    assert said.startswith("model 'a': its examples are not compared in other company")
    assert "above a hundred" in said
