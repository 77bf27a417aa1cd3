"""A job as a launch hands it to a service, without the checks: its models need not be there."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipeline.batch.release import Release
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.launch.job import Job, read_graph
from pipeline.launch.options import parse
from pipeline.launch.table_names import tables_of
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.rehearsal.rehearsal import Rehearsal
from pipeline.serving.release_manager import ManagerHandle


def unchecked_job(
    arguments: Sequence[str], rehearsal: Rehearsal | None = None
) -> tuple[Job, PipelineOptions]:
    """The job of a command line, and Beam's options for it."""
    parsed = parse(arguments)
    options, settings = PipelineOptions(list(parsed.beam_args)), parsed.settings
    options.view_as(StandardOptions).streaming = settings.inputs.streaming
    graph = read_graph(settings.models.ensemble_spec)
    cache = ArtifactCache(Path(tempfile.gettempdir(), "unchecked-job"), BeamArtifactStore())
    managers = ManagerFactory(graph, FrameworkLoader(graph.models, cache, "cpu", 1))
    job = Job(
        settings,
        graph,
        tables_of(settings.inputs, settings.outputs, options),
        settings.row_limits(graph.spec),
        Release(1, ()),
        ManagerHandle("job", managers),
        rehearsal or Rehearsal(),
    )
    return job, options
