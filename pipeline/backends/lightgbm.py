"""LightGBM: a booster in a text file, as `Booster.save_model` writes it.

It has one input, the feature matrix, under whatever name the ensemble file gives it; X by
convention; or one for each feature. Its outputs:

* ``predict``: float64, what `Booster.predict` returns: values of a regressor, the probability of a
  binary classifier, [classes] probabilities of one with several classes;
* ``raw``: the same before the objective's transformation;
* ``leaf``: int32 [trees], index of the leaf that each tree ends in.

The file holds data only, so there is nothing to trust.
API: https://lightgbm.readthedocs.io/en/stable/pythonapi/lightgbm.Booster.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.base import LoadContext, Servable
from pipeline.backends.failures import computing, loading, needs_package
from pipeline.backends.model_files import model_file, size_of
from pipeline.backends.tables.categories import lightgbm_codes
from pipeline.backends.tables.columns import FeatureInputs
from pipeline.backends.tables.matrix import feature_names, output_specs
from pipeline.backends.tensor_names import signature_of
from pipeline.batch.columns import Array
from pipeline.errors import DeviceError, LoadError
from pipeline.spec.model import ModelSpec

SUFFIXES = (".txt", ".lgb", ".model", ".bst")

_KIND = "a LightGBM model"
_TREE_SIZES = re.compile(rb"^tree_sizes=([\d ]*)$", re.MULTILINE)
_OUTPUTS: dict[str, dict[str, bool]] = {
    "predict": {},
    "raw": {"raw_score": True},
    "leaf": {"pred_leaf": True},
}


class LightgbmServable(Servable):
    """A booster. Its predictions may be computed by several threads at once."""

    device = "cpu"

    def __init__(self, booster: Any, path: Path, spec: ModelSpec, threads: int) -> None:
        features = booster.num_feature()
        self.size_bytes = size_of(path)
        names = feature_names(booster.feature_name())
        self._inputs = FeatureInputs(
            path,
            spec,
            _KIND,
            names=names,
            count=features,
            dtype="float64",
            codes=lightgbm_codes(booster),
        )
        self._booster = booster
        self._threads = threads
        self._outputs = [name for name in spec.outputs or _OUTPUTS if name in _OUTPUTS]
        with loading(path, _KIND):
            tried = self._compute(np.zeros((1, features)))
        self.signature = signature_of(
            path,
            spec,
            self._inputs.specs,
            output_specs(tuple(_OUTPUTS), tried),
        )

    @computing
    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Computes the outputs that the spec names. Missing values are NaN."""
        return self._compute(np.ascontiguousarray(self._inputs.matrix(inputs), dtype=np.float64))

    def _compute(self, rows: Array) -> dict[str, Array]:
        return {
            name: np.asarray(
                self._booster.predict(rows, num_threads=self._threads, **_OUTPUTS[name])
            )
            for name in self._outputs
        }


class LightgbmBackend:
    """Loads text files."""

    def start(self) -> None:
        """See Backend."""
        with needs_package("lightgbm", extra="lightgbm"):
            import lightgbm  # noqa: F401

    def load(self, path: Path, spec: ModelSpec, context: LoadContext) -> LightgbmServable:
        """Loads a booster from a file, or from a folder with one such file."""
        if spec.device == "gpu":  # with --device=gpu, the other models of the ensemble need one
            raise DeviceError("LightGBM predicts without a GPU: leave out `device: gpu`")
        self.start()
        import lightgbm

        file = model_file(path, SUFFIXES)
        _check_whole(file)
        with loading(file, _KIND):
            booster = lightgbm.Booster(model_file=file)
        return LightgbmServable(booster, file, spec, context.intra_op_threads)


def _check_whole(file: Path) -> None:
    """Refuses a file that is cut off: LightGBM reads beyond its end, and the process dies."""
    content = file.read_bytes()
    if not content.startswith(b"tree\n"):
        raise LoadError(
            f"{file} is not a LightGBM model: expected the text that Booster.save_model writes, "
            "which begins with the line 'tree'"
        )
    sizes = _TREE_SIZES.search(content)
    trees, end = content.find(b"\nTree=0"), content.find(b"\nend of trees")
    is_old = end < 0  # as the first releases of LightGBM 2 wrote it, which had no such line
    end = content.find(b"\n\nfeature importances:") if is_old else end
    expected = sum(int(size) for size in sizes[1].split()) if sizes else 0
    # The sizes count the blank lines between the trees.
    if sizes is None or end < 0 or (trees >= 0 and end - trees != expected):
        raise LoadError(f"{file} is cut off or damaged: its trees are not as long as it says")
    if not is_old and b"\nend of parameters" not in content[end:]:
        raise LoadError(f"{file} is cut off: the line 'end of parameters' is missing")
