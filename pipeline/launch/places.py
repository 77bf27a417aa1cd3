"""Whether what a job writes is what it, or its next run, reads: told before anything is written.

Files are compared by the names that they would get, not by the files that are there: a pattern
that matches a job's own output is wrong at the first run, and does harm at the second. Topics are
compared with those that the sources get.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from apache_beam.io.filesystem import FileSystem

from pipeline.errors import PathError
from pipeline.launch.outputs import LINES_SUFFIX
from pipeline.launch.settings import (
    Content,
    Medium,
    Settings,
    Sink,
    default_dead_letter_path,
)
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.uris import is_local

_WILDCARD = re.compile(r"[*?\[]")


class _Written(NamedTuple):
    """Files of one output.

    Attributes:
      parameter: names it.
      name: a path such as the files will have.
    """

    parameter: str
    name: str


@dataclass(frozen=True)
class _Read:
    """Files that are read.

    Attributes:
      origin: what names them, as a message says it.
      pattern: a path, a pattern, or a folder with all that is in it.
      harm: what comes of it if a job writes one of them.
    """

    origin: str
    pattern: str
    harm: str

    def has(self, name: str) -> bool:
        """Whether a file of this name would be read."""
        pattern, name = _absolute(self.pattern), _absolute(name)
        if _WILDCARD.search(pattern):
            return re.match(FileSystem.translate_pattern(pattern), name) is not None
        return name == pattern or name.startswith(f"{pattern}/")


def place_problems(settings: Settings, spec: EnsembleSpec) -> list[str]:
    """What a job would write among what is read, by parameter.

    Args:
      settings: what it reads and writes.
      spec: the ensemble, its URIs absolute.
    """
    read = list(_read(settings, spec))
    problems: list[str] = []
    for output in _written(settings):
        others = (places for places in read if places.origin != f"--{output.parameter}")
        met = next((places for places in others if places.has(output.name)), None)
        if met is not None:
            problems.append(
                f"--{output.parameter}: a file such as '{output.name}' is what {met.origin} "
                f"('{met.pattern}') reads: {met.harm}; write to another folder"
            )
    return problems


def check_own_subscription(refresh: str, records: str) -> None:
    """Makes sure that records and refresh messages come by different subscriptions.

    Args:
      refresh: that of refresh messages.
      records: that of records; empty if they come otherwise.

    Raises:
      PathError: they are one, which hands each message to one of the two readers.
    """
    if refresh == records:
        raise PathError(
            f"subscription '{refresh}' is that of --input_subscription, too: each message would "
            "reach one of the two, so records would be lost as refresh messages; expected a "
            "subscription to a topic of refresh messages"
        )


def check_no_return(sink: Sink, heard: Mapping[str, str]) -> None:
    """Makes sure that what a sink publishes does not come back to the job, for ever.

    Args:
      sink: one that is a topic.
      heard: parameter of a source -> the topic that it gets all messages of.

    Raises:
      PathError: a source gets what the sink publishes.
    """
    for parameter, topic in heard.items():
        if topic == sink.place:
            what = "refresh messages" if parameter == "refresh_subscription" else "records"
            raise PathError(
                f"topic '{topic}' is what --{parameter} reads: the job would read its own output "
                f"as {what}, for ever; publish to another topic, or read by a subscription with a "
                "filter"
            )


def _written(settings: Settings) -> Iterator[_Written]:
    outputs, streaming = settings.outputs, settings.inputs.streaming
    if settings.run.graph_path:
        yield _Written("graph_path", settings.run.graph_path)
    folder = settings.refresh.release_dir.rstrip("/")
    if folder and not settings.refresh.follows:
        yield _Written("release_dir", f"{folder}/release-000001.json")
    if outputs.report_path:
        yield _Written("report_path", outputs.report_path)
    beside = default_dead_letter_path(outputs.place(Content.PREDICTIONS, Medium.FILES))
    # As `connectors.files` names them.
    shard = "20261122T091500Z-5f3a9c01-00001" if streaming else "00000-of-00001"
    for sink in outputs.of(Medium.FILES):
        if sink.place != beside:  # else it would only repeat the problem of the predictions
            predictions = sink.content is Content.PREDICTIONS
            suffix = outputs.prediction_suffix if predictions else LINES_SUFFIX
            yield _Written(sink.parameter, f"{sink.place}-{shard}{suffix}")


def _read(settings: Settings, spec: EnsembleSpec) -> Iterator[_Read]:
    inputs, refresh = settings.inputs, settings.refresh
    yield _Read("--ensemble_spec", settings.models.ensemble_spec, "the next run would need it")
    if inputs.input_file_pattern:
        harm = "the job, or its next run, would read its own output as records"
        yield _Read("--input_file_pattern", inputs.input_file_pattern, harm)
    for model in spec.models:
        harm = "the model's files would change"
        yield _Read(f"the `uri` of model '{model.name}'", model.uri, harm)
        if model.watch:
            harm = "it would be taken for a new version"
            yield _Read(f"the `watch` of model '{model.name}'", model.watch.rstrip("/"), harm)
    if refresh.release_pattern:
        harm = "it would be taken for a release"
        yield _Read("--release_pattern", refresh.release_pattern, harm)
    if refresh.release_dir:
        harm = "only the job's releases may be there"
        yield _Read("--release_dir", refresh.release_dir.rstrip("/"), harm)


def _absolute(path: str) -> str:
    """A path that is the same for two names of one file; links are followed before wildcards."""
    if not is_local(path):
        return path
    wild = _WILDCARD.search(path)
    if wild is None:
        return os.path.realpath(path)
    folder = path[: path.rfind("/", 0, wild.start()) + 1]
    return f"{os.path.realpath(folder or '.').rstrip('/')}/{path[len(folder) :]}"
