"""Categories of boosters, bound by name: the numbers that the library gives for a DataFrame."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from pipeline.backends import registry
from pipeline.backends.base import LoadContext
from pipeline.backends.tables.categories import category_codes
from pipeline.batch.batch import Batch
from pipeline.batch.columns import Masked
from pipeline.errors import RowsError
from pipeline.serving.step.model_step import ModelStep
from pipeline.spec.model import LightgbmModel, XgboostModel, unbound

LABELS = {"text": ["S", "C", "Q"], "integer": [7, 1, 3]}


def frame(kind, rows=300):
    rng = np.random.default_rng(0)
    made = pd.DataFrame({"age": rng.uniform(1, 80, rows), "port": rng.choice(LABELS[kind], rows)})
    target = (made.age < 30) ^ (made.port == LABELS[kind][1])
    made["port"] = made.port.astype("category")  # before the gaps: they would make floats of it
    made.loc[rng.random(rows) < 0.1, "port"] = np.nan
    return made, target.astype(int)


def booster(framework, kind, folder):
    """A booster's file, rows of its table, and what the library gives for them."""
    rows, target = frame(kind)
    if framework == "xgboost":
        path, data = folder / "m.ubj", xgboost.DMatrix(rows, target, enable_categorical=True)
        model = xgboost.train({"max_depth": 3}, data, 8)
        given = model.predict(xgboost.DMatrix(rows, enable_categorical=True))
    else:
        path, data = folder / "m.txt", lightgbm.Dataset(rows, target)
        model = lightgbm.train({"verbose": -1, "min_data_in_leaf": 5}, data, 8)
        given = model.predict(rows)
    model.save_model(path)
    return path, rows, given


def load(framework, path, inputs=None):
    spec = {"xgboost": XgboostModel, "lightgbm": LightgbmModel}[framework].model_validate(
        {
            "name": "m",
            "framework": framework,
            "uri": str(path),
            "inputs": inputs or {"age": "age", "port": "port"},
            "outputs": {"predict": "y"},
        }
    )
    return spec, registry.load(path, spec, LoadContext())


def run(spec, servable, age, port, present=None):
    values = np.asarray(port, dtype=object if isinstance(port[0], str) else np.int64)
    column = values if present is None else Masked(values, np.asarray(present))
    batch = Batch(tuple(range(len(age))), (b"",) * len(age), {"age": age, "port": column})
    return ModelStep(spec).run(batch, servable)


every_booster = pytest.mark.parametrize("framework", ["xgboost", "lightgbm"])


@every_booster
@pytest.mark.parametrize("kind", LABELS)
def test_values_are_read_as_the_categories_they_were_in_training(framework, kind, tmp_path):
    path, rows, given = booster(framework, kind, tmp_path)
    spec, servable = load(framework, path)
    present = ~rows.port.isna().to_numpy()
    some = [
        value if has else LABELS[kind][0] for value, has in zip(rows.port, present, strict=True)
    ]
    done = run(spec, servable, rows.age.to_numpy(), some, present)
    assert np.allclose(done.columns["y"], given, rtol=1e-5)


@every_booster
def test_value_that_is_no_category_is_what_the_library_makes_of_it(framework, tmp_path):
    path, _, _ = booster(framework, "text", tmp_path)
    spec, servable = load(framework, path)
    done = run(spec, servable, np.array([20.0, 20.0]), ["S", "Mars"])
    if framework == "xgboost":
        assert [reject.record_id for reject in done.rejects] == [1]
        told = (
            "model 'm' fails on this row: found 'Mars' in 'port', which is none of its categories"
        )
        assert done.rejects[0].error_message == told
    else:
        missing = run(spec, servable, np.array([20.0]), ["S"], [False])
        assert done.columns["y"][1] == missing.columns["y"][0]


@every_booster
def test_names_and_categories_are_known_before_they_are_bound(framework, tmp_path):
    path, _, _ = booster(framework, "text", tmp_path)
    servable = registry.load(path, unbound(framework, str(path)), LoadContext())
    age, port = servable.signature.inputs
    assert (age.name, port.name, port.dtype) == ("age", "port", "string")
    assert set(port.values) == set(LABELS["text"])


@every_booster
def test_a_matrix_has_the_codes_as_before(framework, tmp_path):
    path, rows, given = booster(framework, "text", tmp_path)
    _, servable = load(framework, path, {"X": "x"})
    codes = np.column_stack([rows.age, rows.port.cat.codes.replace(-1, np.nan)])
    dtype = servable.signature.inputs[0].dtype
    made = servable.predict({"X": codes.astype(dtype)})["predict"]
    assert np.allclose(made, given, rtol=1e-5)


def beyond_ascii(folder):
    """A booster whose categories XGBoost cuts at wrong places, and rows of its table."""
    towns = pd.Categorical(["Köln", "Oslo", "Rome", "Łódź"] * 10)
    rows = pd.DataFrame({"age": np.arange(40.0), "port": towns})
    data = xgboost.DMatrix(rows, rows.port.cat.codes * 10.0, enable_categorical=True)
    model = xgboost.train({"max_cat_to_onehot": 1}, data, 8)
    model.save_model(folder / "m.ubj")
    return folder / "m.ubj", rows, model.predict(xgboost.DMatrix(rows, enable_categorical=True))


def test_categories_that_xgboost_does_not_keep_whole_are_taken_as_codes_only(tmp_path):
    path, rows, given = beyond_ascii(tmp_path)
    spec, servable = load("xgboost", path)
    codes = rows.port.cat.codes.to_numpy(np.int64)
    done = run(spec, servable, rows.age.to_numpy(), codes)
    assert np.allclose(done.columns["y"], given, rtol=1e-5)
    port = servable.signature.inputs[1]
    assert "string" not in port.taken.dtypes
    assert "`op: ordinal` makes codes" in port.taken.what


def test_labels_that_are_neither_text_nor_numbers_have_no_codes():
    assert category_codes([pd.Timestamp("2024-01-01")], unknown_is_missing=True) is None
    assert category_codes([], unknown_is_missing=True) is None


def test_all_rows_with_an_unknown_value_are_told_at_once():
    codes = category_codes(["a", "b"], unknown_is_missing=False)
    with pytest.raises(RowsError) as error:
        codes.codes("t", np.array(["a", "x", None, "y"], dtype=object))
    assert set(error.value.messages) == {1, 3}
