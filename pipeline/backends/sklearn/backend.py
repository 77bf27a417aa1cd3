"""scikit-learn: an estimator in a skops, joblib or pickle file.

An estimator has one input, the feature matrix (or a column of texts), under whatever name the
ensemble file gives it, X by convention; or one for each column of the table that it was fitted on.
Its outputs are its methods (`outputs`). An estimator of CatBoost is served as its own files are
(`pipeline.backends.catboost`): once it was saved, it says of itself that it takes no feature.

skops files are read without running code that they carry
(https://skops.readthedocs.io/en/stable/persistence.html); joblib and pickle files cannot be, and
need ``trusted: true``.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.backends.base import LoadContext, Servable
from pipeline.backends.catboost import CatboostServable
from pipeline.backends.failures import computing, loading, needs_package
from pipeline.backends.model_files import model_file, size_of
from pipeline.backends.native_threads import bound_blas, openmp_bound
from pipeline.backends.newer_boosters import unpickled_whole
from pipeline.backends.pickled import check_estimator, lacking, unpickle
from pipeline.backends.sklearn import features as sklearn_features
from pipeline.backends.sklearn.outputs import METHODS, column, method_of, output_specs
from pipeline.backends.sklearn.rows import made_up_row, rows_of
from pipeline.backends.tensor_names import signature_of
from pipeline.batch.columns import Array
from pipeline.errors import DeviceError, UntrustedArtifactError
from pipeline.readable import logger
from pipeline.spec.model import ModelSpec, SklearnModel

SUFFIXES = (".skops", ".joblib", ".pkl", ".pickle", ".sav")

_TORCH_SHIM = "sklearn.externals.array_api_compat.torch"
_LOGGER = logger(__name__)
_WARNINGS_LOCK = threading.Lock()  # warnings.catch_warnings changes the whole process


class SklearnServable(Servable):
    """A fitted estimator."""

    device = "cpu"

    def __init__(
        self, estimator: Any, path: Path, spec: ModelSpec, threads: int, calls: int
    ) -> None:
        parts = list(_parts(estimator, set()))
        inputs, self._rows = rows_of(path, spec, estimator, parts)
        self._bound_openmp = openmp_bound(threads)

        def probabilities() -> Any:
            method = "predict_proba"
            return self._results({method: getattr(estimator, method)}, made_up_row(inputs))[method]

        outputs = output_specs(estimator, probabilities)
        self.signature = signature_of(path, spec, inputs, outputs)
        self.size_bytes = size_of(path)
        self.calls_at_once = calls
        self._outputs = tuple(spec.outputs)
        methods = dict.fromkeys(map(method_of, self._outputs))
        self._calls = {method: getattr(estimator, method) for method in methods}

    @computing
    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Calls the methods that the spec names. Class labels may be text, rows may be sparse."""
        results = self._results(self._calls, inputs)
        return {output: column(output, results[method_of(output)]) for output in self._outputs}

    def _results(
        self, calls: Mapping[str, Callable[[Any], Any]], inputs: Mapping[str, Array]
    ) -> dict[str, Any]:
        from joblib import parallel_config

        rows = self._rows(inputs)
        self._bound_openmp()
        # Its own choice for ColumnTransformer and other composites is a pool of processes, which
        # take seconds to begin.
        with sklearn_features.selecting(), parallel_config(backend="threading"):
            return {method: call(rows) for method, call in calls.items()}


class SklearnBackend:
    """Loads skops, joblib and pickle files."""

    def start(self) -> None:
        """See Backend."""
        with needs_package("scikit-learn"), _hidden("pandas"):
            import sklearn  # noqa: F401
        sklearn_features.ignore_missing_names()

    def load(self, path: Path, spec: ModelSpec, context: LoadContext) -> Servable:
        """Loads an estimator from a file, or from a folder with one such file.

        Many estimators compute on one thread, however many are granted. So where several calls run
        at once, each takes one thread, by `n_jobs` and OpenMP; else a call takes all. The BLAS
        library has one bound for the process.
        """
        assert isinstance(spec, SklearnModel)
        if spec.device == "gpu":  # with --device=gpu, the other models of the ensemble need one
            raise DeviceError("scikit-learn has no GPU support: leave out `device: gpu`")
        self.start()
        file = model_file(path, SUFFIXES)
        with loading(file, "a scikit-learn model"), _version_warnings_logged(spec.name):
            estimator = _read_whole(file, spec.trusted)
        check_estimator(file, estimator, METHODS)
        sklearn_features.check_takes_columns(file, estimator)
        if hasattr(estimator, "get_cat_feature_indices"):
            return CatboostServable(estimator, file, spec, context.intra_op_threads)
        bound_blas(context.intra_op_threads)
        calls = context.intra_op_threads if context.shared else 1
        threads = context.intra_op_threads // calls
        _limit_jobs(estimator, threads)
        return SklearnServable(estimator, file, spec, threads, calls)


def _skops_io() -> Any:
    """The module `skops.io`, imported without PyTorch.

    To list scikit-learn's estimators, skops imports all its packages, one of which imports PyTorch
    where it is installed: seconds and memory that no estimator needs.
    """
    with needs_package("skops"), _hidden(_TORCH_SHIM):
        from skops import io as skops_io
    return skops_io


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    """Makes importing a module fail, unless something else has imported it."""
    wanted = module not in sys.modules
    if wanted:
        sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if wanted:
            del sys.modules[module]


def _read_whole(file: Path, trusted: bool) -> Any:
    """The estimator in a file, of whose boosters of XGBoost nothing is passed over."""
    read = _read_skops if file.suffix.lower() == ".skops" else _read_pickle
    if sys.modules.get("xgboost") is None:
        found = read(file, trusted)
        if "xgboost" not in sys.modules:
            return found
        del found  # read again, watched: not every estimator is to wait until XGBoost is imported
    with unpickled_whole(file):
        return read(file, trusted)


def _read_skops(file: Path, trusted: bool) -> Any:
    skops_io = _skops_io()
    unknown = skops_io.get_untrusted_types(file=file)
    if unknown and not trusted:
        raise UntrustedArtifactError(
            f"{file} holds types that skops does not know to be safe: {', '.join(unknown)}; "
            "if you trust where the file comes from, set `trusted: true` for this model"
        )
    try:
        return skops_io.load(file, trusted=unknown)
    except (AttributeError, ModuleNotFoundError) as error:
        raise lacking(file, error) from error


def _read_pickle(file: Path, trusted: bool) -> Any:
    if not trusted:
        raise UntrustedArtifactError(
            f"loading {file} would run code that it carries; save the model with skops "
            "(skops.io.dump(model, 'model.skops')), or set `trusted: true` for this model if you "
            "trust where the file comes from"
        )
    return unpickle(file)


@contextmanager
def _version_warnings_logged(model: str) -> Iterator[None]:
    """Logs, with the model's name, that its file was written by another scikit-learn."""
    from sklearn.exceptions import InconsistentVersionWarning

    with _WARNINGS_LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InconsistentVersionWarning)
        yield
    versions = {}
    for entry in caught:
        if isinstance(entry.message, InconsistentVersionWarning):
            versions[entry.message.estimator_name] = entry.message
        else:
            warnings.warn_explicit(entry.message, entry.category, entry.filename, entry.lineno)
    for estimator, warning in versions.items():
        _LOGGER.warning(
            "model '%s': its %s was saved by scikit-learn %s and runs on %s; results may differ",
            model,
            estimator,
            warning.original_sklearn_version,
            warning.current_sklearn_version,
        )


def _limit_jobs(estimator: Any, threads: int) -> None:
    """Sets it on fitted parts too: a search keeps the best estimator beside the given one."""
    for part in _parts(estimator, set()):
        for name in ("n_jobs", "_n_threads"):  # KMeans keeps the cores that it was trained on
            if hasattr(part, name):
                setattr(part, name, threads)


def _parts(value: Any, seen: set[int]) -> Iterator[Any]:
    """An estimator and all of its parts, each once."""
    if id(value) in seen:
        return
    seen.add(id(value))
    inner: Iterable[Any] = ()
    if isinstance(value, list | tuple):
        inner = value
    elif isinstance(value, dict):
        inner = value.values()
    elif hasattr(value, "get_params") or type(value).__module__.startswith("sklearn."):
        yield value
        inner = getattr(value, "__dict__", {}).values()
    for each in inner:
        yield from _parts(each, seen)
