"""Each framework really runs out of memory here: it is asked for a petabyte."""

import numpy as np
import pytest

from pipeline.backends.failures import is_out_of_memory
from pipeline.errors import OutOfMemoryError
from tests.support import models
from tests.support.specs import load, model_spec

COLUMNS = 2**38  # of float32, times 1,024 rows


def sklearn_model(folder):
    from sklearn.preprocessing import StandardScaler

    path = models.save_estimator(StandardScaler().fit(np.eye(4)), folder / "model.skops")
    return path, model_spec(framework="sklearn", inputs={"X": "c"}, outputs={"transform": "d"})


def onnx_model(folder):
    path = models.save_onnx(
        folder / "model.onnx",
        [("Expand", ["x", "shape"], ["y"], {})],
        {"x": ("float32", ["rows", 1])},
        {"y": ("float32", ["rows", COLUMNS])},
        {"shape": np.array([1, COLUMNS])},
    )
    return path, model_spec(framework="onnx", inputs={"x": "c"}, outputs={"y": "d"})


def torch_model(folder):
    spec = model_spec(framework="torch", inputs={"x": "c"}, outputs={"output_0": "d"})
    return models.save_torchscript(_repeating_script(), folder / "model.pt"), spec


def _repeating_script():
    import torch

    from tests.support.networks import Repeat

    return torch.jit.script(Repeat(COLUMNS))


def tensorflow_model(folder):
    import tensorflow as tf

    path = models.save_function(
        folder,
        lambda x: {"y": tf.tile(x, tf.constant([1, COLUMNS], tf.int64))},
        {"x": ("float32", [None, 1])},
    )
    return path, model_spec(framework="tensorflow", inputs={"x": "c"}, outputs={"y": "d"})


def xgboost_model(folder):
    spec = model_spec(framework="xgboost", inputs={"X": "c"}, outputs={"predict": "d"})
    return models.xgboost_ubj(folder), spec


def lightgbm_model(folder):
    spec = model_spec(framework="lightgbm", inputs={"X": "c"}, outputs={"predict": "d"})
    return models.lightgbm_text(folder), spec


def catboost_model(folder):
    spec = model_spec(framework="catboost", inputs={"X": "c"}, outputs={"predict": "d"})
    return models.catboost_cbm(folder), spec


def transformers_model(folder):
    entry = {"inputs": {"image": "c"}, "outputs": {"logits": "d"}, "task": "image-classification"}
    return models.vit_classifier(folder), model_spec(framework="transformers", **entry)


def python_model(folder):
    uri = "tests.support.steps:Hungry"
    return folder, model_spec(framework="python", uri=uri, inputs={"x": "c"}, outputs={"y": "d"})


def rows_for(framework):
    """Rows that need a petabyte, where the model itself does not ask for it."""
    if framework == "sklearn":
        return np.broadcast_to(np.int32(1), (2**46, 4))  # becomes float64 before it is looked at
    if framework in ("xgboost", "lightgbm", "catboost"):
        return np.broadcast_to(np.float32(1), (2**46, 4))
    if framework == "transformers":
        return np.broadcast_to(np.uint8(1), (1, 2**24, 2**24, 3))
    return np.ones((1024, 1), "float32")


@pytest.mark.parametrize(
    "build",
    [
        *(sklearn_model, onnx_model, torch_model, tensorflow_model),
        *(xgboost_model, lightgbm_model, catboost_model, transformers_model, python_model),
    ],
)
def test_running_out_of_memory_is_told_from_other_failures(build, tmp_path):
    path, spec = build(tmp_path)
    servable = load(path, spec)
    rows = rows_for(spec.framework)
    with pytest.raises(OutOfMemoryError) as failure:
        servable.predict(dict.fromkeys(spec.inputs, rows))
    assert failure.value.__cause__ is None  # nothing holds the tensors that did not fit
    assert failure.value.__context__ is None


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 20.00 MiB",
        "Non-zero status code: BFCArena::AllocateRawInternal Failed to allocate memory for "
        "requested buffer of size 4096",
        "CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
        "bad allocation",
        "std::bad_alloc",
    ],
)
def test_messages_of_gpu_libraries_count_as_out_of_memory(message):
    assert is_out_of_memory(RuntimeError(message))


def test_memory_errors_of_the_frameworks_count_whatever_they_say():
    import tensorflow as tf
    import torch

    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("of the device"))
    assert is_out_of_memory(tf.errors.ResourceExhaustedError(None, None, "of the device"))


def test_other_messages_do_not_count_as_out_of_memory():
    assert not is_out_of_memory(ValueError("X has 5 features, but 4 are expected"))
