"""`init` for models whose files name their features: the concat that they say."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import main
from tests.support import models
from tests.support.named_models import KINDS, NAMES, matrix, table

ROWS = table(rows=20)


def init(run, *words):
    """The ensemble file as data, and its text."""
    done = run("init", "models", "--trial_secs=0", *words)
    assert done.status == 0, done.err
    text = Path("ensemble.yaml").read_text()
    return yaml.safe_load(text), " ".join(text.replace("#", " ").split())


def write_csv(columns, name="a.csv"):
    """Rows of a table, its columns in another order than any model has them."""
    with Path(name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *reversed(columns)])
        for i, row in enumerate(matrix(columns)[:, ::-1].tolist()):
            writer.writerow([f"r{i}", *row])


def inputs(data):
    return {entry["name"]: entry["inputs"] for entry in data["models"]}


@pytest.mark.parametrize("records", [["--records", "a.csv"], []], ids=["records", "none"])
def test_what_is_written_runs_unchanged_and_gives_the_numbers_of_the_framework(
    run, folder, records
):
    by_hand = {str(kind): kind.build(folder / f"models/{kind}/1", table()) for kind in KINDS}
    write_csv(ROWS)
    data, text = init(run, *records)
    assert data["record"]["fields"] == {name: {"dtype": "float64"} for name in NAMES}
    assert data["prepare"] == [{"column": "features", "op": "concat", "of": list(NAMES)}]
    assert inputs(data) == {str(kind): {"X": "features"} for kind in KINDS}
    assert "fill in:" not in text
    arguments = ["--input_file_pattern=a.csv", "--output_path=out/p", "--trial_secs=0"]
    assert main.main(["--ensemble_spec=ensemble.yaml", *arguments]) == 0
    lines = [json.loads(line) for line in next(Path("out").glob("p-0*")).read_text().splitlines()]
    assert len(lines) == len(matrix(ROWS))
    for kind, predict in by_hand.items():
        found = [line["predictions"][f"{kind}_predict"] for line in lines]
        assert np.allclose(found, predict(ROWS), rtol=1e-6), kind


def test_models_of_two_orders_have_a_concat_each_of_the_same_fields(run, folder):
    kind = KINDS[2]
    kind.build(folder / "models/a/1", table())
    kind.build(folder / "models/b/1", table(NAMES[::-1]))
    data, _ = init(run)
    assert inputs(data) == {"a": {"X": "features"}, "b": {"X": "b_features"}}
    assert [step["of"] for step in data["prepare"]] == [list(NAMES), list(NAMES[::-1])]
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0


def test_field_of_two_models_is_wide_enough_for_both(run, folder):
    for name, kind in zip("abc", (KINDS[1], KINDS[2], KINDS[1]), strict=True):
        kind.build(folder / f"models/{name}/1", table())
    data, _ = init(run)
    assert {field["dtype"] for field in data["record"]["fields"].values()} == {"float64"}


def test_keys_that_are_called_alike_are_taken_and_their_types_kept(run, folder):
    names = ("Age", "is open", "count", "x_0", "x_1")
    KINDS[0].build(folder / "models/m/1", table(names))
    record = {"age": 0.5, "is_open": True, "count": 3, "x": [1.0, 2.0], "other": 1}
    Path("a.jsonl").write_text(json.dumps(record) + "\n")
    data, _ = init(run, "--records", "a.jsonl")
    assert data["prepare"][0]["of"] == ["age", "is_open", "count", "x"]
    assert data["record"]["fields"] == {
        "age": {"dtype": "float64"},
        "is_open": {"dtype": "bool"},
        "count": {"dtype": "float64"},
        "x": {"dtype": "float64", "shape": [2]},
    }
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0


def test_vector_that_has_the_features_in_order_needs_no_concat(run, folder):
    KINDS[1].build(folder / "models/m/1", table(("x_0", "x_1")))
    Path("a.jsonl").write_text('{"x": [1.0, 2.0]}\n')
    data, text = init(run, "--records", "a.jsonl")
    assert inputs(data) == {"m": {"X": "x"}}
    assert "prepare" not in data
    assert "guess" not in text.partition("name: m")[2]


def test_vector_without_names_is_a_guess_that_tells_the_order(run, folder):
    KINDS[1].build(folder / "models/m/1", table(("age", "fare")))
    Path("a.jsonl").write_text('{"v": [1.0, 2.0]}\n')
    data, text = init(run, "--records", "a.jsonl")
    assert inputs(data) == {"m": {"X": "v"}}
    assert "guess: input 'X': its file names its features 'age', 'fare'; whether they come" in text


def test_features_that_the_records_lack_or_have_as_text_are_to_be_filled_in(run, folder):
    KINDS[1].build(folder / "models/m/1", table(("age", "fare", "sex")))
    Path("a.jsonl").write_text('{"age": 1.5, "sex": "male"}\n')
    data, text = init(run, "--records", "a.jsonl")
    assert data["prepare"][0]["of"] == ["age", "fare", "sex_number"]
    assert "fare: {dtype: float32} fill in: no key of the records has this name" in text
    assert "fill in: the records have text in sex, the model takes a number: a step that" in text


def test_names_that_only_count_features_are_no_fields(run, folder):
    models.lightgbm_text(folder / "models/m/1")
    data, _ = init(run)
    assert data["record"]["fields"] == {"features": {"dtype": "float64", "shape": [4]}}


def test_joined_features_are_called_as_nothing_else_is(run, folder):
    KINDS[1].build(folder / "models/m/1", table(("age", "features")))
    models.onnx_file(folder / "models/net/1")
    data, _ = init(run)
    assert data["prepare"][0]["column"] == "m_features"
    assert inputs(data)["net"] == {"x": "net_features"}
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0


def test_keys_that_no_field_can_be_called_are_read_to_the_numbers_of_the_framework(run, folder):
    """As the columns of scikit-learn's own data sets are; two of them alike but for their signs."""
    names = ("petal width (cm)", "25_hydroxy", "petal width [cm]", "petal_width_cm", "größe")
    rows = table(names, rows=20)
    by_hand = KINDS[0].build(folder / "models/m/1", table(names))
    write_csv(rows)
    data, text = init(run, "--records", "a.csv")
    fields = data["record"]["fields"]
    assert [fields[field].get("name", field) for field in data["prepare"][0]["of"]] == [*names]
    assert "fill in" not in text.partition("record:")[2]
    arguments = ["--input_file_pattern=a.csv", "--output_path=out/p", "--trial_secs=0"]
    assert main.main(["--ensemble_spec=ensemble.yaml", *arguments]) == 0
    lines = [json.loads(line) for line in next(Path("out").glob("p-0*")).read_text().splitlines()]
    assert np.allclose([line["predictions"]["m_predict"] for line in lines], by_hand(rows))
