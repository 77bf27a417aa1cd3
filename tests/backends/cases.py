"""What the conformance suite runs over: every framework and format, and what each should do.

`reference` computes with the framework itself, without this project's code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.base import Servable
from pipeline.spec.model import ModelSpec
from tests.support import models
from tests.support.specs import load, model_spec

GAIN = {"value": 3.0, "dtype": "float32"}
AFFINE_DTYPES = {"x": "float32", "y": "float32"}
PAIR_SHAPES = {"a": (4,), "b": (4,), "gain": (), "total": (4,), "gap": ()}


@dataclass(frozen=True)
class Case:
    """One framework and format.

    Attributes:
      build: (folder, scale) -> the path that a `uri` would name.
      inputs: the spec's inputs.
      outputs: the tensors that the spec names.
      reference: (path, inputs) -> outputs, by the framework itself.
      file: the file in a folder that, when broken, makes the model unreadable.
      listed: which of inputs and outputs the format lists.
      dtypes: tensor -> dtype, where the format has it.
      row_shapes: tensor -> shape of a row (whole shape of a constant), where the format has it.
      extra: further keys of the spec entry.
      column: (generator, rows) -> made-up values of a column.
    """

    name: str
    framework: str
    build: Callable[..., Path]
    reference: Callable[[Path, dict[str, np.ndarray]], dict[str, np.ndarray]]
    file: str
    inputs: dict[str, Any] = field(default_factory=lambda: {"x": "pixels"})
    outputs: tuple[str, ...] = ("y",)
    listed: tuple[str, ...] = ("inputs", "outputs")
    dtypes: dict[str, str] = field(default_factory=dict)
    row_shapes: dict[str, tuple[int | None, ...]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    column: Callable[..., np.ndarray] = lambda rng, count: rng.normal(size=(count, 4)).astype("f4")

    def __str__(self) -> str:
        return self.name

    def spec(self, **changes: Any) -> ModelSpec:
        entry = {
            "name": "model",
            "uri": "models/1",
            "framework": self.framework,
            "inputs": self.inputs,
            "outputs": dict(zip(self.outputs, self.outputs, strict=True)),
            **self.extra,
        }
        return model_spec(**{**entry, **changes})

    def load(self, path: Path, *, device: str = "cpu", **changes: Any) -> Servable:
        return load(path, self.spec(**changes), device=device)

    def rows(self, count: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Made-up inputs: `count` rows for the columns, constants as they are."""
        rng = np.random.default_rng(seed)
        return {
            name: np.array(binding["value"], binding["dtype"])
            if isinstance(binding, dict)
            else self.column(rng, count)
            for name, binding in self.inputs.items()
        }


def _joblib(path, inputs):
    import joblib

    return {"predict": joblib.load(path).predict(inputs["X"])}


def _skops(path, inputs):
    from skops import io as skops_io

    return {"predict": skops_io.load(path).predict(inputs["X"])}


def _onnx(path, inputs):
    import onnxruntime

    file = path if path.is_file() else path / "model.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def _torch(network, inputs):
    import torch

    with torch.no_grad():
        result = network(*(torch.tensor(array) for array in inputs.values()))
    results = result if isinstance(result, tuple) else (result,)
    return {f"output_{i}": tensor.numpy() for i, tensor in enumerate(results)}


def _torchscript(path, inputs):
    import torch

    return _torch(torch.jit.load(path), inputs)


def _torch_export(path, inputs):
    import torch

    return _torch(torch.export.load(path).module(), inputs)


def _state_dict(make_network):
    def reference(path, inputs):
        import torch

        network = make_network()
        network.load_state_dict(torch.load(path))
        return _torch(network.eval(), inputs)

    return reference


def _linear():
    import torch

    return torch.nn.Linear(4, 3)


def _pair():
    from tests.support.networks import PairNetwork

    return PairNetwork()


def _saved_model(path, inputs):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    tensors = {name: tf.constant(array) for name, array in inputs.items()}
    results = loaded.signatures["serving_default"](**tensors)
    return {name: tensor.numpy() for name, tensor in results.items()}


def _keras(path, inputs):
    import keras

    model = keras.saving.load_model(path)
    result = model(inputs if len(inputs) > 1 else inputs["x"])
    results = result if isinstance(result, dict) else {"y": result}
    return {name: tensor.numpy() for name, tensor in results.items()}


def _xgboost(path, inputs):
    import xgboost

    booster = xgboost.Booster(model_file=path)
    return {"predict": booster.inplace_predict(inputs["X"])}


def _lightgbm(path, inputs):
    import lightgbm

    return {"predict": lightgbm.Booster(model_file=path).predict(inputs["X"])}


def _catboost(path, inputs):
    import catboost

    return {"predict": catboost.CatBoost().load_model(str(path)).predict(inputs["X"])}


def _bert_embedding(path, inputs):
    """One text at a time, so without padding."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    with torch.no_grad():
        means = [
            model(**tokenizer(text, truncation=True, return_tensors="pt"))
            .last_hidden_state[0]
            .mean(0)
            for text in inputs["text"]
        ]
    return {"embedding": torch.stack(means).numpy()}


def _bert_logits(path, inputs):
    from transformers import pipeline

    return _scored(
        pipeline("text-classification", str(path)), inputs["text"].tolist(), truncation=True
    )


def _vit_logits(path, inputs):
    from PIL import Image
    from transformers import pipeline

    images = [Image.fromarray(image) for image in inputs["image"]]
    return _scored(pipeline("image-classification", str(path)), images)


def _scored(run, rows, **options):
    """By the pipelines of transformers, which know labels in the place of positions."""
    results = run(rows, top_k=None, function_to_apply="none", **options)
    scores = [{entry["label"]: entry["score"] for entry in result} for result in results]
    return {"logits": np.array([[s[c] for c in models.CLASSES] for s in scores], "float32")}


def _affine(path, inputs):
    with np.load(path) as found:
        return {"y": inputs["x"] @ found["weights"] + found["bias"]}


def _texts(rng, count):
    lengths = rng.integers(0, 16, count)  # the longest are cut off
    return np.array([" ".join(rng.choice(models.WORDS[5:9], n)) for n in lengths], dtype=object)


def _images(rng, count):
    return rng.integers(0, 256, (count, 10, 12, 3), dtype="uint8")


_SKLEARN = {
    "framework": "sklearn",
    "inputs": {"X": "pixels"},
    "outputs": ("predict",),
    "row_shapes": {"X": (4,)},
}
_TRUSTED = {**_SKLEARN, "extra": {"trusted": True}}
_ONNX = {"framework": "onnx", "dtypes": AFFINE_DTYPES, "row_shapes": {"x": (4,), "y": (3,)}}
_TORCH = {
    "framework": "torch",
    "inputs": {"input": "pixels"},
    "outputs": ("output_0",),
}
_TENSORFLOW = {**_ONNX, "framework": "tensorflow"}
_MATRIX = {
    "inputs": {"X": "pixels"},
    "outputs": ("predict",),
    "row_shapes": {"X": (4,), "predict": ()},
}
_XGBOOST = {
    **_MATRIX,
    "framework": "xgboost",
    "dtypes": {"X": "float32", "predict": "float32"},
}
_TRANSFORMERS = {"framework": "transformers", "file": "model.safetensors"}
_PAIR = {"inputs": {"a": "left", "b": "right", "gain": GAIN}, "outputs": ("total", "gap")}
_PAIR_TYPED = {**_PAIR, "dtypes": dict.fromkeys(PAIR_SHAPES, "float32"), "row_shapes": PAIR_SHAPES}
_TORCH_PAIR = {**_PAIR, "outputs": ("output_0", "output_1")}
_EXPORTED_SHAPES = {"a": (4,), "b": (4,), "gain": (), "output_0": (4,), "output_1": ()}
_LINEAR = {"module": "torch.nn.Linear", "module_args": {"in_features": 4, "out_features": 3}}
_KERAS_SHAPES = {"a": (4,), "b": (4,), "total": (4,), "gap": ()}

AFFINE = (
    Case("sklearn-skops", build=models.sklearn_skops, reference=_skops, file="", **_SKLEARN),
    Case("sklearn-joblib", build=models.sklearn_joblib, reference=_joblib, file="", **_TRUSTED),
    Case("sklearn-pickle", build=models.sklearn_pickle, reference=_joblib, file="", **_TRUSTED),
    Case("onnx-file", build=models.onnx_file, reference=_onnx, file="", **_ONNX),
    Case("onnx-folder", build=models.onnx_folder, reference=_onnx, file="model.onnx", **_ONNX),
    Case(
        "onnx-external-data",
        build=models.onnx_external_data,
        reference=_onnx,
        file="model.onnx",
        **_ONNX,
    ),
    Case("torchscript", build=models.torchscript, reference=_torchscript, file="", **_TORCH),
    Case(
        "torch-export",
        build=models.torch_export,
        reference=_torch_export,
        file="",
        dtypes={"input": "float32", "output_0": "float32"},
        row_shapes={"input": (4,), "output_0": (3,)},
        **_TORCH,
    ),
    Case(
        "torch-state-dict",
        build=models.torch_state_dict,
        reference=_state_dict(_linear),
        file="",
        listed=("inputs",),
        extra=_LINEAR,
        **_TORCH,
    ),
    Case(
        "savedmodel",
        build=models.saved_model,
        reference=_saved_model,
        file="saved_model.pb",
        **_TENSORFLOW,
    ),
    Case("keras", build=models.keras_file, reference=_keras, file="", **_TENSORFLOW),
    Case("xgboost-json", build=models.xgboost_json, reference=_xgboost, file="", **_XGBOOST),
    Case("xgboost-ubj", build=models.xgboost_ubj, reference=_xgboost, file="", **_XGBOOST),
    Case(
        "lightgbm",
        build=models.lightgbm_text,
        reference=_lightgbm,
        file="",
        **{**_MATRIX, "dtypes": {"X": "float64", "predict": "float64"}},
        framework="lightgbm",
    ),
    Case(
        "catboost",
        build=models.catboost_cbm,
        reference=_catboost,
        file="",
        **{**_MATRIX, "dtypes": {"X": "float32", "predict": "float64"}},
        framework="catboost",
    ),
    Case(
        "transformers-embedding",
        build=models.bert_embedder,
        reference=_bert_embedding,
        inputs={"text": "review"},
        outputs=("embedding",),
        dtypes={"text": "string", "embedding": "float32"},
        row_shapes={"text": (), "embedding": (16,)},
        extra={"task": "feature-extraction"},
        column=_texts,
        **_TRANSFORMERS,
    ),
    Case(
        "transformers-text",
        build=models.bert_classifier,
        reference=_bert_logits,
        inputs={"text": "review"},
        outputs=("logits",),
        dtypes={"text": "string", "logits": "float32"},
        row_shapes={"text": (), "logits": (3,)},
        extra={"task": "text-classification"},
        column=_texts,
        **_TRANSFORMERS,
    ),
    Case(
        "transformers-image",
        build=models.vit_classifier,
        reference=_vit_logits,
        inputs={"image": "photo"},
        outputs=("logits",),
        dtypes={"image": "uint8", "logits": "float32"},
        row_shapes={"image": (None, None, 3), "logits": (3,)},
        extra={"task": "image-classification"},
        column=_images,
        **_TRANSFORMERS,
    ),
    Case(
        "python",
        "python",
        build=models.numpy_weights,
        reference=_affine,
        file="",
        listed=(),
        extra={"uri": "tests.support.steps:Affine", "path": "weights.npz"},
    ),
)
PAIRS = (
    Case(
        "onnx-pair",
        "onnx",
        build=models.onnx_pair,
        reference=_onnx,
        file="",
        **_PAIR_TYPED,
    ),
    Case(
        "torchscript-pair",
        "torch",
        build=models.torchscript_pair,
        reference=_torchscript,
        file="",
        **_TORCH_PAIR,
    ),
    Case(
        "torch-export-pair",
        "torch",
        build=models.torch_export_pair,
        reference=_torch_export,
        file="",
        dtypes=dict.fromkeys(_EXPORTED_SHAPES, "float32"),
        row_shapes=_EXPORTED_SHAPES,
        **_TORCH_PAIR,
    ),
    Case(
        "torch-state-dict-pair",
        "torch",
        build=models.torch_state_dict_pair,
        reference=_state_dict(_pair),
        file="",
        listed=("inputs",),
        extra={"module": "tests.support.networks.PairNetwork"},
        **_TORCH_PAIR,
    ),
    Case(
        "savedmodel-pair",
        "tensorflow",
        build=models.saved_model_pair,
        reference=_saved_model,
        file="saved_model.pb",
        **_PAIR_TYPED,
    ),
    Case(
        "keras-pair",
        "tensorflow",
        build=models.keras_pair,
        reference=_keras,
        file="",
        inputs={"a": "left", "b": "right"},
        outputs=("total", "gap"),
        dtypes=dict.fromkeys(_KERAS_SHAPES, "float32"),
        row_shapes=_KERAS_SHAPES,
    ),
)
CASES = AFFINE + PAIRS
