"""The two ways to store a TensorFlow model, each opened as a :class:`Program`."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends.failures import loading, needs_package
from pipeline.core.tensors import DTYPES, TensorSpec
from pipeline.errors import LoadError, UntrustedArtifactError


@dataclass(frozen=True)
class Program:
    """A model as a concrete function of named tensors: no number of rows makes it trace again.

    Attributes:
      call: tensors by input name -> tensors by output name.
      inputs: its inputs.
      outputs: its outputs.
      dtypes: TensorFlow's own dtypes of the inputs.
      size_bytes: bytes of its variables.
      owner: the loaded object, which signatures refer to only weakly.
    """

    call: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    dtypes: Mapping[str, Any]
    size_bytes: int
    owner: Any


def open_saved_model(path: Path, signature: str) -> Program:
    """Opens a SavedModel folder by one of its signatures.

    Raises:
      LoadError: it is broken, or has no such signature.
    """
    import tensorflow as tf

    with loading(path, "a SavedModel"):
        loaded = tf.saved_model.load(str(path))
    if signature not in loaded.signatures:
        raise LoadError(
            f"{path} has no signature '{signature}'; its signatures are "
            f"{', '.join(loaded.signatures) or 'none'}"
        )
    function = loaded.signatures[signature]
    inputs = dict(sorted(function.structured_input_signature[1].items()))
    outputs = dict(sorted(function.structured_outputs.items()))
    return Program(
        call=lambda tensors: function(**tensors),
        inputs=tuple(_tensor_spec(name, spec) for name, spec in inputs.items()),
        outputs=tuple(_tensor_spec(name, spec) for name, spec in outputs.items()),
        dtypes={name: spec.dtype for name, spec in inputs.items()},
        size_bytes=_variable_bytes(function.variables),
        owner=loaded,
    )


def open_keras(path: Path) -> Program:
    """Opens a `.keras` file: a functional or sequential model, without its training state.

    An output is called by its key, where the model returns a dict, else by the name of the layer
    that makes it, or by its position: ``output_0``, ``output_1``...

    Raises:
      UntrustedArtifactError: it carries Python code (a Lambda layer).
      LoadError: it is broken, needs classes that are not there, or has no declared inputs.
    """
    import tensorflow as tf

    model = _load_keras(path)
    with loading(path, "a functional or sequential Keras model"):
        structure, names = _keras_inputs(model)
        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]
        function = tf.function(
            lambda *tensors: _call_keras(model, structure, tensors), input_signature=specs
        ).get_concrete_function()
    outputs = _keras_outputs(model, function.structured_outputs)

    def call(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        results = tf.nest.flatten(function(*(tensors[name] for name in names)))
        return {name: results[position] for name, (position, _) in outputs.items()}

    return Program(
        call=call,
        inputs=tuple(_tensor_spec(name, spec) for name, spec in zip(names, specs, strict=True)),
        outputs=tuple(_tensor_spec(name, spec) for name, (_, spec) in outputs.items()),
        dtypes={name: spec.dtype for name, spec in zip(names, specs, strict=True)},
        size_bytes=_variable_bytes(function.variables),
        owner=model,
    )


def _load_keras(path: Path) -> Any:
    with needs_package("keras"):
        import keras
    if keras.backend.backend() != "tensorflow":
        raise LoadError(
            f"Keras is set to compute with {keras.backend.backend()}; {path} is loaded through "
            "TensorFlow: set the environment variable KERAS_BACKEND=tensorflow"
        )
    if not zipfile.is_zipfile(path):
        raise LoadError(f"{path} is not the zip archive that a .keras file is; it may be cut off")
    with loading(path, "a Keras model"):
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except ValueError as error:
            if "safe_mode" not in str(error):
                raise
            raise UntrustedArtifactError(
                f"{path} carries Python code in a Lambda layer, and loading it would run it; "
                "replace the layer, or save the model with model.export() as a SavedModel"
            ) from error


def _keras_inputs(model: Any) -> tuple[Any, list[str]]:
    """The structure in which the model takes its inputs, and their names in flat order."""
    import keras

    names = [tensor.name for tensor in model.inputs]
    if isinstance(model, keras.Sequential):
        return model.inputs[0], names
    structure = model.input
    if isinstance(structure, dict) and len(structure) == len(names):
        names = sorted(structure)  # the order in which Keras and TensorFlow flatten a dict
    return structure, names


def _call_keras(model: Any, structure: Any, tensors: Sequence[Any]) -> Any:
    import keras

    return model(keras.tree.pack_sequence_as(structure, list(tensors)), training=False)


def _keras_outputs(model: Any, structured: Any) -> dict[str, tuple[int, Any]]:
    """Output name -> its position and TensorFlow spec; every output by both of its names."""
    import tensorflow as tf

    flat = tf.nest.flatten(structured)
    if isinstance(structured, dict):
        names: list[str] = sorted(structured)
    else:
        names = getattr(model, "output_names", None) or [model.layers[-1].name]
    outputs = {f"output_{position}": (position, spec) for position, spec in enumerate(flat)}
    if len(names) == len(flat):  # else nested: only positions are unambiguous
        outputs = {n: (i, flat[i]) for i, n in enumerate(names)} | outputs
    return outputs


def _tensor_spec(name: str, spec: Any) -> TensorSpec:
    """bfloat16, which numpy has not, is handed over and back as float32."""
    dtype = "float32" if spec.dtype.name == "bfloat16" else spec.dtype.name
    return TensorSpec(
        name,
        dtype if dtype in DTYPES else None,
        None if spec.shape.rank is None else tuple(spec.shape.as_list()),
    )


def _variable_bytes(variables: Iterable[Any]) -> int:
    return sum(v.dtype.size * (v.shape.num_elements() or 0) for v in variables)
