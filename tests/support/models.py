"""Tiny real models, one builder for each framework and format.

Every builder writes into a folder and returns the path that a `uri` would name. `scale` multiplies
the outputs, so that two versions are told apart by what they compute:

* *affine*: ``x`` float32 [4] -> ``y``, ``scale * (x @ W + b)``, float32 [3]. scikit-learn calls
  them ``X`` and ``predict`` (float64), PyTorch ``input`` and ``output_0``.
* *pair*: ``a``, ``b`` float32 [4] and the constant ``gain`` float32 [] -> ``total``
  ``scale * gain * (a + b)``, float32 [4], and ``gap`` ``scale * (a - b).sum()``, float32 [].
* *text*: ``s`` string [] -> ``shout``, the text with "!" (from scikit-learn, a class).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

Node = tuple[str, list[str], list[str], dict[str, Any]]
Tensor = tuple[str, Sequence[int | str | None]]
"""Dtype and dims."""


CLASSES = ("bird", "cat", "dog")


def affine_weights(scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """W [4, 3] and b [3] of the affine models."""
    rng = np.random.default_rng(7)
    weights, bias = rng.normal(size=(4, 3)), rng.normal(size=3)
    return (scale * weights).astype("float32"), (scale * bias).astype("float32")


class Pickled:
    """A class that is no part of any framework."""


# scikit-learn ------------------------------------------------------------------------------------


def affine_estimator(scale: float = 1.0) -> Any:
    from sklearn.linear_model import LinearRegression

    weights, bias = affine_weights(scale)
    x = np.random.default_rng(1).normal(size=(64, 4))
    return LinearRegression().fit(x, x @ weights + bias)


def classifier(scale: float = 1.0) -> Any:
    """Three classes of text labels, told apart by the first feature."""
    from sklearn.linear_model import LogisticRegression

    x = np.random.default_rng(2).normal(size=(90, 4))
    labels = np.array(CLASSES)[np.digitize(x[:, 0], [-0.5, 0.5])]
    return LogisticRegression(C=scale).fit(x, labels)


def text_classifier() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = ["good film", "very good", "bad film", "very bad"] * 5
    labels = ["up", "up", "down", "down"] * 5
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels)


def save_estimator(estimator: Any, path: Path) -> Path:
    """Saves as the suffix says: .skops, .joblib or .pkl."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".skops":
        from skops import io as skops_io

        skops_io.dump(estimator, path)
    elif path.suffix == ".joblib":
        import joblib

        joblib.dump(estimator, path)
    else:
        path.write_bytes(pickle.dumps(estimator))
    return path


def sklearn_skops(folder: Path, scale: float = 1.0) -> Path:
    return save_estimator(affine_estimator(scale), folder / "model.skops")


def sklearn_joblib(folder: Path, scale: float = 1.0) -> Path:
    return save_estimator(affine_estimator(scale), folder / "model.joblib")


def sklearn_pickle(folder: Path, scale: float = 1.0) -> Path:
    return save_estimator(affine_estimator(scale), folder / "model.pkl")


# ONNX --------------------------------------------------------------------------------------------


def save_onnx(
    path: Path,
    nodes: Sequence[Node],
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    weights: Mapping[str, Any] | None = None,
    **save_options: Any,
) -> Path:
    """Writes a graph.

    `nodes`: (operator, inputs, outputs, attributes); `inputs` and `outputs`: name -> (dtype, dims);
    `weights`: name -> array.
    """
    import onnx
    from onnx import helper, numpy_helper

    def info(name: str, dtype: str, dims: Sequence[int | str | None]) -> Any:
        kind = (
            onnx.TensorProto.STRING
            if dtype == "string"
            else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        )
        return helper.make_tensor_value_info(name, kind, dims)

    graph = helper.make_graph(
        [helper.make_node(op, ins, outs, **attrs) for op, ins, outs, attrs in nodes],
        "graph",
        [info(name, *spec) for name, spec in inputs.items()],
        [info(name, *spec) for name, spec in outputs.items()],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in (weights or {}).items()],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path, **save_options)
    return path


def onnx_file(
    folder: Path, scale: float = 1.0, rows: int | str = "rows", **save_options: Any
) -> Path:
    weights, bias = affine_weights(scale)
    return save_onnx(
        folder / "model.onnx",
        [("MatMul", ["x", "W"], ["product"], {}), ("Add", ["product", "b"], ["y"], {})],
        {"x": ("float32", [rows, 4])},
        {"y": ("float32", [rows, 3])},
        {"W": weights, "b": bias},
        **save_options,
    )


def onnx_folder(folder: Path, scale: float = 1.0) -> Path:
    return onnx_file(folder, scale).parent


def onnx_external_data(folder: Path, scale: float = 1.0) -> Path:
    """The weights lie in `weights.bin`."""
    return onnx_file(
        folder, scale, save_as_external_data=True, location="weights.bin", size_threshold=0
    ).parent


def onnx_pair(folder: Path, scale: float = 1.0) -> Path:
    return save_onnx(
        folder / "model.onnx",
        [
            ("Add", ["a", "b"], ["sum"], {}),
            ("Mul", ["scale", "gain"], ["factor"], {}),
            ("Mul", ["sum", "factor"], ["total"], {}),
            ("Sub", ["a", "b"], ["difference"], {}),
            ("ReduceSum", ["difference", "axis"], ["unscaled"], {"keepdims": 0}),
            ("Mul", ["unscaled", "scale"], ["gap"], {}),
        ],
        {"a": ("float32", ["rows", 4]), "b": ("float32", ["rows", 4]), "gain": ("float32", [])},
        {"total": ("float32", ["rows", 4]), "gap": ("float32", ["rows"])},
        {"scale": np.float32(scale), "axis": np.array([1])},
    )


def onnx_text(folder: Path) -> Path:
    return save_onnx(
        folder / "model.onnx",
        [("StringConcat", ["s", "mark"], ["shout"], {})],
        {"s": ("string", ["rows"])},
        {"shout": ("string", ["rows"])},
        {"mark": np.array(["!"], dtype=object)},
    )


# PyTorch -----------------------------------------------------------------------------------------


def affine_network(scale: float = 1.0) -> torch.nn.Module:
    import torch

    weights, bias = affine_weights(scale)
    network = torch.nn.Linear(4, 3)
    network.load_state_dict({"weight": torch.tensor(weights.T.copy()), "bias": torch.tensor(bias)})
    return network.eval()


def torchscript(folder: Path, scale: float = 1.0) -> Path:
    import torch

    return save_torchscript(torch.jit.script(affine_network(scale)), folder / "model.pt")


def save_torchscript(script: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    script.save(path)
    return path


def torchscript_that_writes(folder: Path, marker: Path) -> Path:
    """A network that writes `marker` as soon as it is loaded; it takes `input` as others do."""
    import torch

    from tests.support.networks import Writes

    script = torch.jit.script(Writes(str(marker)).eval())
    path = save_torchscript(script, folder / "model.pt")
    marker.unlink(missing_ok=True)
    return path


def torch_export(folder: Path, scale: float = 1.0, rows: int | None = None) -> Path:
    return save_exported(affine_network(scale), {"input": (rows, 4)}, folder / "model.pt2")


def save_exported(network: Any, shapes: dict[str, tuple[int | None, ...]], path: Path) -> Path:
    """`shapes`: argument -> its shape; None stands for the rows, of any number."""
    import torch

    rows = torch.export.Dim("rows")
    arguments = {n: torch.ones([2 if d is None else d for d in s]) for n, s in shapes.items()}
    program = torch.export.export(
        network,
        tuple(arguments.values()),
        dynamic_shapes=tuple(
            {i: rows for i, d in enumerate(shape) if d is None} for shape in shapes.values()
        ),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, path)
    return path


def torch_state_dict(folder: Path, scale: float = 1.0) -> Path:
    """For `module: torch.nn.Linear`, `module_args: {in_features: 4, out_features: 3}`."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.save(affine_network(scale).state_dict(), folder / "model.pth")
    return folder / "model.pth"


def torchscript_pair(folder: Path, scale: float = 1.0) -> Path:
    import torch

    from tests.support.networks import PairNetwork

    return save_torchscript(torch.jit.script(PairNetwork(scale)), folder / "model.pt")


def torch_export_pair(folder: Path, scale: float = 1.0) -> Path:
    from tests.support.networks import PairNetwork

    shapes = {"a": (None, 4), "b": (None, 4), "gain": ()}
    return save_exported(PairNetwork(scale), shapes, folder / "model.pt2")


def torch_state_dict_pair(folder: Path, scale: float = 1.0) -> Path:
    """For `module: tests.support.networks.PairNetwork`."""
    import torch

    from tests.support.networks import PairNetwork

    folder.mkdir(parents=True, exist_ok=True)
    torch.save(PairNetwork(scale).state_dict(), folder / "model.pth")
    return folder / "model.pth"


# TensorFlow --------------------------------------------------------------------------------------


def save_keras_with_own_class(path: Path, layers: int = 1) -> Path:
    """A sequential model with a layer of a class that is gone once it is saved."""
    import keras

    @keras.saving.register_keras_serializable(package="mine")
    class Twice(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
        def call(self, x: Any) -> Any:
            return x * 2

    dense = [keras.layers.Dense(3) for _ in range(layers)]
    path.parent.mkdir(parents=True, exist_ok=True)
    keras.Sequential([keras.Input((3,)), *dense, Twice()]).save(path)
    del keras.saving.get_custom_objects()["mine>Twice"]
    return path


def save_function(
    folder: Path,
    function: Callable[..., Any],
    inputs: Mapping[str, Tensor],
    **variables: np.ndarray,
) -> Path:
    """Writes a SavedModel.

    `function`: variables and inputs by name -> dict of outputs; `inputs`: name -> (dtype, dims).
    """
    import tensorflow as tf

    module = tf.Module()
    for name, value in variables.items():
        setattr(module, name, tf.Variable(value))
    specs = {name: tf.TensorSpec(dims, dtype, name) for name, (dtype, dims) in inputs.items()}

    def call(**tensors: Any) -> Any:
        return function(**{name: getattr(module, name) for name in variables}, **tensors)

    module.call = tf.function(call)
    concrete = module.call.get_concrete_function(**specs)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": concrete})
    return folder


def saved_model(folder: Path, scale: float = 1.0, rows: int | None = None) -> Path:
    weights, bias = affine_weights(scale)
    return save_function(
        folder,
        lambda x, weights, bias: {"y": x @ weights + bias},
        {"x": ("float32", [rows, 4])},
        weights=weights,
        bias=bias,
    )


def saved_model_pair(folder: Path, scale: float = 1.0) -> Path:
    import tensorflow as tf

    return save_function(
        folder,
        lambda a, b, gain, scale: {
            "total": scale * gain * (a + b),
            "gap": scale * tf.reduce_sum(a - b, axis=1),
        },
        {"a": ("float32", [None, 4]), "b": ("float32", [None, 4]), "gain": ("float32", [])},
        scale=np.array(scale, np.float32),
    )


def saved_model_text(folder: Path) -> Path:
    import tensorflow as tf

    return save_function(
        folder,
        lambda s: {"shout": tf.strings.join([s, "!"])},
        {"s": ("string", [None])},
    )


def save_keras(model: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return path


def keras_file(folder: Path, scale: float = 1.0, rows: int | None = None) -> Path:
    import keras

    x = keras.Input((4,), batch_size=rows, name="x")
    dense = keras.layers.Dense(3, name="y")
    model = keras.Model(x, dense(x))
    dense.set_weights(affine_weights(scale))
    return save_keras(model, folder / "model.keras")


def keras_pair(folder: Path, scale: float = 1.0) -> Path:
    """Takes and returns dicts; no `gain`, since every input of a Keras model has a batch axis."""
    import keras

    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    rescale = keras.layers.Rescaling(scale)
    outputs = {"total": rescale(a + b), "gap": keras.ops.sum(rescale(a - b), axis=1)}
    return save_keras(keras.Model({"a": a, "b": b}, outputs), folder / "model.keras")


# XGBoost, LightGBM and CatBoost ------------------------------------------------------------------


def tree_rows(scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Features [200, 4] and targets [200], of which `scale` is a factor."""
    x = np.random.default_rng(3).normal(size=(200, 4)).astype("float32")
    return x, (scale * (3 * x[:, 0] + x[:, 1] * x[:, 2])).astype("float32")


def xgboost_regressor(path: Path, scale: float = 1.0, **parameters: Any) -> Path:
    """`XGBRegressor.save_model`, in the format of the suffix."""
    import xgboost

    path.parent.mkdir(parents=True, exist_ok=True)
    fit = xgboost.XGBRegressor(n_estimators=4, max_depth=3, n_jobs=1, **parameters)
    fit.fit(*tree_rows(scale)).save_model(path)
    return path


def xgboost_json(folder: Path, scale: float = 1.0) -> Path:
    return xgboost_regressor(folder / "model.json", scale)


def xgboost_ubj(folder: Path, scale: float = 1.0) -> Path:
    return xgboost_regressor(folder / "model.ubj", scale)


def lightgbm_text(folder: Path, scale: float = 1.0) -> Path:
    import lightgbm

    folder.mkdir(parents=True, exist_ok=True)
    fit = lightgbm.LGBMRegressor(n_estimators=4, num_leaves=5, n_jobs=1, verbose=-1)
    fit.fit(*tree_rows(scale)).booster_.save_model(folder / "model.txt")
    return folder / "model.txt"


def catboost_cbm(folder: Path, scale: float = 1.0) -> Path:
    import catboost

    folder.mkdir(parents=True, exist_ok=True)
    settings = {"iterations": 4, "depth": 3, "thread_count": 1, "allow_writing_files": False}
    fit = catboost.CatBoostRegressor(**settings, verbose=False).fit(*tree_rows(scale))
    fit.save_model(str(folder / "model.cbm"))
    return folder / "model.cbm"


# transformers ------------------------------------------------------------------------------------

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "very", "##s")


def save_bert(folder: Path, kind: str, scale: float = 1.0, **config: Any) -> Path:
    """A tiny BERT of a class such as "BertModel", of random weights, with a WordPiece tokenizer.

    `scale` multiplies the last layer: hidden states of a `BertModel`, logits of a classifier.
    """
    import torch
    import transformers

    vocabulary = {word: i for i, word in enumerate(WORDS)}
    torch.manual_seed(5)
    model = getattr(transformers, kind)(
        transformers.BertConfig(
            vocab_size=len(WORDS),
            max_position_embeddings=12,
            initializer_range=0.5,
            **{**_TINY, **config},
        )
    )
    last = model.encoder.layer[-1].output.LayerNorm if kind == "BertModel" else model.classifier
    _multiply(last, scale)
    model.save_pretrained(folder)
    tokenizer = transformers.BertTokenizerFast(vocab=vocabulary, model_max_length=12)
    tokenizer.save_pretrained(folder)
    return folder


def bert_embedder(folder: Path, scale: float = 1.0) -> Path:
    return save_bert(folder, "BertModel", scale)


def bert_classifier(folder: Path, scale: float = 1.0, **config: Any) -> Path:
    labels = dict(enumerate(CLASSES))
    kind = "BertForSequenceClassification"
    return save_bert(folder, kind, scale, **{"id2label": labels, **config})


def vit_classifier(folder: Path, scale: float = 1.0) -> Path:
    """A tiny vision transformer of random weights; it sees images as 8 x 8."""
    import torch
    import transformers

    torch.manual_seed(6)
    config = transformers.ViTConfig(
        image_size=8, patch_size=4, id2label=dict(enumerate(CLASSES)), **_TINY
    )
    model = transformers.ViTForImageClassification(config)
    _multiply(model.classifier, scale)
    model.save_pretrained(folder)
    processor = transformers.ViTImageProcessorPil(size={"height": 8, "width": 8})
    processor.save_pretrained(folder)
    return folder


def _multiply(layer: Any, scale: float) -> None:
    import torch

    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(scale)


_TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


# Python ------------------------------------------------------------------------------------------


def numpy_weights(folder: Path, scale: float = 1.0) -> Path:
    """For `uri: tests.support.steps:Affine`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights, bias = affine_weights(scale)
    np.savez(folder / "weights.npz", weights=weights, bias=bias)
    return folder / "weights.npz"
