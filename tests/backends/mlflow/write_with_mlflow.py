"""Writes a model folder of each flavour with MLflow itself: a program, where MLflow is installed.

``pip install mlflow-skinny==3.17.2`` in an environment of its own that has the frameworks, then
``python tests/backends/mlflow/write_with_mlflow.py FOLDER``. The files MLmodel and requirements.txt
below `written/` are what version 3.17.2 wrote; tests put model files beside them.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from mlflow import catboost, lightgbm, onnx, pyfunc, pytorch, sklearn, xgboost
from mlflow.models import infer_signature

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "age": RNG.integers(18, 80, 200),
        "fare": RNG.normal(30, 9, 200),
        "sepal length (cm)": RNG.normal(size=200),
        "sex": RNG.choice(["male", "female"], 200),
    }
)
NUMBERS = TABLE.drop(columns="sex")
Y = (TABLE["age"] > 50).astype(int).to_numpy()
X = np.ones((2, 3), "float32")


def main(folder: str) -> None:
    """Writes one folder a flavour, each of a tiny model."""
    import catboost as cb
    import lightgbm as lgb
    import torch
    import xgboost as xgb

    table = infer_signature(TABLE, Y)
    numbers = infer_signature(NUMBERS, Y)
    tensors = infer_signature(X, X[:, :2])
    sklearn.save_model(estimator(), f"{folder}/sklearn", signature=table)
    pickle = {"serialization_format": "cloudpickle"}
    sklearn.save_model(estimator(), f"{folder}/sklearn_pickle", signature=table, **pickle)
    fit = xgb.XGBClassifier(n_estimators=2).fit(NUMBERS, Y)
    xgboost.save_model(fit, f"{folder}/xgboost", signature=numbers)
    booster = lgb.train({"verbose": -1}, lgb.Dataset(NUMBERS, Y), 2)
    lightgbm.save_model(booster, f"{folder}/lightgbm", signature=numbers)
    fit = lgb.LGBMClassifier(n_estimators=2, verbose=-1).fit(NUMBERS, Y)
    lightgbm.save_model(fit, f"{folder}/lightgbm_estimator", signature=numbers)
    quiet = {"verbose": False, "allow_writing_files": False}
    fit = cb.CatBoostClassifier(iterations=2, **quiet).fit(TABLE, Y, cat_features=["sex"])
    catboost.save_model(fit, f"{folder}/catboost", signature=table)
    onnx.save_model(graph(), f"{folder}/onnx", signature=infer_signature({"x": X}, {"y": X[:, :2]}))
    network = torch.nn.Linear(3, 2)
    pytorch.save_model(network, f"{folder}/pytorch", signature=tensors, input_example=X)
    pickle = {"serialization_format": "pickle"}
    pytorch.save_model(network, f"{folder}/pytorch_pickle", signature=tensors, **pickle)
    import keras as k  # after PyTorch: see pipeline/backends/import_order.py
    from mlflow import keras

    network = k.Sequential([k.layers.Input((3,)), k.layers.Dense(2)])
    keras.save_model(network, f"{folder}/keras", signature=tensors)
    keras.save_model(
        network, f"{folder}/keras_exported", signature=tensors, save_exported_model=True
    )
    pyfunc.save_model(f"{folder}/pyfunc", python_model=Own())


class Own(pyfunc.PythonModel):
    """Code of its own."""

    def predict(self, context, model_input, params=None):
        return model_input


def estimator():
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    encoded = make_column_transformer((OneHotEncoder(), ["sex"]), remainder="passthrough")
    return make_pipeline(encoded, LogisticRegression()).fit(TABLE, Y)


def graph():
    from onnx import TensorProto, helper

    weights = helper.make_tensor("W", TensorProto.FLOAT, [3, 2], np.arange(6, dtype="float32"))
    info = helper.make_tensor_value_info
    made = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["y"])],
        "graph",
        [info("x", TensorProto.FLOAT, ["N", 3])],
        [info("y", TensorProto.FLOAT, ["N", 2])],
        [weights],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


if __name__ == "__main__":
    main(sys.argv[1])
