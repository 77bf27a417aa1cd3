"""CatBoost: a model in its own format, `.cbm`, as `save_model` writes it.

An estimator in a pickle or joblib file (``framework: sklearn``) is served in the same way.

It has one input, the matrix of its features, under whatever name the ensemble file gives it; X by
convention; or one for each feature. One with categories or texts has one for each feature. Its
outputs:

* ``predict``: what `predict` of CatBoostClassifier or CatBoostRegressor returns: the label of a
  class, in the type that it was trained with; values of a regressor;
* ``predict_proba``: float64 [classes], of a classifier;
* ``raw``: float64, the values of the trees before the objective's transformation.

Categories are text, integers or booleans: CatBoost knows them by their text. Floats are refused, as
by CatBoost itself, for nobody knows how they were written. The file holds data only, so there is
nothing to trust.
API: https://catboost.ai/docs/en/concepts/python-reference_catboost
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.base import LoadContext, Servable
from pipeline.backends.failures import computing, loading, needs_package
from pipeline.backends.model_files import model_file, size_of
from pipeline.backends.tables.columns import as_matrix, feature_columns, rows_dims
from pipeline.backends.tables.matrix import feature_names, only_input, output_specs
from pipeline.backends.tensor_names import signature_of
from pipeline.backends.text import as_str, decoded
from pipeline.batch.columns import Array
from pipeline.batch.names import some
from pipeline.batch.tensors import INTEGERS, Taken, TensorSpec
from pipeline.errors import DeviceError, LoadError, RowsError
from pipeline.spec.model import ModelSpec

SUFFIXES = (".cbm", ".cb")

_KIND = "a CatBoost model"
_MAGIC = b"CBM1"
_PROBABILITIES, _LABELS = "Probability", "Class"
_CATEGORY = Taken("a category: text, integers or booleans", ("string", "bytes", "bool", *INTEGERS))


class CatboostServable(Servable):
    """A model. Its predictions may be computed by several threads at once."""

    device = "cpu"

    def __init__(self, model: Any, path: Path, spec: ModelSpec, threads: int) -> None:
        self.size_bytes = size_of(path)
        self._model = model
        self._threads = threads
        self._names = tuple(model.feature_names_)
        self._categories = frozenset(model.get_cat_feature_indices())
        self._texts = frozenset(model.get_text_feature_indices())
        if embedded := model.get_embedding_feature_indices():
            names = some([self._names[place] for place in embedded])
            raise LoadError(f"{path} takes vectors ({names}), expected numbers, categories, texts")
        specs, self._columns = self._inputs(path, spec)
        outputs = _outputs(model)
        self._types = {name: outputs[name] for name in spec.outputs or outputs if name in outputs}
        with loading(path, _KIND):
            tried = self._compute(self._pool([self._zeros(i) for i in range(len(self._names))]))
        self.signature = signature_of(path, spec, specs, output_specs(tuple(outputs), tried))

    @computing
    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Computes the outputs that the spec names. Missing numbers are NaN."""
        if not self._is_mixed:
            columns = self._columns
            rows = as_matrix(inputs, columns) if len(columns) > 1 else inputs[columns[0]]
            return self._compute(np.ascontiguousarray(rows.reshape(len(rows), -1), np.float32))
        return self._compute(self._pool([inputs[tensor].reshape(-1) for tensor in self._columns]))

    @property
    def _is_mixed(self) -> bool:
        return bool(self._categories or self._texts)

    def _inputs(self, path: Path, spec: ModelSpec) -> tuple[list[TensorSpec], tuple[str, ...]]:
        """The specs of the inputs, and those that make a row: the matrix, or one a feature."""
        count = len(self._names)
        if spec.is_unbound and self._is_mixed:
            columns: tuple[str, ...] | None = self._names
        else:
            bound = None if spec.is_unbound else feature_columns(path, spec, self._names, count)
            columns = bound
        if columns is not None:
            dims = rows_dims(columns)
            return [self._spec(i, name, dims) for i, name in enumerate(columns)], columns
        if count == 1 and self._is_mixed:
            tensor = only_input(path, spec, _KIND)
            return [self._spec(0, tensor, (None, 1))], (tensor,)
        if self._is_mixed:
            special = sorted(self._categories | self._texts)
            raise LoadError(
                f"{path} has categories or texts ({some([self._names[i] for i in special])}), "
                "which no matrix of numbers holds: bind a column to each of its features, "
                f"inputs: {{X: [...]}}; its features are {some(self._names)}"
            )
        tensor = only_input(path, spec, _KIND)
        names = feature_names(self._names)
        return [TensorSpec(tensor, "float32", (None, count), names)], (tensor,)

    def _spec(self, place: int, tensor: str, dims: tuple[int | None, ...]) -> TensorSpec:
        if place in self._categories:
            return TensorSpec(tensor, None, dims, taken=_CATEGORY)
        return TensorSpec(tensor, "string" if place in self._texts else "float32", dims)

    def _zeros(self, place: int) -> Array:
        is_number = place not in self._categories | self._texts
        return np.zeros(1, np.float32) if is_number else np.array([""], dtype=object)

    def _pool(self, columns: list[Array]) -> Any:
        """The rows as CatBoost takes them, from a column for each feature in the model's order."""
        import pandas

        read: dict[str, Array] = {}
        for place, (name, column) in enumerate(zip(self._names, columns, strict=True)):
            if place in self._categories | self._texts:
                read[name] = _text(name, column) if column.dtype.kind in "Of" else column
            else:
                read[name] = column.astype(np.float32, copy=False)
        return pandas.DataFrame(read)

    def _compute(self, rows: Any) -> dict[str, Array]:
        import catboost

        options = {"thread_count": self._threads}
        results = {  # by the base class: CatBoostRanker.predict takes no type
            kind: catboost.CatBoost.predict(self._model, rows, prediction_type=kind, **options)
            for kind in dict.fromkeys(self._types.values())
        }
        return {name: _column(results[kind], kind) for name, kind in self._types.items()}


class CatboostBackend:
    """Loads `.cbm` files."""

    def start(self) -> None:
        """See Backend."""
        with needs_package("catboost", extra="catboost"):
            import catboost  # noqa: F401

    def load(self, path: Path, spec: ModelSpec, context: LoadContext) -> CatboostServable:
        """Loads a model from a file, or from a folder with one such file."""
        if spec.device == "gpu":  # with --device=gpu, the other models of the ensemble need one
            raise DeviceError("CatBoost predicts without a GPU here: leave out `device: gpu`")
        self.start()
        import catboost

        file = model_file(path, SUFFIXES)
        _check_whole(file)
        with loading(file, _KIND):
            model = catboost.CatBoost().load_model(str(file), format="cbm")
        return CatboostServable(model, file, spec, context.intra_op_threads)


def _check_whole(file: Path) -> None:
    """Refuses other files, and one that is cut off."""
    with file.open("rb") as stream:
        head = stream.read(8)
    if head[:4] != _MAGIC:
        raise LoadError(
            f"{file} is not a CatBoost model in its own format: expected what "
            "model.save_model('model.cbm') writes, which begins with CBM1"
        )
    if len(head) < 8 or file.stat().st_size < 8 + struct.unpack("<I", head[4:])[0]:
        raise LoadError(f"{file} is cut off: it is shorter than it says")


def _outputs(model: Any) -> dict[str, str]:
    """The outputs of a model, each with the prediction type by which CatBoost computes it."""
    if len(model.classes_):
        return {"predict": _LABELS, "predict_proba": _PROBABILITIES, "raw": "RawFormulaVal"}
    loss = str(model.get_all_params().get("loss_function", "")).partition(":")[0]
    kinds = {"Poisson": "Exponent", "Tweedie": "Exponent", "RMSEWithUncertainty": loss}
    return {"predict": kinds.get(loss, "RawFormulaVal"), "raw": "RawFormulaVal"}


def _text(feature: str, column: Array) -> Array:
    """A column of texts or categories; integers of a column that lacks some come as floats.

    Raises:
      RowsError: rows without a value. CatBoost refuses them, and knows none for it.
    """
    lacking = np.array([value is None or value != value for value in column], dtype=bool)
    if lacking.any():
        why = f"found no value in '{feature}'; CatBoost takes a category or text in each row"
        raise RowsError(dict.fromkeys(np.flatnonzero(lacking).tolist(), why))
    return as_str(column) if column.dtype.kind == "O" else column.astype(np.int64)


def _column(result: Any, kind: str) -> Array:
    """A result as a column of its own: one label a row, and text as text."""
    values = np.array(result)
    if kind == _LABELS and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    return decoded(values)
