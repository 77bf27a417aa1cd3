"""Signatures that take ragged or sparse tensors, in parts that have no rows any more.

TensorFlow hands such a tensor to a signature in parts (``x`` values, ``x_1`` row splits). The first
axis of a part is not the row, so columns cannot feed it. The signature does not say which parts
belong together; the function that it was made from does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import LoadError

_PARTS = {
    "RaggedTensorSpec": (
        "ragged tensor (its values and row splits)",
        "tf.RaggedTensor.from_tensor(x, padding=...)",
    ),
    "SparseTensorSpec": (
        "sparse tensor (its indices, values and shape)",
        "tf.sparse.from_dense(x)",
    ),
}
"""Type of a tensor -> what it is called, and how to make one from a dense tensor."""


def refuse_parts(path: Path, loaded: Any, signature: str) -> None:
    """Refuses a signature whose inputs are parts of tensors.

    Args:
      path: the model's files, for the message.
      loaded: what ``tf.saved_model.load`` returned.
      signature: one that it has.

    Raises:
      LoadError: names the parts of each, and what to export instead.
    """
    groups = list(_groups(loaded, loaded.signatures[signature]))
    if not groups:
        return
    told = "; ".join(
        f"{', '.join(names)} {'are' if len(names) > 1 else 'is'} one {_PARTS[kind][0]}"
        for kind, names in groups
    )
    making = " or ".join(dict.fromkeys(_PARTS[kind][1] for kind, _ in groups))
    raise LoadError(
        f"{path}: inputs of the signature '{signature}' are parts of tensors, which have no rows: "
        f"{told}; export a signature that takes dense tensors, whose first axis is the row, padded "
        f"to one length, and makes the others of them: {making}"
    )


def _groups(loaded: Any, function: Any) -> Iterator[tuple[str, list[str]]]:
    """Type and input names of each tensor that a signature takes in parts."""
    import tensorflow as tf

    specs = function.structured_input_signature[1]
    names = [tensor.name.partition(":")[0] for tensor in function.inputs]
    names = [name for name in names if name in specs]
    for leaves in _arguments(loaded):
        parts = [tf.nest.flatten(leaf, expand_composites=True) for leaf in leaves]
        flat = [spec for some in parts for spec in some]
        if len(flat) != len(names) or not all(
            isinstance(part, tf.TensorSpec) and part.is_compatible_with(specs[name])
            for name, part in zip(names, flat, strict=True)
        ):
            continue
        if all(isinstance(leaf, tf.TensorSpec) for leaf in leaves):
            return  # the signature may as well be made from this function
        rest = iter(names)
        for leaf, some in zip(leaves, parts, strict=True):
            taken = [next(rest) for _ in some]
            if type(leaf).__name__ in _PARTS:
                yield type(leaf).__name__, taken
        return


def _arguments(loaded: Any) -> Iterator[list[Any]]:
    """What each function of a loaded object takes; those of plain tensors first."""
    import tensorflow as tf

    variants = [
        tf.nest.flatten(variant.structured_input_signature)
        for value in vars(loaded).values()
        for variant in getattr(value, "concrete_functions", None) or ()
    ]
    yield from sorted(variants, key=lambda v: not all(isinstance(one, tf.TensorSpec) for one in v))
