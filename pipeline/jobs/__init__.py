"""Wires jobs and runs them."""

from pipeline.runner.lean_imports import import_beam

import_beam()
