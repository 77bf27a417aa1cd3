"""TensorFlow: SavedModel folders by a signature or as callables, `.keras` files through Keras 3."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.base import LoadContext, Servable
from pipeline.backends.failures import computing, needs_package
from pipeline.backends.filled import FilledServable
from pipeline.backends.model_files import model_file, size_of, with_content
from pipeline.backends.tensor_names import signature_of
from pipeline.backends.tensorflow.formats import open_keras, open_saved_model
from pipeline.backends.tensorflow.program import Program
from pipeline.backends.text import decoded
from pipeline.batch.columns import Array, Column, Ragged
from pipeline.errors import DeviceError, LoadError
from pipeline.readable import logger
from pipeline.spec.model import ModelSpec, TensorflowModel

SUFFIXES = (".keras",)

_LOGGER = logger(__name__)


class TensorflowServable(Servable):
    """One concrete function, traced once for every number of rows."""

    def __init__(self, program: Program, path: Path, spec: ModelSpec, device: str) -> None:
        for name in spec.outputs:
            if name in program.no_columns:
                raise LoadError(
                    f"{path}: output '{name}' is {program.no_columns[name]}, which cannot be a "
                    "column; expected a dense tensor, or a ragged one whose rows are tensors "
                    "(`to_tensor`, `merge_dims` or `tf.sparse.to_dense` make one)"
                )
        signature = signature_of(path, spec, program.inputs, program.outputs)
        self.signature = replace(signature, takes_examples=program.takes_examples)
        self.device = device
        self.size_bytes = program.size_bytes or size_of(path)
        self._program = program
        self._outputs = list(spec.outputs)

    @computing
    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Column]:
        """Calls the function. bfloat16 outputs become float32, because NumPy has no bfloat16."""
        import tensorflow as tf

        dtypes = self._program.dtypes
        with _placed_on(self.device):
            results = self._program.call(
                {n: tf.convert_to_tensor(array, dtypes[n]) for n, array in inputs.items()}
            )
        return {name: _to_column(results[name]) for name in self._outputs}


class TensorflowBackend:
    """Loads SavedModel folders and `.keras` files."""

    def start(self) -> None:
        """See Backend."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read at import: errors only
        with needs_package("tensorflow"):
            import tensorflow  # noqa: F401

    def load(self, path: Path, spec: ModelSpec, context: LoadContext) -> Servable:
        """Loads a SavedModel folder, a `.keras` file, or a folder with one such file.

        Calls of functions that XLA compiles are padded.

        TensorFlow has two pools of threads for the process, one within operations and one between
        them: the first model loaded sets their size, unless TensorFlow was in use before.
        """
        assert isinstance(spec, TensorflowModel)
        self.start()
        _set_up(context.intra_op_threads)
        device = _choose(context.device)
        graph = path / "saved_model.pb"
        with _placed_on(device):
            if graph.is_file():
                with_content(graph)
                program = open_saved_model(path, spec.signature, spec.inputs, spec.trusted)
            else:
                path = model_file(path, SUFFIXES, otherwise="saved_model.pb")
                program = open_keras(path)
        servable = TensorflowServable(program, path, spec, device)
        if program.compiled and servable.signature.fixed_batch_rows is None:
            return FilledServable(servable, spec.column_inputs, context.call_rows)
        return servable


@cache
def _set_up(threads: int) -> None:
    """Settings that TensorFlow accepts only before its first use; tried once."""
    import tensorflow as tf

    try:
        for gpu in tf.config.list_physical_devices("GPU"):
            # Otherwise TensorFlow takes the whole memory and leaves the other frameworks none.
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        _LOGGER.warning("TensorFlow was in use before its first model was loaded: %s", error)


def _choose(device: str) -> str:
    import tensorflow as tf

    if device != "cpu" and tf.config.list_physical_devices("GPU"):
        return "cuda:0"
    if device == "gpu":
        raise DeviceError(f"TensorFlow {tf.__version__} finds no GPU here")
    return "cpu"


def _to_column(tensor: Any) -> Column:
    import tensorflow as tf

    if isinstance(tensor, tf.RaggedTensor):
        return Ragged(np.split(_to_array(tensor.values), tensor.row_splits.numpy()[1:-1]))
    return _to_array(tensor)


def _to_array(tensor: Any) -> Array:
    import tensorflow as tf

    if tensor.dtype == tf.bfloat16:
        tensor = tf.cast(tensor, tf.float32)
    return decoded(tensor.numpy())


def _placed_on(device: str) -> AbstractContextManager[object]:
    """Keeps operations off a GPU; on one, TensorFlow's own placement is right (text stays off)."""
    import tensorflow as tf

    if device == "cpu" and tf.config.list_physical_devices("GPU"):
        placement: AbstractContextManager[object] = tf.device("/CPU:0")
        return placement
    return nullcontext()
