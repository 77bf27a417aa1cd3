"""Files of models that no framework here reads as they are: what to do with each kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import PurePath

from pipeline.backends.mlflow.folder import READABLE
from pipeline.backends.mlflow.mlmodel import NAME

_KERAS = (
    "a Keras model in the old HDF5 format: load it where it was made, with "
    "keras.saving.load_model, and save it as .keras, or as a SavedModel with model.export(FOLDER)"
)
_KERAS_WEIGHTS = (
    "a file of the weights of a Keras model, without its layers: make the model where it was "
    "trained, give it these with model.load_weights, and save it as .keras"
)
_WEIGHTS = (
    "most likely weights without a network: give `framework: torch` and its class as "
    "`module: package.Class`, or the whole folder that save_pretrained wrote for "
    "`framework: transformers`"
)
_CHECKPOINT = (
    "a part of a checkpoint or SavedModel: give the folder with saved_model.pb, as "
    "tf.saved_model.save or model.export writes it"
)
_GRAPH = (
    "a part of a SavedModel, of which give the folder, or a frozen graph of TensorFlow 1: make a "
    "SavedModel of that, or an ONNX file with tf2onnx"
)
_PICKLE = (
    "a pickle, which `framework: sklearn` reads if it holds an estimator; save a Booster with "
    "booster.save_model('model.ubj') for XGBoost, ('model.txt') for LightGBM"
)
_ENGINE = "built by TensorRT for one kind of GPU: give the ONNX file that it was built from"
_MLFLOW = (
    f"of an MLflow model without a flavour that is read here, expected one of {', '.join(READABLE)}"
)
_ARCHIVE = (
    "an archive of a kind that is not unpacked here: pack the model as .tar.gz or .zip, or give "
    "the folder that it unpacks to"
)
_INNER_ARCHIVE = "an archive by itself: give it as the `uri`, or the folder that it unpacks to"
_LITE = "made for TensorFlow Lite: give the SavedModel or .keras file that it was made from"
_LLAMA = "made for llama.cpp: give the transformers folder that it was made from"
_BROWSER = "made for TensorFlow.js: give the SavedModel or .keras file that it was made from"
_ORT = "made for ONNX Runtime alone: give the .onnx file that it was made from"
_TO_ONNX = "of a kind that no framework here reads: export the model as ONNX"

_WAYS_OUT = {
    **dict.fromkeys((".h5", ".hdf5"), _KERAS),
    **dict.fromkeys((".safetensors", ".bin", ".ckpt"), _WEIGHTS),
    **dict.fromkeys((".index", ".meta", ".data-00000-of-00001"), _CHECKPOINT),
    ".pb": _GRAPH,
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), _PICKLE),
    **dict.fromkeys((".engine", ".plan"), _ENGINE),
    **dict.fromkeys((".tar", ".bz2", ".xz", ".zst", ".tbz2", ".txz", ".7z", ".rar"), _ARCHIVE),
    **dict.fromkeys((".gz", ".tgz", ".zip"), _INNER_ARCHIVE),
    ".tflite": _LITE,
    ".gguf": _LLAMA,
    ".ort": _ORT,
    ".mar": "an archive of TorchServe: give the TorchScript file in it",
    **dict.fromkeys(
        (".mlmodel", ".mlpackage", ".params", ".pdmodel", ".pdiparams", ".caffemodel", ".pmml"),
        _TO_ONNX,
    ),
}

_NOT_OF_MODELS_ALONE = (_PICKLE, _ARCHIVE, _INNER_ARCHIVE)
HEAD_BYTES = 4096
"""The number of first bytes of a file that are enough to recognise it."""

_LOOKED_INTO = 20
"""Most files that are opened for a message: in a bucket, each takes a request."""

UNREADABLE = tuple(end for end, way in _WAYS_OUT.items() if way not in _NOT_OF_MODELS_ALONE)
"""Endings of files that hold models, or parts of them, which by themselves no framework reads."""


_BY_CONTENT = tuple(
    (re.compile(begin, re.DOTALL), way)
    for begin, way in (
        (rb"\x89HDF\r\n", _KERAS),
        (rb".{4}TFL3", _LITE),
        (rb".{4}ORTM", _ORT),
        (rb"GGUF", _LLAMA),
        (rb'\{\s*"(format": ?"(layers|graph)-model|modelTopology)"', _BROWSER),
        (
            rb"(binf)?.{136}[\1-@]\0{7}[a-z]+:[a-z]|bs64\t",
            "of XGBoost's old binary format: save it again as .ubj, with a version that reads it",
        ),
        (
            rb'\{\s*"name": ?"tree"',
            "what LightGBM's dump_model gives: save the model with booster.save_model('model.txt')",
        ),
        (
            rb'\{\s*"(features_info|ctr_data)"',
            "a CatBoost model as JSON: save it with model.save_model('model.cbm')",
        ),
        (
            rb"\xba\x16\x4f\x2f",
            "a fastText model: write a class around it for `framework: python`",
        ),
        (rb"tree\n", "a LightGBM model, which `framework: lightgbm` reads from a .txt file"),
        (rb"CBM1", "a CatBoost model, which `framework: catboost` reads from a .cbm file"),
    )
)
"""What the first bytes of a file may be -> what it is."""
_BROWSER_WEIGHTS = re.compile(r"group\d+-shard\d+of\d+(\.bin)?")


def way_out(name: str, begin: bytes = b"") -> str | None:
    """What a file is, and what to give instead; None where that is not known.

    Args:
      name: its name.
      begin: its first bytes, where they are known; they tell more than the name.
    """
    if PurePath(name).name == NAME:
        return _MLFLOW
    if PurePath(name).name.lower().endswith(".weights.h5"):
        return _KERAS_WEIGHTS
    told = next((way for pattern, way in _BY_CONTENT if pattern.match(begin)), None)
    if told is None and _BROWSER_WEIGHTS.fullmatch(PurePath(name).name):
        told = _BROWSER
    by_name = _WAYS_OUT.get(PurePath(name).suffix.lower())
    # Pickles have names of their own, and old weights of PyTorch are some.
    return told or by_name or (_PICKLE if begin.startswith(b"\x80") else None)


def advice(names: Iterable[str], head: Callable[[str], bytes]) -> str:
    """The end of a message: what files are and what to give instead, each kind once.

    Args:
      names: of the files.
      head: reads the first bytes of one; asked for the first _LOOKED_INTO.
    """
    known: dict[str, str] = {}
    for place, name in enumerate(names):
        if way := way_out(name, head(name) if place < _LOOKED_INTO else b""):
            known.setdefault(way, name)
    return "".join(f"; {name} is {way}" for way, name in known.items())
