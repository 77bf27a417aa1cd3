"""Imports frameworks in an order, and computes with each, twice: a program, for a new process.

``python -m tests.backends.framework_imports tensorflow torch ...`` prints the names as it comes by.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

import pipeline.backends  # noqa: F401  # keeps the order

X = np.array([[1, 2, 3], [4, 5, 6]], "float32")
W = np.array([[1, 0], [0, 1], [1, -1]], "float32")
Y = np.maximum(X @ W, 0)


def pyarrow():
    """No framework, but in every process of a job before one is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.multiply(pa.array(Y.ravel()), 1).to_numpy(zero_copy_only=False).reshape(Y.shape)


def pandas():
    """No framework either; CatBoost and models of DataFrames import it."""
    import pandas as pd

    return pd.DataFrame(Y).to_numpy()


def tensorflow():
    import tensorflow as tf

    return tf.function(lambda x: tf.nn.relu(x @ W), jit_compile=True)(X).numpy()


def torch():
    """An export takes PyTorch's compiler, which imports Triton."""
    import torch

    class Network(torch.nn.Module):
        def forward(self, x):
            return (x @ torch.from_numpy(W)).relu()

    x = torch.from_numpy(X)
    return torch.export.export(Network(), (x,)).module()(x).numpy()


def onnxruntime():
    import onnxruntime
    from onnx import helper, numpy_helper

    info = [helper.make_tensor_value_info(name, 1, [2, None]) for name in "xy"]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], [numpy_helper.from_array(W, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": X})[0]


def sklearn():
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.tree import DecisionTreeRegressor

    HistGradientBoostingRegressor(max_iter=2).fit(X, Y[:, 0]).predict(X)  # with OpenMP
    return DecisionTreeRegressor().fit(X, Y).predict(X)


def xgboost():
    import xgboost

    matrix = xgboost.DMatrix(X, np.zeros(2))
    settings = {"base_score": 0.5, "min_child_weight": 0, "eta": 0.0}
    return Y + xgboost.train(settings, matrix, 1).predict(matrix)[:, None] - 0.5


def lightgbm():
    import lightgbm

    data = lightgbm.Dataset(X, np.ones(2), params={"min_data_in_leaf": 1, "verbose": -1})
    return Y * lightgbm.train({"verbose": -1}, data, 1).predict(X)[:, None]


def catboost():
    import catboost

    settings = {"iterations": 1, "allow_writing_files": False, "verbose": False}
    fit = catboost.CatBoostRegressor(**settings).fit(X, [1.0, 2.0])
    return Y * np.isfinite(fit.predict(X))[:, None]


def transformers():
    import torch
    from transformers.activations import ACT2FN
    from transformers.models.bert import BertConfig, BertModel

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=9, num_hidden_layers=1, **sizes))(torch.tensor([[1, 2]]))
    return ACT2FN["relu"](torch.from_numpy(X @ W)).numpy()


EVERY = (
    tensorflow,
    torch,
    onnxruntime,
    sklearn,
    xgboost,
    lightgbm,
    catboost,
    transformers,
    pyarrow,
    pandas,
)


def _main(names: list[str]) -> None:
    warnings.simplefilter("ignore")
    calls = {call.__name__: call for call in EVERY}
    for name in (*names, *names):
        np.testing.assert_allclose(calls[name](), Y, rtol=1e-5)
        print(name, flush=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
