"""Thin Beam steps: each calls the packages below and has little of its own."""

from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.report.statistics.run import RunStatistics
from pipeline.runner.coders import register
from pipeline.runner.lean_imports import import_run_inference

register(Candidate, ReleaseEvent, RunStatistics)

# Here and not beside its use: workers unpickle the steps in any order, and one of ours comes before
# Beam's.
import_run_inference()
