"""The two ways to store a TensorFlow model, each opened as a :class:`Program`."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.backends.failures import loading, needs_package
from pipeline.backends.foreign_files import advice
from pipeline.backends.model_files import head_in
from pipeline.backends.tensorflow.callable import open_callable
from pipeline.backends.tensorflow.composites import refuse_parts
from pipeline.backends.tensorflow.program import (
    Program,
    is_compiled,
    sort_outputs,
    takes_examples,
    tensor_spec,
    variable_bytes,
)
from pipeline.backends.tensorflow.saved_graph import check_graph
from pipeline.errors import LoadError, UntrustedArtifactError

_DEFAULT, _CALL = "serving_default", "__call__"
_OLD_FORMAT = "tfhub_module.pb"
_NOT_LOCATED = re.compile(r"Could not locate (class|function) '([^']+)'")


def refuse_old_format(where: str, names: Collection[str]) -> None:
    """Refuses modules of the TF1 Hub format.

    Args:
      where: file or URL, for the message.
      names: of the files in the module's folder.

    Raises:
      LoadError: it is one.
    """
    if _OLD_FORMAT in names:
        raise LoadError(
            f"{where} is a module of the old TF1 Hub format (it holds {_OLD_FORMAT}), expected a "
            "TensorFlow 2 SavedModel; take the TF2 variant of the module (on Kaggle one under "
            "'tensorFlow2', on tfhub.dev mostly a higher version), or convert it to a SavedModel"
        )


def open_saved_model(
    path: Path, signature: str, inputs: Collection[str], trusted: bool = False
) -> Program:
    """Opens a SavedModel folder by one of its signatures, or as the callable object that it is.

    The signature ``__call__`` is the object itself. It also replaces a missing ``serving_default``;
    if it is not callable either, the signature ``default`` does, which converted modules of TF1
    have.

    Args:
      path: the folder.
      signature: which one.
      inputs: names of the inputs that are bound; they choose among the ways to call an object.
      trusted: it may read and write files of this machine.

    Raises:
      UntrustedArtifactError: it may, and is not trusted.
      LoadError: it is broken, of the TF1 Hub format, or has no such signature.
    """
    import tensorflow as tf

    refuse_old_format(str(path), [file.name for file in path.iterdir()])
    with loading(path, "a SavedModel"):
        if not trusted:
            check_graph(path, signature)
        loaded = tf.saved_model.load(str(path))
    if signature in loaded.signatures:
        return _by_signature(path, loaded, signature)
    if callable(loaded) and signature in (_DEFAULT, _CALL):
        return open_callable(path, loaded, inputs)
    if signature == _DEFAULT and "default" in loaded.signatures:
        return _by_signature(path, loaded, "default")
    known = [*loaded.signatures, *([_CALL] if callable(loaded) else [])]
    raise LoadError(
        f"{path} has no signature '{signature}'; its signatures are {', '.join(known) or 'none'}"
        + (
            "; choose one with `signature`"
            if known
            else "; save it with one: tf.saved_model.save(..., signatures=FUNCTION)"
        )
    )


def _by_signature(path: Path, loaded: Any, signature: str) -> Program:
    refuse_parts(path, loaded, signature)
    function = loaded.signatures[signature]
    inputs = dict(sorted(function.structured_input_signature[1].items()))
    outputs, no_columns = sort_outputs(dict(sorted(function.structured_outputs.items())))
    return Program(
        call=lambda tensors: function(**tensors),
        inputs=tuple(tensor_spec(name, spec) for name, spec in inputs.items()),
        outputs=outputs,
        dtypes={name: spec.dtype for name, spec in inputs.items()},
        size_bytes=variable_bytes(function.variables),
        owner=loaded,
        compiled=is_compiled(function),
        no_columns=no_columns,
        takes_examples=takes_examples(function),
    )


def open_keras(path: Path) -> Program:
    """Opens a `.keras` file: a functional or sequential model, without its training state.

    An output is called by its key, where the model returns a dict, else by the name of the layer
    that makes it, or by its position: ``output_0``, ``output_1``...

    Raises:
      UntrustedArtifactError: Keras' safe mode refuses it: a Lambda layer, a file elsewhere.
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
    columns, no_columns = sort_outputs({name: spec for name, (_, spec) in outputs.items()})

    def call(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        results = tf.nest.flatten(function(*(tensors[name] for name in names)))
        return {name: results[position] for name, (position, _) in outputs.items()}

    return Program(
        call=call,
        inputs=tuple(tensor_spec(name, spec) for name, spec in zip(names, specs, strict=True)),
        outputs=columns,
        dtypes={name: spec.dtype for name, spec in zip(names, specs, strict=True)},
        size_bytes=variable_bytes(function.variables),
        owner=model,
        compiled=is_compiled(function),
        no_columns=no_columns,
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
        raise LoadError(
            f"{path} is not the zip archive that a .keras file is"
            + (advice([path.name], head_in(path.parent)) or "; it may be cut off")
        )
    with loading(path, "a Keras model"):
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except (TypeError, ValueError) as error:
            if lacking := _NOT_LOCATED.search(str(error)):
                raise LoadError(
                    f"{path} needs the {lacking[1]} '{lacking[2]}', which is not in the file and "
                    "not in Keras; save the model with model.export(FOLDER) as a SavedModel, which "
                    "contains what its own layers compute"
                ) from error
            if "safe_mode" not in str(error):
                raise
            what = (
                "carries Python code in a Lambda layer, and loading it would run it"
                if "lambda" in str(error).lower()
                else "has a layer that could run code or read files when it is loaded, such as a "
                "vocabulary outside the archive"
            )
            raise UntrustedArtifactError(
                f"{path} {what}; replace the layer, or save the model with model.export() as a "
                "SavedModel"
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
