"""Who may read a column that may lack values is decided by the ensemble file, with the way out."""

import pytest

from pipeline.errors import SpecError
from pipeline.spec.column_types import Gaps
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from pipeline.spec.record import FieldSpec, RecordSpec

KEPT = {"missing": "keep"}
FIELDS = {
    "age": {"dtype": "float32", **KEPT},
    "count": {"dtype": "int64", **KEPT},
    "port": {"dtype": "string", **KEPT},
    "vec": {"dtype": "float32", "shape": [3], **KEPT},
    "raw": {"dtype": "bytes", **KEPT},
    "fare": {"dtype": "float32"},
}


def step(column, op, of, **keys):
    return {"column": column, "op": op, "of": of, **keys}


def graph(framework="xgboost", reads="fare", prepare=(), combine=(), output=("y",)):
    uri = "package.module:Class" if framework == "python" else "m/1"
    model = {"name": "m", "framework": framework, "uri": uri, "inputs": {"x": reads}}
    return resolve(
        EnsembleSpec.model_validate(
            {
                "name": "e",
                "record": {"fields": FIELDS},
                "prepare": list(prepare),
                "models": [{**model, "outputs": {"predict": "y"}}],
                "combine": list(combine),
                "output": list(output),
            }
        )
    )


def problem(**keys):
    with pytest.raises(SpecError) as error:
        graph(**keys)
    (told,) = error.value.problems
    return told


def test_gaps_are_followed_through_steps_to_where_they_are_filled():
    steps = [
        step("older", "scale", "age", factor=2),
        step("joined", "concat", ["older", "fare"]),
        step("filled", "fill", "joined", value=0),
        step("told", "is_missing", "port"),
        step("lower", "lower", "port"),
    ]
    found = graph(prepare=steps).gaps
    assert found == {
        "age": Gaps.ROWS,
        "count": Gaps.ROWS,
        "port": Gaps.ROWS,
        "vec": Gaps.INSIDE,
        "raw": Gaps.ROWS,
        "fare": Gaps.NONE,
        "older": Gaps.ROWS,
        "joined": Gaps.INSIDE,
        "filled": Gaps.NONE,
        "told": Gaps.NONE,
        "lower": Gaps.ROWS,
        "y": Gaps.NONE,
    }


@pytest.mark.parametrize("framework", ["sklearn", "xgboost", "lightgbm", "catboost", "python"])
@pytest.mark.parametrize("column", ["age", "vec"])
def test_models_that_can_have_gaps_are_left_to_the_rehearsal(framework, column):
    assert graph(framework, column).gaps[column]


@pytest.mark.parametrize("framework", ["onnx", "torch", "tensorflow"])
@pytest.mark.parametrize(("column", "value"), [("age", "0"), ("port", "''"), ("vec", "0")])
def test_models_that_cannot_are_refused_with_the_step_to_write(framework, column, value):
    told = problem(framework=framework, reads=column)
    assert told == (
        f"model 'm' input 'x' reads column '{column}' of the record, which may lack values, and "
        f"models of `framework: {framework}` take none that are missing; a prepare step {{column: "
        f"{column}_filled, op: fill, of: {column}, value: {value}}} fills it"
    )
    fill = step(f"{column}_filled", "fill", column, value=0 if value == "0" else "")
    assert graph(framework, f"{column}_filled", [fill])


def test_a_step_that_would_take_nan_for_a_number_is_refused():
    told = problem(combine=[step("best", "argmax", "vec")], output=["y", "best"])
    assert told == (
        "combine step 'best' (argmax) needs columns without missing values inside a vector (`op: "
        "fill` fills them); 'vec' of the record may lack some"
    )


@pytest.mark.parametrize("of", [["count", "count"], ["port", "port"]], ids=["integers", "texts"])
def test_columns_that_have_no_nan_are_not_joined_with_gaps(of):
    told = problem(prepare=[step("joined", "concat", of)])
    assert "has nothing that means missing" in told
    assert "`op: fill` fills them" in told


def test_a_prediction_cannot_have_gaps_inside_a_vector():
    assert "output column 'vec' of the record is a vector" in problem(output=["y", "vec"])
    assert graph(output=["y", "age", "port"])


def test_texts_that_may_be_missing_do_not_reach_a_model_as_tokens():
    tokens = step("tokens", "tokenize", "port", file="t.json")
    told = problem(framework="python", reads="tokens", prepare=[tokens])
    assert "fill what it is made from with `op: fill`" in told


@pytest.mark.parametrize(
    "decoded",
    [step("made", "decode_audio", "raw", sampling_rate=8000), step("made", "decode_image", "raw")],
    ids=["sound", "picture"],
)
def test_what_is_decoded_is_filled_before_not_behind(decoded):
    steps = [decoded, step("filled", "fill", "made", value=0)]
    with pytest.raises(SpecError) as error:
        graph(prepare=steps, reads="filled")
    assert "fill what it is made from" in str(error.value)


def test_the_way_out_is_one_that_can_be_gone():
    assert "no step fills bytes: leave `missing: keep` out" in problem(
        framework="onnx", reads="raw"
    )
    joined = step("joined", "concat", ["age", "fare"])
    told = problem(combine=[joined], output=["y", "joined"])
    assert told.endswith("fill what it is made from with `op: fill`, or leave `missing: keep` out")


def test_the_id_is_never_missing():
    fields = {"a": {"dtype": "string", "missing": "keep", "name": "the id"}}
    with pytest.raises(
        ValueError, match="field 'a' holds the record's id, which may not be missing"
    ):
        RecordSpec.model_validate({"id": "the id", "fields": fields})


def test_a_list_of_variable_length_is_empty_not_missing():
    with pytest.raises(ValueError, match="a list of variable length that has no values is empty"):
        FieldSpec(dtype="string", shape=(None,), missing="keep")


@pytest.mark.parametrize(("of", "value"), [("age", "x"), ("count", 0.5), ("port", 0)])
def test_fill_needs_a_value_of_the_dtype(of, value):
    told = problem(prepare=[step("filled", "fill", of, value=value)])
    assert "needs a `value` of its column's dtype" in told
