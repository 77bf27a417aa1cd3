"""A table with gaps, in several formats, through every kind of model of tables: as by hand."""

import json

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import main
from tests.support import models

ROWS = 120
NUMBERS = ["age", "fare", "count"]
SPEC = """
name: gaps
record:
  id: id
  csv: {missing: [NA]}
  fields:
    age: {dtype: float64, missing: keep}
    fare: {dtype: float64, missing: keep}
    count: {dtype: int64, missing: keep}
    port: {dtype: string, missing: keep, name: "port of entry"}
prepare:
  - {column: row, op: concat, of: [age, fare, count]}
  - {column: no_age, op: is_missing, of: age}
  - {column: age_or, op: fill, of: age, value: -1}
models:
  - {name: mixed, framework: sklearn, uri: mixed.joblib, trusted: true,
     inputs: {X: [age, fare, count, port]}, outputs: {predict_proba: mixed}}
  - {name: forest, framework: sklearn, uri: forest.joblib, trusted: true,
     inputs: {X: row}, outputs: {predict_proba: forest}}
  - {name: trees, framework: xgboost, uri: trees.ubj, inputs: {X: row}, outputs: {predict: trees}}
  - {name: leaves, framework: lightgbm, uri: leaves.txt, inputs: {X: [age, fare, count]},
     outputs: {predict: leaves}}
output: [mixed, forest, trees, leaves, age, count, port, no_age, age_or]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The folder of the ensemble, the table, and what the frameworks give for it by hand."""
    folder = tmp_path_factory.mktemp("gaps")
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": rng.uniform(1, 80, ROWS),
            "fare": rng.exponential(30, ROWS),
            "count": rng.integers(0, 5, ROWS).astype(float),
            "port of entry": rng.choice(["S", "C", "Q"], ROWS).astype(object),
        }
    )
    target = ((table.age < 30) | (table["port of entry"] == "C")).astype(int)
    for name in table:
        table.loc[rng.random(ROWS) < 0.2, name] = np.nan
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    mixed = make_pipeline(
        make_column_transformer((SimpleImputer(), NUMBERS), (texts, ["port of entry"])),
        LogisticRegression(max_iter=2000),
    ).fit(table, target)
    numbers = table[NUMBERS].to_numpy()
    forest = HistGradientBoostingClassifier(max_iter=10).fit(numbers, target)
    trees = xgboost.XGBClassifier(n_estimators=8).fit(numbers.astype("f4"), target)
    leaves = lightgbm.LGBMClassifier(n_estimators=8, verbose=-1).fit(numbers, target)
    models.save_estimator(mixed, folder / "mixed.joblib")
    models.save_estimator(forest, folder / "forest.joblib")
    trees.save_model(folder / "trees.ubj")
    leaves.booster_.save_model(folder / "leaves.txt")
    (folder / "ensemble.yaml").write_text(SPEC)
    by_hand = {
        "mixed": mixed.predict_proba(table),
        "forest": forest.predict_proba(numbers),
        "trees": trees.predict_proba(numbers.astype("f4"))[:, 1],
        "leaves": leaves.booster_.predict(numbers),
    }
    return folder, table, by_hand


def records(table):
    for i, row in enumerate(table.to_dict("records")):
        plain = {name: None if pd.isna(value) else value for name, value in row.items()}
        if plain["count"] is not None:
            plain["count"] = int(plain["count"])
        yield {"id": i, **plain}


def write_jsonl(path, rows):
    """Every second one without the keys that have no value."""
    kept = (r if r["id"] % 2 else {k: v for k, v in r.items() if v is not None} for r in rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))


def write_csv(path, rows):
    lines = [",".join(rows[0])]
    lines += [",".join("NA" if v is None else str(v) for v in row.values()) for row in rows]
    path.write_text("\n".join(lines) + "\n")


def write_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize("write", [write_jsonl, write_csv, write_parquet], ids=lambda f: f.__name__)
def test_every_row_is_predicted_as_by_hand_and_null_where_it_lacks_a_value(write, world, tmp_path):
    folder, table, by_hand = world
    rows = list(records(table))
    source = tmp_path / f"rows.{write.__name__.removeprefix('write_')}"
    write(source, rows)
    arguments = [
        f"--ensemble_spec={folder}/ensemble.yaml",
        f"--input_file_pattern={source}",
        f"--output_path={tmp_path}/out/p",
    ]
    assert main.main(arguments) == 0
    files = tmp_path.glob("out/p*.jsonl")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    found = {int(line["id"]): line["predictions"] for line in lines}
    assert len(lines) == len(found) == ROWS
    for name, expected in by_hand.items():
        given = np.array([found[i][name] for i in range(ROWS)])
        np.testing.assert_allclose(given, expected, rtol=1e-6)
    for row in rows:
        said = found[row["id"]]
        assert (said["age"], said["count"]) == (row["age"], row["count"])
        assert said["port"] == row["port of entry"]
        assert said["no_age"] == (row["age"] is None)
        assert said["age_or"] == (-1 if row["age"] is None else row["age"])
