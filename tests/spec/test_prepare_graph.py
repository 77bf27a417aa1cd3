"""Prepare steps in the ensemble file and in the graph: order, types, and refusals in words."""

import pytest
import yaml

from pipeline.errors import SpecError
from pipeline.spec.graph import resolve
from pipeline.spec.text import parse, resolve_uris

SPEC = """
name: e
record: {source: image, fields: {file: {dtype: bytes}}}
prepare:
  - {column: pixels, op: normalize, of: small, layout: chw}
  - {column: small, op: resize, of: raw, height: 4, width: 6}
  - {column: raw, op: decode_image, of: file}
models:
  - {name: net, framework: onnx, uri: net, inputs: {x: pixels}, outputs: {y: scores}}
combine:
  - {column: top, op: argmax, of: scores}
"""


def graph(change=lambda spec: None):
    spec = yaml.safe_load(SPEC)
    change(spec)
    return resolve(parse(yaml.safe_dump(spec, sort_keys=False), source="e.yaml"))


def problems(change):
    with pytest.raises(SpecError) as error:
        graph(change)
    return error.value.problems


def step(number, **changes):
    return lambda spec: spec["prepare"][number].update(changes)


def test_steps_run_in_topological_order_and_types_are_known():
    made = graph()
    assert [step.op for step in made.prepare] == ["decode_image", "resize", "normalize"]
    assert made.types == {
        "file": ("bytes", ()),
        "raw": ("uint8", (None, None, 3)),
        "small": ("uint8", (4, 6, 3)),
        "pixels": ("float32", (3, 4, 6)),
    }
    assert made.output == ("top",)


def test_only_columns_that_somebody_reads_later_are_kept():
    assert graph().read_after_prepare == {"pixels"}
    with_output = graph(lambda spec: spec.update(output=["top", "small"]))
    assert with_output.read_after_prepare == {"pixels", "small"}


def test_column_of_a_wrong_type_names_step_and_column_and_both_types():
    assert problems(step(1, of="file")) == (
        "prepare step 'small' (resize) needs pixels of dtype uint8 or float32, but column 'file' "
        "of the record is bytes",
    )


def test_consequences_of_a_wrong_type_are_not_told_as_well():
    (problem,) = problems(step(2, op="lower"))
    assert problem.startswith("prepare step 'raw' (lower) needs text")


def test_prepare_steps_do_not_read_what_models_make():
    assert problems(step(0, of="scores")) == (
        "prepare step 'pixels' reads column 'scores', which model 'net' makes; prepare steps run "
        "before all models",
    )


def test_missing_column_and_cycle_and_double_column_are_refused():
    assert "did you mean 'small'?" in problems(step(0, of="smal"))[0]
    assert "prepare steps wait for each other" in problems(step(2, of="pixels"))[0]
    assert "column 'small' is made twice" in problems(step(2, column="small"))[0]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (step(1, hight=3), "e.yaml:17: prepare[1] 'small': unknown key 'hight'"),
        (step(1, op="resiz"), "did you mean 'resize'?"),
        (step(1, height=0), "prepare[1] 'small'.height: found 0, expected at least 1"),
        (step(2, channels=2), "channels: found 2, expected 3 (colour) or 1 (grey)"),
        (step(0, std=[1, 0, 1]), "expected standard deviations above 0"),
        (
            lambda spec: spec["prepare"].append({"column": "a", "op": "scale", "of": "b"}),
            "expected `factor`, `offset` or both, or `min` and `max`",
        ),
    ],
)
def test_mistake_in_a_step_is_named_with_its_place(change, expected):
    assert expected in "\n".join(problems(change))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda spec: spec["record"].update(id="path"), "with `source: image` the id is"),
        (
            lambda spec: spec["record"]["fields"].update(x={"dtype": "int8"}),
            "exactly one, of dtype bytes",
        ),
        (lambda spec: spec.update(pass_through=["digit"]), "pass_through: found digit"),
        (lambda spec: spec["record"].update(source="images"), "did you mean 'image'?"),
    ],
)
def test_record_that_is_an_image_has_one_field_and_no_keys(change, expected):
    assert expected in "\n".join(problems(change))


def test_files_of_steps_lie_beside_the_ensemble_file():
    words = yaml.safe_load(SPEC)
    words["record"] = {"fields": {"text": {"dtype": "string"}}}
    words["prepare"] = [
        {"column": "ids", "op": "tokenize", "of": "text", "file": "tokenizer.json"},
        {"column": "hot", "op": "one_hot", "of": "text", "file": "/labels.txt"},
    ]
    spec = resolve_uris(parse(yaml.safe_dump(words), source="e.yaml"), "gs://b/here")
    assert [step.file for step in spec.prepare] == ["gs://b/here/tokenizer.json", "/labels.txt"]
