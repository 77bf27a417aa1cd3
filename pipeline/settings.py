"""The values of the template's parameters, typed."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.serving.release_manager import MemoryPolicy


def default_dead_letter_path(output_path: str) -> str:
    """Where the dead letters of a job go that was not told."""
    return f"{output_path}-dead-letters"


@dataclass(frozen=True)
class Settings:
    """The values of the template's parameters; see `parameters/` for what each means.

    A text that was not given is empty.

    Attributes:
      streaming: whether the job is a streaming one: asked for, or because of its input.
    """

    ensemble_spec: str
    input_file_pattern: str
    input_format: str
    input_subscription: str
    input_topic: str
    input_table: str
    input_query: str
    output_path: str
    output_format: str
    output_topic: str
    output_table: str
    dead_letter_path: str
    dead_letter_topic: str
    dead_letter_table: str
    report_path: str
    overwrite: bool
    output_file_secs: int
    device: str
    max_batch_size: int
    max_batch_latency_ms: int
    max_model_faults: int
    model_cache_dir: str
    refresh_mode: str
    watch_interval_secs: int
    release_pattern: str
    refresh_subscription: str
    allowed_model_uris: str
    memory_policy: MemoryPolicy
    release_dir: str
    release_events_path: str
    release_events_topic: str
    accelerator: str
    gpu_driver: str
    sdk_processes: str
    graph_path: str
    stop_after_secs: int
    stop_after_records: int
    max_dead_letter_percent: float
    dry_run: bool
    streaming: bool

    @property
    def prediction_suffix(self) -> str:
        """The end of the names of prediction files."""
        return f".{self.output_format}"

    @property
    def watches(self) -> bool:
        """Whether models are refreshed by looking at patterns."""
        return self.refresh_mode in ("watch", "both")

    @property
    def listens(self) -> bool:
        """Whether models are refreshed by messages."""
        return self.refresh_mode in ("event", "both")
