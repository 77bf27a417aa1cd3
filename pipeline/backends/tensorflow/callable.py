"""SavedModels without a signature, called as an object, as modules of a hub often are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.backends.failures import loading
from pipeline.backends.tensorflow.program import (
    Program,
    is_compiled,
    sort_outputs,
    tensor_spec,
    variable_bytes,
)
from pipeline.errors import LoadError


def open_callable(path: Path, loaded: Any, wanted: Collection[str]) -> Program:
    """Opens what ``loaded(...)`` computes.

    An input is called as TensorFlow calls it: by its argument, followed by the key or the position
    where the argument is a dict or a list (``inputs``, ``inputs_mask``). An output is called by
    its key, where the object returns a dict of tensors, else ``output_0``, ``output_1``...

    Args:
      path: the model's files, for the message.
      loaded: what ``tf.saved_model.load`` returned.
      wanted: names of the inputs that the spec binds.

    Raises:
      LoadError: no variant takes and returns plain tensors.
    """
    import tensorflow as tf

    variant = _variant(path, loaded, wanted)
    structure = variant.structured_input_signature
    leaves = tf.nest.flatten(structure)
    specs = {leaf.name: leaf for leaf in leaves if isinstance(leaf, tf.TensorSpec)}

    def run(*tensors: Any) -> Any:
        rest = iter(tensors)
        arguments = [next(rest) if isinstance(leaf, tf.TensorSpec) else leaf for leaf in leaves]
        args, kwargs = tf.nest.pack_sequence_as(structure, arguments)
        return loaded(*args, **kwargs)

    with loading(path, "a SavedModel that is called"):
        function = tf.function(
            run, input_signature=list(specs.values()), autograph=False
        ).get_concrete_function()
    named = _outputs(function.structured_outputs)
    outputs, no_columns = sort_outputs(named)

    def call(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        results = tf.nest.flatten(function(*(tensors[name] for name in specs)))
        return dict(zip(named, results, strict=True))

    return Program(
        call=call,
        inputs=tuple(tensor_spec(name, spec) for name, spec in specs.items()),
        outputs=outputs,
        dtypes={name: spec.dtype for name, spec in specs.items()},
        size_bytes=variable_bytes(variant.variables),
        owner=loaded,
        compiled=is_compiled(function),
        no_columns=no_columns,
    )


def _variant(path: Path, loaded: Any, wanted: Collection[str]) -> Any:
    """The variant of ``__call__`` to take.

    A saved object keeps one for each combination of arguments that it was traced with. Its tensors
    should have the wanted names; among several, the one that is not for training is taken, then the
    one for any number of rows.

    Raises:
      LoadError: no variant takes plain tensors.
    """
    kept = getattr(getattr(loaded, "__call__", None), "concrete_functions", ())  # noqa: B004
    variants = [variant for variant in kept if _takes_tensors(variant)]
    if not variants:
        raise LoadError(
            f"{path} has no signature, and no `__call__` that was saved for plain tensors; save it "
            "with a signature: model.export(FOLDER) of Keras does, or "
            "tf.saved_model.save(model, FOLDER, signatures=FUNCTION)"
        )
    return min(variants, key=lambda variant: _misfit(variant, wanted))


def _takes_tensors(variant: Any) -> bool:
    """Whether it takes only dense tensors and constants, and at least one tensor."""
    import tensorflow as tf

    leaves = tf.nest.flatten(variant.structured_input_signature)
    types = [leaf for leaf in leaves if isinstance(leaf, tf.TypeSpec)]
    return bool(types) and all(isinstance(leaf, tf.TensorSpec) for leaf in types)


def _misfit(variant: Any, wanted: Collection[str]) -> tuple[bool, int, int]:
    """How badly a variant fits; the least is the best."""
    import tensorflow as tf

    leaves = tf.nest.flatten(variant.structured_input_signature)
    specs = [leaf for leaf in leaves if isinstance(leaf, tf.TensorSpec)]
    return (
        {spec.name for spec in specs} != set(wanted),
        sum(leaf is True for leaf in leaves),  # training=True
        sum(bool(spec.shape.rank) and spec.shape[0] is not None for spec in specs),
    )


def _outputs(structured: Any) -> dict[str, Any]:
    """Output name -> what describes it, in the order in which TensorFlow flattens a structure."""
    import tensorflow as tf

    flat: Sequence[Any] = tf.nest.flatten(structured)
    if isinstance(structured, dict) and len(structured) == len(flat):
        return dict(zip(sorted(structured), flat, strict=True))
    return {f"output_{position}": spec for position, spec in enumerate(flat)}
