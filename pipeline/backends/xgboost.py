"""XGBoost: a booster in a JSON or UBJSON file, as `save_model` of Booster and XGBModel writes it.

It has one input, the feature matrix, under whatever name the ensemble file gives it; X by
convention; or one for each feature. Its outputs, all float32:

* ``predict``: what `Booster.predict` returns: values of a regressor, the probability of a binary
  classifier, [classes] probabilities of one with several classes;
* ``margin``: the same before the objective's transformation;
* ``leaf``: [trees] index of the leaf that each tree ends in; linear boosters have none.

Both formats hold data only, so there is nothing to trust.
API: https://xgboost.readthedocs.io/en/stable/prediction.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.base import LoadContext, Servable
from pipeline.backends.failures import computing, loading, needs_package
from pipeline.backends.model_files import model_file, size_of
from pipeline.backends.newer_boosters import check_read_whole
from pipeline.backends.tables.categories import xgboost_codes
from pipeline.backends.tables.columns import FeatureInputs
from pipeline.backends.tables.matrix import feature_names, output_specs
from pipeline.backends.tensor_names import signature_of
from pipeline.batch.columns import Array
from pipeline.errors import DeviceError, LoadError
from pipeline.spec.model import ModelSpec

SUFFIXES = (".json", ".ubj", ".model", ".xgb", ".bst")

_KIND = "an XGBoost model"
_OUTPUTS: dict[str, dict[str, bool]] = {
    "predict": {},
    "margin": {"output_margin": True},
    "leaf": {"pred_leaf": True},
}
_IN_PLACE = {"predict": "value", "margin": "margin"}
"""Outputs that trees compute from the rows where they lie, and what that call names them."""


class XgboostServable(Servable):
    """A booster. Its predictions may be computed by several threads at once."""

    def __init__(
        self, booster: Any, path: Path, spec: ModelSpec, device: str, threads: int
    ) -> None:
        features = booster.num_features()
        self.device = device
        self.size_bytes = size_of(path)
        names = feature_names(booster.feature_names)
        self._inputs = FeatureInputs(
            path,
            spec,
            _KIND,
            names=names,
            count=features,
            dtype="float32",
            codes=xgboost_codes(booster),
        )
        self._booster = booster
        self._threads = threads
        self._rounds = _rounds(booster)
        # A DMatrix is a copy, a tenth of the time of a small model. Linear boosters need one, those
        # of dart round otherwise without, and on a GPU rows have to be copied anyway.
        self._in_place = device == "cpu" and _kind_of(booster) == "gbtree"
        known = [name for name in _OUTPUTS if name != "leaf" or _kind_of(booster) != "gblinear"]
        self._outputs = [name for name in spec.outputs or known if name in _OUTPUTS]
        with loading(path, _KIND):
            tried = self._compute(np.zeros((1, features), np.float32))
        self.signature = signature_of(
            path,
            spec,
            self._inputs.specs,
            output_specs(tuple(known), tried),
        )

    @computing
    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Computes the outputs that the spec names. Missing values are NaN."""
        return self._compute(self._inputs.matrix(inputs))

    def _compute(self, rows: Array) -> dict[str, Array]:
        import xgboost

        # Names of features were compared at launch.
        options = {"iteration_range": self._rounds, "validate_features": False}
        in_place = self._in_place and _IN_PLACE.keys() >= set(self._outputs)
        if in_place and not np.isinf(rows).any():  # a DMatrix refuses those
            kinds = {name: _IN_PLACE[name] for name in self._outputs}
            call = self._booster.inplace_predict
            return {name: call(rows, predict_type=kind, **options) for name, kind in kinds.items()}
        matrix = xgboost.DMatrix(rows, nthread=self._threads)
        return {
            name: self._booster.predict(matrix, **options, **_OUTPUTS[name])
            for name in self._outputs
        }


class XgboostBackend:
    """Loads `.json`, `.ubj` and `.model` files, and `.xgb`, as MLflow called them."""

    def start(self) -> None:
        """See Backend."""
        with needs_package("xgboost", extra="xgboost"):
            import xgboost  # noqa: F401

    def load(self, path: Path, spec: ModelSpec, context: LoadContext) -> XgboostServable:
        """Loads a booster from a file, or from a folder with one such file."""
        self.start()
        import xgboost

        file = model_file(path, SUFFIXES)
        _check_format(file)
        # Its warnings name parameters that the ensemble file does not have.
        with loading(file, _KIND), xgboost.config_context(verbosity=0):
            booster = xgboost.Booster(model_file=file)
            check_read_whole(file, file.read_bytes(), booster)
            booster.set_param({"nthread": context.intra_op_threads})
            device = _choose(booster, context.device)
        return XgboostServable(booster, file, spec, device, context.intra_op_threads)


def _check_format(file: Path) -> None:
    with file.open("rb") as stream:
        if stream.read(1) != b"{":
            raise LoadError(
                f"{file} is neither JSON nor UBJSON; a model in the old binary format of XGBoost "
                "must be saved again as .ubj or .json, with the version that made it"
            )


def _choose(booster: Any, device: str) -> str:
    """Moves the booster to a GPU where it is wanted and there is one."""
    import xgboost

    if device != "cpu":
        booster.set_param({"device": "cuda:0"})
        found = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
        if found == "cuda:0":  # else XGBoost has gone back to the CPU, without an error
            return "cuda:0"
    if device == "gpu":
        raise DeviceError(f"XGBoost {xgboost.__version__} finds no CUDA device here")
    booster.set_param({"device": "cpu"})
    return "cpu"


def _kind_of(booster: Any) -> str:
    """gbtree, dart or gblinear."""
    found: str = json.loads(booster.save_config())["learner"]["learner_train_param"]["booster"]
    return found


def _rounds(booster: Any) -> tuple[int, int]:
    """The boosting rounds that count, as a range; (0, 0) is all.

    After early stopping, the estimators of `xgboost.sklearn` predict with the best round, and mark
    their files; `Booster.predict` takes all rounds.
    """
    best = booster.attr("best_iteration")
    if best is None or booster.attr("scikit_learn") is None:
        return (0, 0)
    return (0, int(best) + 1)
