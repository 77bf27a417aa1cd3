"""Everything that is checked before a job starts, cheapest first.

What can be known at launch is refused at launch: users of a template see little more than the last
message of the launcher's log.
"""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.connectors import paths
from pipeline.connectors.artifact_store import BeamArtifactStore
from pipeline.core import graph as graphs
from pipeline.core import spec_text
from pipeline.core.combine_spec import CombineStep, Lookup
from pipeline.core.graph import Graph
from pipeline.core.release import ModelVersion, Release
from pipeline.core.spec import EnsembleSpec
from pipeline.errors import ArtifactError, LaunchError, ModelError, PathError, SpecError
from pipeline.options import Settings
from pipeline.serving.artifacts import ArtifactCache
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.release_manager import ManagerHandle
from pipeline.serving.validation import Rehearsal, rehearse

SUFFIX = ".jsonl"
_CACHE = Path(tempfile.gettempdir()) / "ensemble-models"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """A job that passed its checks.

    Attributes:
      settings: its parameters.
      graph: the resolved ensemble.
      release: the versions that serve it.
      handle: where each process of the job finds its models.
      rehearsal: what the checks learnt of models and columns.
    """

    settings: Settings
    graph: Graph
    release: Release
    handle: ManagerHandle
    rehearsal: Rehearsal


def prepare(settings: Settings, *, workers_per_machine: int, say: Say) -> Job:
    """Checks paths, ensemble file and models.

    The models stay loaded in this process, behind ``job.handle``.

    Args:
      settings: the parameters.
      workers_per_machine: processes that will share a machine's cores.
      say: told what is being done.

    Raises:
      LaunchError: something is wrong; all problems of paths and ensemble file at once, else all of
        the models.
    """
    problems = [] if settings.dry_run else _path_problems(settings)
    try:
        graph = read_graph(settings.ensemble_spec)
    except SpecError as error:
        problems += error.problems
    if problems:
        raise LaunchError(problems)
    spec = graph.spec
    cache = ArtifactCache(_CACHE, BeamArtifactStore())
    release = _resolve_release(spec, cache, say)
    loader = FrameworkLoader(
        models=spec.models,
        cache=cache,
        device=settings.device,
        intra_op_threads=max(1, (os.cpu_count() or 1) // workers_per_machine),
    )
    handle = ManagerHandle(uuid.uuid4().hex, ManagerFactory(graph, loader))
    try:
        rehearsal = rehearse(graph, release, handle.get(), say)
    except LaunchError:
        handle.close()
        raise
    return Job(settings, graph, release, handle, rehearsal)


def read_graph(location: str) -> Graph:
    """The graph of the ensemble file at `location`, its URIs made absolute, its label files read.

    Raises:
      SpecError: it cannot be read, is not a valid ensemble file, or does not make a graph.
    """
    spec = _read_spec(location)
    try:
        return graphs.resolve(spec)
    except SpecError as error:
        raise SpecError([f"{location}: {problem}" for problem in error.problems]) from None


def _read_spec(location: str) -> EnsembleSpec:
    try:
        text = paths.read_text(location)
    except PathError as error:
        raise SpecError(f"--ensemble_spec: {error}") from error
    base = location.rpartition("/")[0]
    spec = spec_text.resolve_uris(
        spec_text.parse(text, source=location), base or ("/" if location.startswith("/") else ".")
    )
    combine = tuple(_with_labels(step, location) for step in spec.combine)
    return spec.model_copy(update={"combine": combine})


def _with_labels(step: CombineStep, source: str) -> CombineStep:
    if not isinstance(step, Lookup) or step.file is None:
        return step
    where = f"{source}: combine step '{step.column}'"
    try:
        text = paths.read_text(step.file)
    except PathError as error:
        raise SpecError(f"{where}: {error}") from error
    labels = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    if not labels or not all(isinstance(label, str) for label in labels):
        raise SpecError(f"{where}: {step.file} must hold one label a line, or a JSON list of texts")
    return step.model_copy(update={"labels": tuple(labels), "file": None})


def _path_problems(settings: Settings) -> list[str]:
    problems: list[str] = []

    def check(parameter: str, look: Callable[[], object]) -> None:
        try:
            look()
        except PathError as error:
            problems.extend(f"--{parameter}: {problem}" for problem in error.problems)

    check("input_file_pattern", lambda: paths.match_input(settings.input_file_pattern))
    for parameter in ("output_path", "dead_letter_path"):
        prefix: str = getattr(settings, parameter)
        before = len(problems)
        check(parameter, partial(paths.check_writable, prefix))
        check(parameter, partial(_check_earlier, prefix, settings.overwrite))
        if len(problems) > before and settings.dead_letter_path.startswith(prefix):
            break  # the default prefix for dead letters would only repeat it
    return problems


def _check_earlier(prefix: str, overwrite: bool) -> None:
    earlier = paths.existing_outputs(prefix, SUFFIX)
    if earlier and overwrite:
        paths.delete(earlier)
    elif earlier:
        raise PathError(
            f"found {len(earlier)} files of an earlier run, {earlier[0]} the first; give another "
            "prefix, or --overwrite=true to delete them"
        )


def _resolve_release(spec: EnsembleSpec, cache: ArtifactCache, say: Say) -> Release:
    """The release that the ensemble file names, as generation 1."""
    versions: list[ModelVersion] = []
    problems: list[str] = []
    for model in spec.models:
        say(f"fetching model '{model.name}' from {model.uri}")
        try:
            fetched = cache.fetch(model.uri)
        except ArtifactError as error:
            problems.append(f"model '{model.name}': {error}")
        else:
            versions.append(ModelVersion(model.name, model.uri, fetched.digest))
    if problems:
        raise ModelError(problems)
    return Release(1, tuple(versions))
