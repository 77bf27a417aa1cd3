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
        | "OneKey" >> beam.WithKeys("gate").with_output_types(tuple[str, Candidate])
        | "Gate" >> beam.ParDo(gate)
    )
    return {"Gate": events}
