"""Files of models that no framework here reads as they are: what to do with each kind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from pipeline.backends.mlflow.folder import READABLE
from pipeline.backends.mlflow.mlmodel import NAME

_KERAS = (
    "a Keras model in the old HDF5 format: load it where it was made, with "
    "keras.saving.load_model, and save it as .keras, or as a SavedModel with model.export(FOLDER)"
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
_TO_ONNX = "of a kind that no framework here reads: export the model as ONNX"

_WAYS_OUT = {
    **dict.fromkeys((".h5", ".hdf5"), _KERAS),
    **dict.fromkeys((".safetensors", ".bin", ".ckpt"), _WEIGHTS),
    **dict.fromkeys((".pb", ".index", ".data-00000-of-00001"), _CHECKPOINT),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), _PICKLE),
    **dict.fromkeys((".engine", ".plan"), _ENGINE),
    **dict.fromkeys((".tar", ".bz2", ".xz", ".zst", ".tbz2", ".txz", ".7z", ".rar"), _ARCHIVE),
    **dict.fromkeys((".gz", ".tgz", ".zip"), _INNER_ARCHIVE),
    ".tflite": "made for TensorFlow Lite: give the SavedModel or .keras file that it was made from",
    ".gguf": "made for llama.cpp: give the transformers folder that it was made from",
    ".mar": "an archive of TorchServe: give the TorchScript file in it",
    **dict.fromkeys(
        (".mlmodel", ".mlpackage", ".params", ".pdmodel", ".pdiparams", ".caffemodel", ".pmml"),
        _TO_ONNX,
    ),
}

_NOT_OF_MODELS_ALONE = (_PICKLE, _ARCHIVE, _INNER_ARCHIVE)
UNREADABLE = tuple(end for end, way in _WAYS_OUT.items() if way not in _NOT_OF_MODELS_ALONE)
"""Endings of files that hold models, or parts of them, which by themselves no framework reads."""


def way_out(name: str) -> str | None:
    """What a file is, by its name, and what to give instead; None where that is not known."""
    return _MLFLOW if PurePath(name).name == NAME else _WAYS_OUT.get(PurePath(name).suffix.lower())


def advice(names: Iterable[str]) -> str:
    """The end of a message: what the files are and what to give instead, each kind once."""
    known: dict[str, str] = {}
    for name in names:
        if way := way_out(name):
            known.setdefault(way, name)
    return "".join(f"; {name} is {way}" for way, name in known.items())
