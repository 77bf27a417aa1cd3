"""Imports Beam without packages that it imports wherever they are installed, and that go unused.

Beam 2.77 imports pandas to convert rows to DataFrames, which nothing here does, and PyTorch, as
soon as `apache_beam.ml` is imported, for a model manager that is not used here: 0.9 and 1.5 seconds
and some 260 MB in every process, also for an ensemble without either. Beam does without where
importing them fails, so that is what happens here.
"""

from __future__ import annotations

import resource
import sys

_MODEL_MANAGER = "apache_beam.ml.inference.model_manager"


def import_beam() -> None:
    """Imports `apache_beam`; does nothing when something else has done so."""
    if "apache_beam" in sys.modules or "pandas" in sys.modules:
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]  # makes importing it fail
    try:
        import apache_beam  # noqa: F401
    finally:
        del sys.modules["pandas"]


def import_run_inference() -> None:
    """Imports `apache_beam.ml.inference.base`; does nothing when something else has done so."""
    import_beam()
    if "apache_beam.ml.inference.base" in sys.modules:
        return
    sys.modules[_MODEL_MANAGER] = None  # type: ignore[assignment]  # makes importing it fail
    try:
        from apache_beam.ml.inference import base
    finally:
        del sys.modules[_MODEL_MANAGER]
    base.resource = resource  # Beam gives up both in one go; its memory metric needs this one
