"""Folders as MLflow wrote them: their MLmodel and requirements.txt, with model files made here."""

import logging
from importlib import metadata

import numpy as np
import pytest

from pipeline.errors import LoadError, UntrustedArtifactError
from pipeline.serving.rehearsal.misfits import misfits
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from tests.support import models
from tests.support.mlflow_folders import written
from tests.support.specs import load, model_spec

NUMBERS = ("age", "fare", "sepal length (cm)")


def table(sex=True):
    dice = np.random.default_rng(0)
    columns = {name: dice.normal(size=200).round(2) for name in NUMBERS}
    columns["age"] = dice.integers(18, 80, 200)
    return columns | ({"sex": dice.choice(["male", "female"], 200).astype(object)} if sex else {})


def labels(columns):
    return (columns["age"] > 50).astype(int)


def frame(columns):
    import pandas

    return pandas.DataFrame(columns)


def estimator(columns):
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    encoded = make_column_transformer((OneHotEncoder(), ["sex"]), remainder="passthrough")
    return make_pipeline(encoded, LogisticRegression()).fit(frame(columns), labels(columns))


def sklearn_folder(folder, flavour="sklearn", suffix=".skops"):
    fit = estimator(table())
    models.save_estimator(fit, written(folder, flavour) / f"model{suffix}")
    return lambda rows: fit.predict_proba(frame(rows))


def pickle_folder(folder):
    return sklearn_folder(folder, "sklearn_pickle", ".pkl")


def xgboost_folder(folder):
    import xgboost

    columns = table(sex=False)
    fit = xgboost.XGBClassifier(n_estimators=2).fit(frame(columns), labels(columns))
    fit.save_model(written(folder, "xgboost") / "model.ubj")
    return lambda rows: fit.predict_proba(frame(rows))[:, 1]


def lightgbm_folder(folder):
    import lightgbm

    columns = table(sex=False)
    data = lightgbm.Dataset(frame(columns), labels(columns))
    booster = lightgbm.train({"verbose": -1}, data, 2)
    booster.save_model(written(folder, "lightgbm") / "model.lgb")
    return lambda rows: booster.predict(frame(rows))


def lightgbm_estimator_folder(folder):
    import lightgbm

    columns = table(sex=False)
    fit = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(frame(columns), labels(columns))
    models.save_estimator(fit, written(folder, "lightgbm_estimator") / "model.skops")
    return lambda rows: fit.predict_proba(frame(rows))


def catboost_folder(folder):
    import catboost

    columns = table()
    quiet = {"verbose": False, "allow_writing_files": False}
    fit = catboost.CatBoostClassifier(iterations=2, **quiet)
    fit.fit(frame(columns), labels(columns), cat_features=["sex"])
    fit.save_model(str(written(folder, "catboost") / "model.cb"))
    return lambda rows: fit.predict_proba(frame(rows))


TABLES = {
    "sklearn": (sklearn_folder, "sklearn", "predict_proba", {}),
    "sklearn_pickle": (pickle_folder, "sklearn", "predict_proba", {"trusted": True}),
    "xgboost": (xgboost_folder, "xgboost", "predict", {}),
    "lightgbm": (lightgbm_folder, "lightgbm", "predict", {}),
    "lightgbm_estimator": (
        *(lightgbm_estimator_folder, "sklearn", "predict_proba"),
        {"trusted": True},
    ),
    "catboost": (catboost_folder, "catboost", "predict_proba", {}),
}


@pytest.mark.parametrize("flavour", TABLES)
def test_model_of_a_table_predicts_as_its_library_does(flavour, tmp_path):
    build, framework, output, keys = TABLES[flavour]
    predict = build(tmp_path / "1")
    columns = table(sex=flavour in ("sklearn", "sklearn_pickle", "catboost"))
    bound = {name: f"c{i}" for i, name in enumerate(reversed(columns))}
    entry = {"framework": framework, "inputs": bound, "outputs": {output: "p"}, **keys}
    servable = load(tmp_path / "1", model_spec(**entry))
    np.testing.assert_allclose(servable.predict(columns)[output], predict(columns), rtol=1e-6)


@pytest.mark.parametrize("suffix", [".ubj", ".json"])
def test_booster_is_read_under_the_name_that_older_versions_of_mlflow_gave_it(suffix, tmp_path):
    import xgboost

    text = "flavors: {python_function: {data: model.xgb}, xgboost: {data: model.xgb}}"
    (tmp_path / "MLmodel").write_text(text)
    file = models.xgboost_regressor(tmp_path / f"model{suffix}")
    x, _ = models.tree_rows()
    expected = xgboost.Booster(model_file=file).inplace_predict(x)
    file.rename(tmp_path / "model.xgb")
    spec = model_spec(framework="xgboost", inputs={"X": "c"}, outputs={"predict": "p"})
    np.testing.assert_array_equal(load(tmp_path, spec).predict({"X": x})["predict"], expected)


def onnx_folder(folder):
    models.onnx_file(written(folder, "onnx"))


def torch_folder(folder):
    models.torch_export(written(folder, "pytorch") / "data")


def keras_folder(folder):
    models.keras_file(written(folder, "keras") / "data")


def exported_keras_folder(folder):
    models.saved_model(written(folder, "keras_exported") / "data/model")


TENSORS = {
    "onnx": (onnx_folder, "onnx", "x", "y"),
    "pytorch": (torch_folder, "torch", "input", "output_0"),
    "keras": (keras_folder, "tensorflow", "x", "y"),
    "keras_exported": (exported_keras_folder, "tensorflow", "x", "y"),
}


@pytest.mark.parametrize("flavour", TENSORS)
def test_model_of_tensors_predicts_as_the_file_in_the_folder_does(flavour, tmp_path):
    build, framework, tensor, output = TENSORS[flavour]
    build(tmp_path / "1")
    spec = model_spec(framework=framework, inputs={tensor: "c"}, outputs={output: "p"})
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    weights, bias = models.affine_weights(1.0)
    found = load(tmp_path / "1", spec).predict({tensor: x})[output]
    np.testing.assert_allclose(found, x @ weights + bias, rtol=1e-5)


def test_pickle_needs_trust_as_everywhere(tmp_path):
    pickle_folder(tmp_path / "1")
    spec = model_spec(framework="sklearn", inputs={"X": "c"}, outputs={"predict": "p"})
    with pytest.raises(UntrustedArtifactError, match=r"model\.pkl would run code"):
        load(tmp_path / "1", spec)


def test_pickled_network_is_refused_with_the_way_to_export_it(tmp_path):
    import torch

    folder = written(tmp_path / "1", "pytorch_pickle") / "data"
    folder.mkdir()
    torch.save(torch.nn.Linear(3, 2), folder / "model.pth")
    spec = model_spec(framework="torch", inputs={"input": "c"}, outputs={"output_0": "p"})
    with pytest.raises(
        UntrustedArtifactError, match=r"a pickled torch\.nn\S+Linear, .*torch\.export .*'pt2'"
    ):
        load(tmp_path / "1", spec)


@pytest.mark.parametrize(
    ("flavour", "framework", "message"),
    [
        ("sklearn", "xgboost", r"flavours python_function, sklearn, which `framework: sklearn` "
         r"reads; found `framework: xgboost`"),
        ("lightgbm_estimator", "lightgbm", "which `framework: sklearn` reads"),
        ("pyfunc", "sklearn",
         r"flavours python_function only: .*mlflow\.pyfunc\.load_model\(path\)"),
    ],
    ids=["another framework", "an estimator of LightGBM", "pyfunc"],
)  # fmt: skip
def test_flavours_that_the_framework_does_not_read_are_named(flavour, framework, message, tmp_path):
    spec = model_spec(framework=framework, inputs={"X": "c"}, outputs={"predict": "p"})
    with pytest.raises(LoadError, match=message):
        load(written(tmp_path / "1", flavour), spec)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flavors: {spark: {data: x}, python_function: {}}",
         "flavours python_function, spark, none of which is read here, expected one of sklearn,"),
        ("flavors: [a", "MLmodel is no YAML"),
        ("a: 1", "has no `flavors`"),
        ("flavors: {sklearn: {pickled_model: ../model.pkl}}", "which is not below it"),
        ("flavors: {sklearn: {pickled_model: gone.pkl}}", "'gone.pkl', which is missing there"),
        ("flavors: {sklearn: {}}\nsignature: {inputs: '[1'}", "its signature's inputs are no JSON"),
    ],
    ids=["other flavours", "no YAML", "no flavours", "a path upwards", "no file", "no signature"],
)  # fmt: skip
def test_folder_that_cannot_be_read_says_why(text, message, tmp_path):
    (tmp_path / "MLmodel").write_text(text)
    spec = model_spec(framework="sklearn", inputs={"X": "c"}, outputs={"predict": "p"})
    with pytest.raises(LoadError, match=message):
        load(tmp_path, spec)


def ensemble(uri, inputs, fields, **keys):
    entry = {"name": "m", "framework": "sklearn", "uri": uri, "inputs": inputs}
    entry |= {"outputs": {"predict": "p"}, **keys}
    joined = {"column": "joined", "op": "concat", "of": ["fare", "age", "length"]}
    prepare = [joined] if "joined" in inputs.values() else []
    data = {"name": "e", "record": {"fields": fields}, "models": [entry], "prepare": prepare}
    return resolve(EnsembleSpec.model_validate(data))


def problems(folder, inputs, **dtypes):
    fields = {name: {"dtype": "float32"} for name in ("age", "fare", "length")}
    fields |= {name: {"dtype": dtype} for name, dtype in dtypes.items()}
    graph = ensemble(str(folder), inputs, fields)
    (model,) = graph.models
    return misfits(model, load(folder, model), graph, graph.types)[0]


ALL = {"age": "age", "fare": "fare", "sepal length (cm)": "length", "sex": "sex"}


def test_fields_of_another_type_than_the_signature_are_refused_with_both(tmp_path):
    sklearn_folder(tmp_path / "1")
    assert problems(tmp_path / "1", ALL, sex="string") == []
    assert problems(tmp_path / "1", ALL, sex="string", age="string") == [
        "model 'm' input 'age' takes numbers (long in the signature of its MLmodel), but column "
        "'age' of the record is string"
    ]
    found = problems(tmp_path / "1", ALL, sex="int64")
    assert "input 'sex' takes string, but column 'sex' of the record is int64" in found[0]


def nameless(folder):
    """A model that was fitted on an array, with a signature that names the columns."""
    from sklearn.linear_model import LinearRegression

    columns = table(sex=False)
    x = np.stack(list(columns.values()), axis=1)
    fit = LinearRegression().fit(x, 3 * x[:, 0] + x[:, 1])
    models.save_estimator(fit, written(folder, "sklearn") / "model.skops")
    signature = (folder / "MLmodel").read_text().replace('"sex"', '"sex_"')
    listed = signature.replace(', {"type": "string", "name": "sex_", "required": true}', "")
    (folder / "MLmodel").write_text(listed)
    return fit, columns, x


def test_signature_names_the_features_of_a_model_without_names(tmp_path):
    fit, columns, x = nameless(tmp_path / "1")
    entry = {"framework": "sklearn", "outputs": {"predict": "p"}}
    spec = model_spec(**entry, inputs={"X": ["fare", "sepal_length_cm", "age"]})
    rows = dict(zip(("age", "fare", "sepal_length_cm"), columns.values(), strict=True))
    found = load(tmp_path / "1", spec).predict(rows)["predict"]
    np.testing.assert_allclose(found, fit.predict(x))
    spec = model_spec(**entry, inputs={"X": ["fare", "years", "age"]})
    with pytest.raises(LoadError, match=r"no column called 'years'; its columns are age, fare, "):
        load(tmp_path / "1", spec)


def test_columns_joined_in_another_order_than_the_signature_are_refused(tmp_path):
    nameless(tmp_path / "1")
    (found,) = problems(tmp_path / "1", {"X": "joined"})
    assert "takes 'age' as feature 1, but column 'joined'" in found


def test_signature_gives_dtype_and_shape_to_a_network_whose_file_has_none(tmp_path):
    folder = written(tmp_path / "1", "pytorch_pickle") / "data"
    models.torchscript(folder).rename(folder / "model.pth")
    spec = model_spec(framework="torch", inputs={"input": "c"}, outputs={"output_0": "p"})
    (tensor,) = load(tmp_path / "1", spec).signature.inputs
    assert (tensor.dtype, tensor.dims) == ("float32", (None, 3))


def test_other_versions_of_packages_are_a_warning(tmp_path, caplog):
    spec = model_spec(framework="onnx", inputs={"x": "c"}, outputs={"y": "p"})
    file = models.onnx_file(written(tmp_path / "1", "onnx")).with_name("requirements.txt")
    here = metadata.version("numpy")
    file.write_text(f"mlflow==3.17.2\nnumpy=={here}+local\nnot-installed-anywhere==1\n")
    with caplog.at_level(logging.WARNING):
        load(tmp_path / "1", spec)
        assert not caplog.messages
        file.write_text("numpy==1.26.4 ; python_version < '3.13'\nPyYAML[x] == 5.1\n")
        load(tmp_path / "1", spec)
    (message,) = caplog.messages
    assert f"was saved by MLflow with numpy 1.26.4 (here {here}), PyYAML 5.1 (here " in message


def test_another_python_is_a_warning(tmp_path, caplog):
    spec = model_spec(framework="onnx", inputs={"x": "c"}, outputs={"y": "p"})
    file = models.onnx_file(written(tmp_path / "1", "onnx")).with_name("MLmodel")
    file.with_name("requirements.txt").unlink()
    file.write_text(file.read_text().replace("python_version: 3.11.7", "python_version: 3.8.1"))
    with caplog.at_level(logging.WARNING):
        load(tmp_path / "1", spec)
    assert "was saved by MLflow with Python 3.8.1 (here 3.11" in caplog.messages[0]
