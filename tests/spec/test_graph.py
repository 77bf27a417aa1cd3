"""Resolution of the graph: order, and refusals that name both ends."""

import pytest

from pipeline.errors import SpecError
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve


def model(name, reads, writes):
    return {
        "name": name,
        "framework": "onnx",
        "uri": name,
        "inputs": {f"in{i}": column for i, column in enumerate(reads)},
        "outputs": {f"out{i}": column for i, column in enumerate(writes)},
    }


def ensemble(models, combine=(), output=()):
    return EnsembleSpec.model_validate(
        {
            "name": "e",
            "record": {"fields": {"x": {"dtype": "float32", "shape": [3]}}},
            "models": models,
            "combine": list(combine),
            "output": list(output),
        }
    )


def problems(*args, **kwargs):
    with pytest.raises(SpecError) as error:
        resolve(ensemble(*args, **kwargs))
    return error.value.problems


def test_models_run_after_those_whose_columns_they_read():
    graph = resolve(
        ensemble(
            [
                model("c", ["b1", "a1"], ["c1"]),
                model("b", ["a1"], ["b1"]),
                model("a", ["x"], ["a1"]),
            ]
        )
    )
    assert [m.name for m in graph.models] == ["a", "b", "c"]


def test_combine_steps_run_in_dependency_order_too():
    graph = resolve(
        ensemble(
            [model("a", ["x"], ["p"])],
            [
                {"column": "label", "op": "argmax", "of": "q"},
                {"column": "q", "op": "softmax", "of": "p"},
            ],
        )
    )
    assert [step.column for step in graph.combine] == ["q", "label"]
    assert graph.output == ("label", "q")


def test_default_output_is_every_model_output_without_combine():
    assert resolve(ensemble([model("a", ["x"], ["p", "q"])])).output == ("p", "q")


def test_cycle_is_named_step_by_step():
    (problem,) = problems(
        [model("a", ["q"], ["p"]), model("b", ["p"], ["q"]), model("c", ["x"], ["r"])]
    )
    assert problem in (
        "models wait for each other: a -> b -> a",
        "models wait for each other: b -> a -> b",
    )


def test_missing_column_names_the_reader_and_suggests_the_near_one():
    (problem,) = problems([model("a", ["xx"], ["p"])])
    assert (
        problem == "model 'a' input 'in0' reads column 'xx', which nothing makes; did you mean 'x'?"
    )


def test_missing_output_column_lists_what_there_is():
    (problem,) = problems([model("a", ["x"], ["p"])], output=["zebra"])
    assert problem == "output reads column 'zebra', which nothing makes; the columns are x, p"


def test_doubly_made_column_names_both_makers():
    found = problems([model("a", ["x"], ["p", "x"]), model("b", ["x"], ["p"])])
    assert found == (
        "column 'x' is made twice: by the record and model 'a'",
        "column 'p' is made twice: by model 'a' and model 'b'",
    )


def test_model_reading_a_combine_column_is_refused():
    (problem,) = problems(
        [model("a", ["x"], ["p"]), model("b", ["q"], ["r"])],
        [{"column": "q", "op": "softmax", "of": "p"}],
    )
    assert "'q', which combine step 'q' makes; combine steps run after all models" in problem


def test_all_problems_are_reported_at_once():
    assert len(problems([model("a", ["u"], ["p"]), model("b", ["v"], ["p"])], output=["w"])) == 4
