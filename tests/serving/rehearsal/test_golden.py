"""Examples beside a model version: read strictly, run through the real model step."""

import json
from contextlib import nullcontext

import numpy as np
import pytest

from pipeline.backends import registry
from pipeline.backends.base import LoadContext
from pipeline.batch.tensors import Signature, TensorSpec
from pipeline.errors import ModelError
from pipeline.serving.rehearsal.golden import GOLDEN, WARM_UP, check, parse
from pipeline.spec.model import OnnxModel, SklearnModel
from pipeline.testing import FakeServable
from tests.support import models

DOUBLE = OnnxModel.model_validate(
    {
        "name": "m",
        "framework": "onnx",
        "uri": "m",
        "inputs": {"x": "column"},
        "outputs": {"y": "p", "label": "l"},
    }
)


def double(inputs):
    words = np.array(["cat"] * len(inputs["x"]), dtype=object)
    return {"y": inputs["x"] * 2, "label": words}


def lines(*examples):
    return "".join(json.dumps(example) + "\n" for example in examples)


def run(*examples, function=double, spec=DOUBLE, kind=GOLDEN, signature=None, fed=None):
    """How many examples passed; raises for the others."""
    parsed = parse(lines(*examples), kind, spec)
    servable = FakeServable(function, signature)
    check(parsed, spec, servable, {"x": "float32"} if fed is None else fed)
    return servable.calls


def problem(*examples, **more):
    with pytest.raises(ModelError) as error:
        run(*examples, **more)
    return str(error.value)


GOOD = {"inputs": {"x": [1, 2.5]}, "outputs": {"y": [2, 5], "label": "cat"}}


def test_examples_with_the_expected_outputs_pass_one_by_one_and_then_together():
    assert run(GOOD, {"inputs": {"x": [3, 1]}, "outputs": {"y": [6, 2]}}) == [1, 1, 2]


def test_mismatch_names_line_tensor_difference_and_tolerance():
    bad = {"inputs": {"x": [1, 2]}, "outputs": {"y": [2.25, 4.5]}, "tolerance": 0.01}
    assert problem(GOOD, bad) == (
        "golden.jsonl line 2: output 'y' differs by 0.5 at most: found 4, expected 4.5, "
        "tolerance 0.01 (1 of 2 examples fail)"
    )


@pytest.mark.parametrize(
    ("x", "expected", "passes"),
    [
        (1.0, 2.00015, True),
        (1.0, 2.0003, False),
        (1.0, 1.9997, False),
        (0.0, 0.00008, True),
        (0.0, 0.0002, False),
    ],
)
def test_tolerance_is_1e_4_by_default_and_grows_with_the_value(x, expected, passes):
    example = {"inputs": {"x": [x]}, "outputs": {"y": [expected]}}
    with nullcontext() if passes else pytest.raises(ModelError, match=r"tolerance 0\.0001"):
        run(example)


def test_other_text_and_other_shape_are_mismatches():
    assert problem({"inputs": {"x": [1]}, "outputs": {"label": "dog"}}) == (
        "golden.jsonl line 1: output 'label' is 'cat', expected 'dog'"
    )
    assert problem({"inputs": {"x": [1]}, "outputs": {"y": [[2]]}}) == (
        "golden.jsonl line 1: output 'y' has shape [1], expected [1, 1] as in the example"
    )
    assert problem({"inputs": {"x": [1]}, "outputs": {"label": 3}}) == (
        "golden.jsonl line 1: tensor 'label': found the number 3, expected string, as the model "
        "returns string"
    )


@pytest.mark.parametrize("kind", [GOLDEN, WARM_UP])
def test_output_that_is_not_finite_fails_although_the_example_does_not_name_it(kind):
    example = {"inputs": {"x": [0]}}
    if kind == GOLDEN:
        example["outputs"] = {"label": "cat"}
    found = problem(
        example, kind=kind, function=lambda inputs: {**double(inputs), "y": inputs["x"] + np.nan}
    )
    assert found == f"{kind} line 1: output 'y' holds NaN or infinity"


def test_model_that_fails_on_an_example_is_refused_with_its_own_words():
    def boom(inputs):
        raise RuntimeError("no such\ntoken")

    assert problem({"inputs": {"x": [1]}}, kind=WARM_UP, function=boom) == (
        "warmup.jsonl line 1: the model fails: RuntimeError: no such token"
    )


def test_inputs_have_the_dtype_the_model_declares_else_that_of_the_column():
    seen = []

    def look(inputs):
        seen.append(inputs["x"][0, 0])
        return double(inputs)

    large = 2**53 + 1  # no float64 holds it
    example = {"inputs": {"x": [large]}, "outputs": {"label": "cat"}}
    run(example, function=look, fed={"x": "float64"})
    declared = Signature(inputs=(TensorSpec("x", "int64", (None, None)),))
    run(example, function=look, fed={"x": "float64"}, signature=declared)
    assert seen == [float(large), large]
    assert seen[1].dtype == np.int64


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", "is not JSON: "),
        ('{"inputs": {}, "inputs": {}}', ": an object has the key 'inputs' more than once"),
        ("[1]", "is a list, expected an object with inputs, outputs, tolerance"),
        ('{"inputs": {"x": 1}, "output": {}}', "is {inputs, output}, expected an object with"),
        ('{"inputs": {"z": 1}, "outputs": {"y": 1}}', ": 'inputs' is {z}, expected the tensors x"),
        ('{"inputs": {"x": 1}}', ": 'outputs' is nothing, expected some of y, label"),
        (
            '{"inputs": {"x": 1}, "outputs": {"q": 1}}',
            ": 'outputs' is {q}, expected some of y, label",
        ),
        (
            '{"inputs": {"x": 1}, "outputs": {"y": 1}, "tolerance": "no"}',
            ": 'tolerance' is 'no', expected a number from 0 up",
        ),
    ],
)
def test_malformed_line_is_named(line, found):
    text = lines(GOOD) + "\n" + line + "\n"
    with pytest.raises(ModelError) as error:
        parse(text, GOLDEN, DOUBLE)
    assert str(error.value).startswith(
        f"golden.jsonl line 3{'' if found[0] == ':' else ' '}{found}"
    )


def test_value_that_the_dtype_cannot_hold_is_named():
    assert problem({"inputs": {"x": [1, "a"]}, "outputs": {"y": [2, 2]}}) == (
        "golden.jsonl line 1: tensor 'x': found the text 'a' at [1], expected float32[2]"
    )


def test_file_without_examples_is_refused():
    with pytest.raises(ModelError, match=r"golden.jsonl holds no example, expected one a line"):
        parse("\n", GOLDEN, DOUBLE)


def load(spec, path):
    return registry.backend(spec.framework).load(path, spec, LoadContext("cpu"))


def test_constants_and_tensors_fed_from_one_column_are_set_apart(tmp_path):
    spec = OnnxModel.model_validate(
        {
            "name": "pair",
            "framework": "onnx",
            "uri": "m",
            "inputs": {"a": "x", "b": "x", "gain": {"value": 2.0, "dtype": "float32"}},
            "outputs": {"total": "t", "gap": "g"},
        }
    )
    servable = load(spec, models.onnx_pair(tmp_path))
    example = {
        "inputs": {"a": [1, 2, 3, 4], "b": [1, 1, 1, 1]},
        "outputs": {"total": [4, 6, 8, 10], "gap": 6},
    }
    check(parse(lines(example), GOLDEN, spec), spec, servable, {})


def test_labels_of_a_real_classifier_are_compared(tmp_path):
    spec = SklearnModel.model_validate(
        {
            "name": "clf",
            "framework": "sklearn",
            "uri": "m",
            "trusted": True,
            "inputs": {"X": "x"},
            "outputs": {"predict": "label"},
        }
    )
    servable = load(spec, models.save_estimator(models.classifier(), tmp_path / "m.skops"))
    fed = {"X": "float32"}
    good = {"inputs": {"X": [9, 0, 0, 0]}, "outputs": {"predict": "dog"}}
    check(parse(lines(good), GOLDEN, spec), spec, servable, fed)
    bad = {"inputs": {"X": [-9, 0, 0, 0]}, "outputs": {"predict": "dog"}}
    with pytest.raises(ModelError, match="output 'predict' is 'bird', expected 'dog'"):
        check(parse(lines(good, bad), GOLDEN, spec), spec, servable, fed)


def test_null_is_a_missing_value_where_the_model_may_have_one():
    def function(inputs):
        return {"predict": np.nan_to_num(inputs["X"], nan=9.0)}

    spec = SklearnModel.model_validate(
        {
            "name": "m",
            "framework": "sklearn",
            "uri": "m",
            "inputs": {"X": "c"},
            "outputs": {"predict": "p"},
        }
    )
    golden = [
        {"inputs": {"X": None}, "outputs": {"predict": 9}},
        {"inputs": {"X": 2}, "outputs": {"predict": 2}},
    ]
    assert run(*golden, function=function, spec=spec, fed={"X": "float64"}) == [1, 1, 2]
    assert run(
        {**golden[0], "inputs": {"X": [None, 1]}, "outputs": {"predict": [9, 1]}},
        function=function,
        spec=spec,
        fed={"X": "float64"},
    )
    told = problem({"inputs": {"x": None}, "outputs": {"y": 1}})
    assert "found null" in told
