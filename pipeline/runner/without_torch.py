"""Imports Beam's RunInference without PyTorch.

Beam 2.77 imports torch as soon as `apache_beam.ml` is, for a model manager that is not used
here: 1.5 seconds and some 200 MB in every process, also for an ensemble without PyTorch. Beam does
without the model manager where importing it fails, so that is what happens here.
"""

from __future__ import annotations

import resource
import sys

_MODEL_MANAGER = "apache_beam.ml.inference.model_manager"


def import_run_inference() -> None:
    """Imports `apache_beam.ml.inference.base`; does nothing when something else has done so."""
    if "apache_beam.ml.inference.base" in sys.modules:
        return
    sys.modules[_MODEL_MANAGER] = None  # type: ignore[assignment]  # makes importing it fail
    try:
        from apache_beam.ml.inference import base
    finally:
        del sys.modules[_MODEL_MANAGER]
    base.resource = resource  # Beam gives up both in one go; its memory metric needs this one
