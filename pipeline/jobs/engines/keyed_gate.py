"""The gate where any process of a job may be the one that judges."""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from pipeline.jobs.engines.contract import Events
from pipeline.launch.job import Job
from pipeline.releases.candidate import Candidate
from pipeline.transforms.gate import KeyedGate


def add_keyed_gate(sources: dict[str, Any], job: Job) -> Events:
    """Add it to a stream; see JobEngine.gate."""
    refresh = job.refresh
    assert refresh is not None, "somebody proposes candidates"
    gate = KeyedGate(refresh.gate, refresh.managers, refresh.state)
    events = (
        tuple(sources.values())
        | "Candidates" >> beam.Flatten()
        # Not WithKeys, which takes its input's type: Any, so Beam would pickle candidates.
        | "OneKey" >> beam.Map(_keyed).with_output_types(tuple[str, Candidate])
        | "Gate" >> beam.ParDo(gate)
    )
    return {"Gate": events}


def _keyed(candidate: Candidate) -> tuple[str, Candidate]:
    return "gate", candidate
