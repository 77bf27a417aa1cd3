"""Thin Beam adapters around core and serving."""

from pipeline.transforms.beam_without_torch import import_run_inference

# Here and not beside its use: workers unpickle the steps in any order, and one of ours comes before
# Beam's.
import_run_inference()
