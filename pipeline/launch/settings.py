"""The values of the template's parameters, typed, in groups: each goes where it is used.

A field has the name of its parameter; see `parameters/` for what each means. A text that was not
given is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum, auto
from typing import Any, Literal, TypeVar

from pipeline.serving.release_manager import MemoryPolicy
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.row_limits import RowLimits, row_limits

Value = str | float | bool
LaunchChecks = Literal["full", "signatures", "files"]
Group = TypeVar("Group")


class Content(Enum):
    """What a sink takes."""

    PREDICTIONS = auto()
    DEAD_LETTERS = auto()
    RELEASE_EVENTS = auto()


class Medium(Enum):
    """How a sink is written: files of one prefix, messages of a topic, rows of a table."""

    FILES = auto()
    TOPIC = auto()
    TABLE = auto()


SINKS: Mapping[str, tuple[Content, Medium]] = {
    "output_path": (Content.PREDICTIONS, Medium.FILES),
    "output_topic": (Content.PREDICTIONS, Medium.TOPIC),
    "output_table": (Content.PREDICTIONS, Medium.TABLE),
    "dead_letter_path": (Content.DEAD_LETTERS, Medium.FILES),
    "dead_letter_topic": (Content.DEAD_LETTERS, Medium.TOPIC),
    "dead_letter_table": (Content.DEAD_LETTERS, Medium.TABLE),
    "release_events_path": (Content.RELEASE_EVENTS, Medium.FILES),
    "release_events_topic": (Content.RELEASE_EVENTS, Medium.TOPIC),
}
"""Parameters that each name a sink."""


def default_dead_letter_path(output_path: str) -> str:
    """Where the dead letters of a job go that was not told."""
    return f"{output_path}-dead-letters"


@dataclass(frozen=True)
class Sink:
    """A place where one kind of output goes.

    Attributes:
      parameter: that names it.
      place: the prefix of the files, the topic or the table.
    """

    parameter: str
    content: Content
    medium: Medium
    place: str


@dataclass(frozen=True)
class Inputs:
    """Where records come from.

    Attributes:
      id_label: attribute that identifies a message, for the source of a service.
      timestamp_attribute: attribute with a message's event time, for the source of a service.
      streaming: whether the job is a streaming one: asked for, or because of its input.
    """

    input_file_pattern: str
    input_format: str
    max_record_bytes: int
    input_subscription: str
    input_topic: str
    id_label: str
    timestamp_attribute: str
    input_table: str
    input_query: str
    streaming: bool


@dataclass(frozen=True)
class Outputs:
    """Where the results go.

    Attributes:
      sinks: those that were given, in the order of SINKS.
    """

    sinks: tuple[Sink, ...]
    output_format: str
    output_file_secs: int
    report_path: str
    overwrite: bool

    @property
    def prediction_suffix(self) -> str:
        """The end of the names of prediction files."""
        return f".{self.output_format}"

    def of(self, *kinds: Content | Medium) -> list[Sink]:
        """The sinks that take this content, are written in this way, or both."""
        return [sink for sink in self.sinks if {*kinds} <= {sink.content, sink.medium}]

    def place(self, content: Content, medium: Medium) -> str:
        """Where a content goes in one way; empty where it does not."""
        return next((sink.place for sink in self.of(content, medium)), "")


@dataclass(frozen=True)
class ModelSettings:
    """The ensemble, and how its models are called."""

    ensemble_spec: str
    device: str
    max_batch_size: int
    max_batch_latency_ms: int
    max_model_faults: int
    model_cache_dir: str
    max_hub_model_mb: int
    launch_checks: LaunchChecks
    trial_secs: int
    trial_memory_mb: int


@dataclass(frozen=True)
class RefreshSettings:
    """How models are refreshed while the job runs."""

    refresh_mode: str
    watch_interval_secs: int
    release_pattern: str
    refresh_subscription: str
    allowed_model_uris: str
    allowed_manifest_uris: str
    memory_policy: MemoryPolicy
    release_dir: str
    release_poll_secs: int

    @property
    def watches(self) -> bool:
        """Whether models are refreshed by looking at patterns."""
        return self.refresh_mode in ("watch", "both")

    @property
    def listens(self) -> bool:
        """Whether models are refreshed by messages."""
        return self.refresh_mode in ("event", "both")

    @property
    def follows(self) -> bool:
        """Whether the gate of another job decides what serves; nothing is written to its folder."""
        return self.refresh_mode == "follow"


@dataclass(frozen=True)
class WorkerSettings:
    """The workers of a service."""

    accelerator: str
    gpu_driver: str
    sdk_processes: str


@dataclass(frozen=True)
class RunSettings:
    """What is run, and when it ends or fails."""

    graph_path: str
    stop_after_secs: int
    stop_after_records: int
    max_dead_letter_percent: float
    dry_run: bool


@dataclass(frozen=True)
class Settings:
    """The values of the template's parameters, except those that are options of Beam.

    Attributes:
      values: all of them by parameter, for a listing.
    """

    inputs: Inputs
    outputs: Outputs
    models: ModelSettings
    refresh: RefreshSettings
    workers: WorkerSettings
    run: RunSettings
    values: Mapping[str, Value]

    def row_limits(self, spec: EnsembleSpec) -> RowLimits:
        """How many records the job handles at once, with this ensemble."""
        most, streaming = self.models.max_batch_size, self.inputs.streaming
        return row_limits(most, spec.record, spec.pass_through, streaming=streaming)


def settings_of(values: Mapping[str, Value]) -> Settings:
    """The settings of a job.

    Args:
      values: parameter -> its value, converted; `streaming` is whether the job is a streaming one.
    """
    sinks = tuple(
        Sink(parameter, content, medium, str(values[parameter]))
        for parameter, (content, medium) in SINKS.items()
        if values[parameter]
    )
    known: dict[str, Any] = {**values, "sinks": sinks}
    return Settings(
        inputs=_group(Inputs, known),
        outputs=_group(Outputs, known),
        models=_group(ModelSettings, known),
        refresh=_group(RefreshSettings, known),
        workers=_group(WorkerSettings, known),
        run=_group(RunSettings, known),
        values=values,
    )


def _group(group: type[Group], known: Mapping[str, Any]) -> Group:
    return group(**{field.name: known[field.name] for field in fields(group)})  # type: ignore[arg-type]
