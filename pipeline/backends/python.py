"""Python: the user's own class as a model.

The class has a constructor without arguments and two methods::

    class Prices:
        def load(self, path: Path | None) -> None:
            self.weights = np.load(path)

        def predict(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"price": columns["area"] * self.weights}

`load` is called once, with the local file or folder of the entry's `path`, or None. `predict` gets
arrays by the names in `inputs`. Their first axis is the row; they are read-only, because other
models read them too. It returns arrays, or what `np.array` turns into one, by the names in
`outputs`, with one row for each row; they are copied. Where rows differ in length, an output is a
list with one array for each row, or `predict` returns a list with one such mapping for each row.
Return an empty row as an array, such as ``np.empty((0, 4), np.float32)``, because an empty list
does not tell its dtype.

It may be called from several threads at once. Its exceptions are treated like those of any model:
rows that fail become dead letters, the others are predicted. A method `close`, if there is one, is
called when the version is no longer needed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.base import LoadContext, Servable
from pipeline.backends.failures import computing, loading
from pipeline.backends.model_files import size_of
from pipeline.backends.native_threads import bound_blas
from pipeline.backends.reasons import own_words
from pipeline.backends.text import decoded
from pipeline.backends.user_class import load_class
from pipeline.batch.columns import Array, Column, from_rows, read_only
from pipeline.batch.joining import common_dtype
from pipeline.batch.tensors import Signature
from pipeline.errors import DeviceError, LoadError, ModelFaultError
from pipeline.spec.model import ModelSpec, PythonModel

_ROUNDED = 2.0**53
"""From here on, float64 does not hold every integer."""


class PythonServable(Servable):
    """An object of the user's class, which chooses its device itself."""

    device = "cpu"
    signature = Signature()

    def __init__(self, step: Any, path: Path, spec: PythonModel) -> None:
        self.size_bytes = size_of(path)
        self._step = step
        self._class = spec.uri
        self._outputs = list(spec.outputs)

    @computing
    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Column]:
        """Calls the step.

        Raises:
          ModelFaultError: it returns neither a mapping nor a list of mappings, or not an output
            that the spec names.
        """
        returned = self._step.predict({name: read_only(array) for name, array in inputs.items()})
        if isinstance(returned, Mapping):
            self._check_names(returned)
            return {name: _column(returned[name]) for name in self._outputs}
        if not isinstance(returned, list | tuple) or not all(
            isinstance(row, Mapping) for row in returned
        ):
            raise ModelFaultError(
                f"{self._class}.predict returned a {type(returned).__name__}, expected a mapping "
                f"with the arrays {', '.join(self._outputs)}, or a list with one for each row"
            )
        for row in returned:
            self._check_names(row)
        return {name: _of_rows([row[name] for row in returned]) for name in self._outputs}

    def _check_names(self, returned: Mapping[str, Any]) -> None:
        for name in self._outputs:
            if name not in returned:
                there = ", ".join(map(str, returned)) or "nothing"
                raise ModelFaultError(
                    f"{self._class}.predict returned no output '{name}'; it returned {there}"
                )

    def close(self) -> None:
        """Calls the step's own `close`, if it has one."""
        close = getattr(self._step, "close", None)
        if callable(close):
            close()


class PythonBackend:
    """Makes objects of classes that the ensemble file names."""

    def start(self) -> None:
        """Nothing: the class is imported when it is loaded."""

    def load(self, path: Path, spec: ModelSpec, context: LoadContext) -> PythonServable:
        """Makes an object and hands it the path.

        Args:
          path: the artifact; without the entry's key `path`, the source file of the class.
          spec: the entry. Its `uri` alone says which class is imported.
          context: bounds the threads of numpy's BLAS library, for the whole process; other
            libraries of the class are not bounded.
        """
        assert isinstance(spec, PythonModel)
        if spec.device == "gpu":  # with --device=gpu, the other models of the ensemble need one
            raise DeviceError(
                "a Python class decides itself whether it uses a GPU: leave out `device: gpu`"
            )
        step = _new_object(spec.uri)
        with loading(path, f"a model of the class {spec.uri}"):
            step.load(path if spec.path else None)
        bound_blas(context.intra_op_threads)
        return PythonServable(step, path, spec)


def _new_object(uri: str) -> Any:
    """A new object of a class, made without arguments.

    Raises:
      LoadError: it cannot be imported or made, or lacks `load` or `predict`.
    """
    module, _, name = uri.partition(":")
    found = load_class(module, name, f"the class {uri}")
    lacking = [n for n in ("load", "predict") if not callable(getattr(found, n, None))]
    if not isinstance(found, type) or lacking:
        what = f"has no method {' and no '.join(lacking)}" if lacking else "is not a class"
        raise LoadError(f"{uri} {what}; expected a class with load(path) and predict(columns)")
    try:
        return found()
    except Exception as error:
        raise LoadError(f"{uri}() failed, without arguments: {own_words(error)}") from error


def _column(value: Any) -> Column:
    """An output as a column: of an array, or of a list of arrays whose rows may differ.

    Copied, because the class may keep the array and write the next rows into it.
    """
    try:
        array = np.array(value)
    except ValueError:  # rows of different length
        return _of_rows(value)
    if array.dtype.kind == "O" and array.ndim == 1 and any(map(_has_axes, array)):
        return _of_rows(array)
    return decoded(_exact(value, array))


def _has_axes(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _exact(value: Any, array: Array) -> Array:
    """The array that numpy made of a value, made again if it rounded integers of a list.

    Raises:
      ValueError: no dtype holds all of its numbers.
    """
    if isinstance(value, np.ndarray) or array.dtype != np.float64:
        return array
    if not (np.abs(array) >= _ROUNDED).any():
        return array
    numbers = [np.asarray(each) for each in np.array(value, dtype=object).flat]
    return np.array(value, dtype=_common(numbers))


def _common(arrays: Sequence[Array]) -> np.dtype[Any]:
    dtype = common_dtype(arrays)
    if dtype is None:
        found = ", ".join(sorted({str(array.dtype) for array in arrays}))
        raise ValueError(f"found values of {found}, which cannot be joined without loss")
    return dtype


def _of_rows(values: Collection[Any]) -> Column:
    """A column of one array for each row, in the dtype that holds all.

    An empty list gets the dtype and shape of the other rows.
    """
    rows = [decoded(_exact(value, np.array(value))) for value in values]
    vague = [isinstance(value, list | tuple) and not value for value in values]
    known = [row for row, is_vague in zip(rows, vague, strict=True) if not is_vague]
    if not known:
        return from_rows(rows)
    dtype = _common(known)
    empty = np.empty((0, *known[0].shape[1:]), dtype)
    return from_rows(
        [
            empty if is_vague else row.astype(dtype, copy=False)
            for row, is_vague in zip(rows, vague, strict=True)
        ]
    )
