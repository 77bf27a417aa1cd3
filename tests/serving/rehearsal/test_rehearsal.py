"""The rehearsal finds at launch what cannot work, and names both ends."""

import numpy as np
import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.batch.tensors import Signature, TensorSpec
from pipeline.errors import ModelError, ProcessLostError
from pipeline.serving.rehearsal.rehearsal import rehearse
from pipeline.serving.release_manager import ReleaseManager
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from pipeline.testing import FakeLoader, FakeServable

INTEGER = {"dtype": "int64"}


def model(name, inputs, output, **more):
    return {
        "name": name,
        "framework": "onnx",
        "uri": f"{name}/1",
        "inputs": inputs,
        "outputs": {"y": output},
        **more,
    }


def ensemble(*models, combine=()):
    return resolve(
        EnsembleSpec.model_validate(
            {
                "name": "e",
                "record": {
                    "fields": {
                        "x": {"dtype": "float32", "shape": [4]},
                        "words": {"dtype": "string", "shape": [None]},
                    }
                },
                "models": models,
                "combine": list(combine),
            }
        )
    )


def takes(dtype, *shape, name="x", out=None):
    return Signature(
        inputs=(TensorSpec(name, dtype, (None, *shape)),),
        outputs=None if out is None else (TensorSpec("y", *out),),
    )


def run(graph, servables, fail=()):
    release = Release(1, tuple(ModelVersion(m.name, m.uri, m.name) for m in graph.models))
    loader = FakeLoader(lambda version: servables[version.model])
    loader.fail.update(fail)
    return rehearse(graph, release, ReleaseManager(loader))


def problems(*args, **kwargs):
    with pytest.raises(ModelError) as error:
        run(*args, **kwargs)
    return error.value.problems


def gives(*shape):
    return lambda inputs: {"y": np.zeros((len(next(iter(inputs.values()))), *shape), np.float64)}


def test_types_of_all_columns_are_learnt_even_where_a_format_declares_nothing():
    graph = ensemble(
        model("a", {"x": "x"}, "p"),
        combine=[{"column": "label", "op": "argmax", "of": "p"}],
    )
    found = run(graph, {"a": FakeServable(gives(3))}).types
    assert found == {
        "x": ("float32", (4,)),
        "words": ("string", (None,)),
        "p": ("float64", (3,)),
        "label": ("int64", ()),
    }


def test_shape_that_cannot_fit_names_both_ends():
    graph = ensemble(model("a", {"x": "x"}, "p"))
    assert problems(graph, {"a": FakeServable(gives(3), takes("float32", 5))}) == (
        "model 'a' input 'x' takes float32[5], but column 'x' of the record is float32[4]",
    )


def test_dtype_that_cannot_fit_between_two_models_names_both_ends():
    graph = ensemble(model("a", {"x": "x"}, "p"), model("b", {"x": "p"}, "q"))
    servables = {"a": FakeServable(gives(3)), "b": FakeServable(gives(), takes("int64", 3))}
    assert problems(graph, servables) == (
        "model 'b' input 'x' takes int64[3], but column 'p' of model 'a' is float64[3]",
    )


def test_constant_is_compared_without_batch_axis():
    graph = ensemble(model("a", {"x": "x", "k": {"value": [1, 2], "dtype": "int64"}}, "p"))
    signature = Signature(inputs=(TensorSpec("k", "int64", ()),))
    (problem,) = problems(graph, {"a": FakeServable(gives(), signature)})
    assert problem == (
        "model 'a' input 'k' takes int64 (no batch axis), but the constant is int64[2]"
    )


def test_model_that_fails_on_the_made_up_rows_is_refused_with_its_own_words():
    def boom(inputs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    (problem,) = problems(ensemble(model("a", {"x": "x"}, "p")), {"a": FakeServable(boom)})
    assert problem.startswith("model 'a' fails on made-up rows, also of zeros and empty text")
    assert "RuntimeError: mat1 and mat2 shapes cannot be multiplied" in problem


def test_made_up_rows_have_the_length_and_the_values_that_a_model_knows():
    def picky(inputs):
        if inputs["x"].shape[1] < 40 or set(inputs["rate"].tolist()) != {16000}:
            raise ValueError("too short, or of another rate")
        return {"y": inputs["x"].max(axis=1)}

    spec = EnsembleSpec.model_validate(
        {
            "name": "e",
            "record": {"fields": {"x": {"dtype": "float32", "shape": [None]}, "rate": INTEGER}},
            "models": [model("a", {"x": "x", "rate": "rate"}, "p")],
        }
    )
    heard = TensorSpec("x", "float32", (None, None), usual_length=40)
    rate = TensorSpec("rate", "int64", (None,), only=16000)
    found = run(resolve(spec), {"a": FakeServable(picky, Signature(inputs=(heard, rate)))})
    assert found.types["p"] == ("float32", ())


def test_warm_up_can_be_switched_off_and_types_then_come_from_the_signature():
    def boom(inputs):
        raise AssertionError("must not be called")

    graph = ensemble(model("a", {"x": "x"}, "p", warm_up=False), model("b", {"x": "p"}, "q"))
    servables = {
        "a": FakeServable(boom, takes("float32", 4, out=("float32", (None, 7)))),
        "b": FakeServable(gives(2), takes("float32", 7)),
    }
    assert run(graph, servables).types["q"] == ("float64", (2,))


def test_servable_keeps_a_row_that_it_computed_and_none_where_it_computed_none():
    def picky(inputs):
        if inputs["x"].any():
            raise ValueError("not zero")
        return {"y": inputs["x"]}

    def fail(inputs):
        raise ValueError("never")

    made, never = FakeServable(picky), FakeServable(fail)
    graph = ensemble(model("a", {"x": "x"}, "y"), model("b", {"x": "x"}, "z", warm_up=False))
    run(graph, {"a": made, "b": never})
    assert made.sound_row["x"].tolist() == [[0] * 4]
    assert never.sound_row is None


def test_output_without_rows_as_first_axis_is_refused():
    servable = FakeServable(lambda inputs: {"y": np.float32(3)})
    (problem,) = problems(ensemble(model("a", {"x": "x"}, "p")), {"a": servable})
    assert "expected the rows as first axis" in problem


def test_combine_step_over_columns_that_do_not_go_together_is_refused():
    graph = ensemble(
        model("a", {"x": "x"}, "p"),
        model("b", {"x": "x"}, "q"),
        combine=[{"column": "m", "op": "mean", "of": ["p", "q"]}],
    )
    (problem,) = problems(graph, {"a": FakeServable(gives(3)), "b": FakeServable(gives(4))})
    assert all(part in problem for part in ("'m'", "'p' float64[3]", "'q' float64[4]"))


def test_problems_of_all_models_come_at_once_and_load_errors_name_the_model():
    graph = ensemble(
        model("a", {"x": "x"}, "p"), model("b", {"x": "x"}, "q"), model("c", {"x": "p"}, "r")
    )
    servables = {"b": FakeServable(gives(), takes("int8", 4)), "c": FakeServable(gives())}
    first, second = problems(graph, servables, fail={"a"})
    assert first == "model 'a': told to fail on a/1"
    assert second.startswith("model 'b' input 'x' takes int8[4]")


def test_text_of_variable_length_is_rehearsed():
    seen = []

    def function(inputs):
        seen.append(inputs["t"])
        return {"y": np.zeros(len(inputs["t"]))}

    run(ensemble(model("a", {"t": "words"}, "p")), {"a": FakeServable(function)})
    assert seen[0].dtype == object
    assert seen[0].shape == (3, 8)


def test_further_warm_up_calls_are_made_with_so_many_rows():
    graph = ensemble(model("a", {"x": "x"}, "p"))
    servable = FakeServable(gives(3))
    servable.warm_up_rows = (2, 8)
    run(graph, {"a": servable})
    assert servable.calls == [3, 1, 3, 3, 2, 8]


def test_warm_up_call_that_does_not_fit_is_no_fault():
    graph = ensemble(model("a", {"x": "x"}, "p"))
    servable = FakeServable(gives(3), fits_rows=4)
    servable.warm_up_rows = (8,)
    assert run(graph, {"a": servable}).types["p"] == ("float64", (3,))


def test_process_lost_while_warming_up_is_no_limit():
    def lose(inputs):
        if len(inputs["x"]) > 4:
            raise ProcessLostError("gone")
        return gives(3)(inputs)

    servable = FakeServable(lose)
    servable.warm_up_rows = (4, 8)
    with pytest.raises(ModelError, match="model 'a': gone"):
        run(ensemble(model("a", {"x": "x"}, "p")), {"a": servable})


def test_limit_met_while_warming_up_is_told_and_larger_calls_are_left_out(caplog):
    def at_most_four(inputs):
        if len(inputs["x"]) > 4:
            raise ValueError("at most 4 rows")
        return gives(3)(inputs)

    servable = FakeServable(at_most_four)
    servable.warm_up_rows = (4, 8, 16)
    assert "p" in run(ensemble(model("a", {"x": "x"}, "p")), {"a": servable}).types
    assert servable.calls == [3, 1, 3, 3, 4, 8]
    assert "model 'a' cannot be warmed up for calls of 8 rows, which will be split" in caplog.text
    assert "ValueError: at most 4 rows" in caplog.text


@pytest.mark.parametrize(("choice", "count"), [("argmax", 3), ("top_k", 5), ("argmax", 4)])
def test_labels_that_are_not_as_many_as_the_classes_are_warned_of(caplog, choice, count):
    more = {"k": 2} if choice == "top_k" else {}
    graph = ensemble(
        model("m", {"x": "x"}, "scores"),
        combine=[
            {"column": "best", "op": choice, "of": "scores", **more},
            {"column": "label", "op": "lookup", "of": "best", "labels": list("abcde"[:count])},
        ],
    )
    net = FakeServable(lambda tensors: {"y": tensors["x"]}, takes("float32", 4))
    run(graph, {"m": net})
    told = [record.getMessage() for record in caplog.records if "labels" in record.getMessage()]
    if count == 4:
        assert told == []
    else:
        (warning,) = told
        assert f"has {count} labels, and column 'scores' of model 'm' has 4 classes" in warning


def table(inputs, prepare=(), fields=None, **more):
    fields = fields or {
        "a": {"dtype": "float32", "missing": "keep"},
        "n": {"dtype": "int64", "missing": "keep"},
    }
    entry = {"name": "m", "framework": "xgboost", "uri": "m/1", "inputs": inputs}
    return resolve(
        EnsembleSpec.model_validate(
            {
                "name": "e",
                "record": {"fields": fields},
                "prepare": list(prepare),
                "models": [{**entry, "outputs": {"y": "p"}, **more}],
            }
        )
    )


def refusing_nan_in(*tensors, seen=None):
    def function(inputs):
        if seen is not None:
            seen.append(inputs)
        for name in tensors:
            if np.isnan(inputs[name]).any():
                raise ValueError("Input contains NaN")
        return {"y": np.nan_to_num(next(iter(inputs.values())), nan=-1.0)}

    return FakeServable(function)


def test_a_model_that_cannot_have_a_missing_value_is_refused_with_the_column():
    graph = table({"x": "a", "z": "n"})
    assert problems(graph, {"m": refusing_nan_in("z")}) == (
        "model 'm' input 'z' reads column 'n' of the record, which may lack values, and fails on a "
        "row without one: ValueError: Input contains NaN; a prepare step `op: fill` puts a value "
        "there",
    )


def test_a_model_that_can_have_missing_values_is_tried_with_them():
    seen = []
    found = run(table({"x": "a", "z": "n"}), {"m": refusing_nan_in(seen=seen)})
    assert found.types["n"] == ("int64", ())
    assert any(np.isnan(inputs["z"]).any() for inputs in seen)
    assert {inputs["z"].dtype for inputs in seen} == {np.dtype(np.float64)}


def test_rows_that_lack_each_of_many_columns_are_computed_together():
    def calls(count):
        seen = []
        names = [f"c{i}" for i in range(count)]
        fields = {name: {"dtype": "float32", "missing": "keep"} for name in names}
        graph = table(dict(zip(names, names, strict=True)), fields=fields)
        run(graph, {"m": refusing_nan_in(seen=seen)})
        assert any(np.isnan(inputs[names[-1]]).any() for inputs in seen)
        return len(seen)

    assert calls(200) == calls(2)


def test_what_is_missing_inside_a_joined_vector_is_tried_too():
    steps = [{"column": "v", "op": "concat", "of": ["a", "n"]}]
    assert (
        "input 'x' reads column 'v' of prepare step 'v', which may lack values"
        in problems(table({"x": "v"}, steps), {"m": refusing_nan_in("x")})[0]
    )


def test_a_model_whose_rows_with_gaps_depend_on_each_other_is_refused():
    def mean_of_the_call(inputs):
        mean = np.nanmean(inputs["x"]) if not np.isnan(inputs["x"]).all() else 0.0
        return {"y": np.where(np.isnan(inputs["x"]), mean, inputs["x"])}

    graph = table({"x": "a", "z": "n"})
    assert "in other company" in problems(graph, {"m": FakeServable(mean_of_the_call)})[0]


def test_a_model_whose_tensor_is_an_integer_cannot_have_missing_values():
    servable = refusing_nan_in()
    servable.signature = Signature(
        inputs=(TensorSpec("x", None, (None,)), TensorSpec("z", "int64", (None,)))
    )
    assert problems(table({"x": "a", "z": "n"}), {"m": servable}) == (
        "model 'm' input 'z' takes int64, which has nothing that means missing, but column 'n' of "
        "the record may lack values; a prepare step `op: fill` puts a value there",
    )
