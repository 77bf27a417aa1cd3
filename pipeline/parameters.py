"""The template's parameters: one table from which parsing, help and documentation are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "integer", "boolean", "choice"]


@dataclass(frozen=True)
class Parameter:
    """One template parameter.

    Attributes:
      name: as on the command line, without dashes.
      label: two to five words.
      help: what it does, for a user who has not seen the source.
      kind: how its text is read.
      default: the text used when it is absent or empty; None when it then has no value.
      required: launching without it is an error, whatever else is given.
      choices: the values a "choice" may have.
      minimum: the least value of an "integer".
    """

    name: str
    label: str
    help: str
    kind: Kind = "text"
    default: str | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: int = 0


PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "ensemble_spec",
        "Ensemble file",
        "YAML or JSON file that names the record's fields, the models and how their outputs are "
        "combined. Local or gs://.",
        required=True,
    ),
    # --- records in
    Parameter(
        "input_file_pattern",
        "Input files",
        "Files to read, one JSON object a line; * and ? match parts of a name. Compressed files "
        "(.gz, .bz2, .zst, .xz) are read as they are. With --streaming=true, also files that come "
        "later. Local or gs://.",
    ),
    Parameter(
        "input_subscription",
        "Input subscription",
        "Pub/Sub subscription with one JSON object a message, "
        "projects/PROJECT/subscriptions/NAME. Makes the job a streaming one.",
    ),
    Parameter(
        "input_topic",
        "Input topic",
        "Pub/Sub topic to read in place of a subscription, projects/PROJECT/topics/NAME; only "
        "messages published while the job runs are read.",
    ),
    # --- records out
    Parameter(
        "output_path",
        "Output prefix",
        "Predictions are written to PREFIX-00000-of-00003.jsonl and so on; in a stream, to files "
        "named by time. Local or gs://.",
    ),
    Parameter(
        "output_topic",
        "Output topic",
        "Pub/Sub topic for predictions, one a message, with the attributes record_id, release_id "
        "and generation besides those of the input.",
    ),
    Parameter(
        "dead_letter_path",
        "Dead letter prefix",
        "Records without a prediction are written here, each with the reason. Default: the output "
        "prefix followed by -dead-letters.",
    ),
    Parameter(
        "dead_letter_topic",
        "Dead letter topic",
        "Pub/Sub topic for records without a prediction, one a message.",
    ),
    Parameter(
        "overwrite",
        "Overwrite earlier output",
        "Delete what an earlier batch run wrote under the same prefixes. Without it, a launch that "
        "finds such files is refused.",
        kind="boolean",
        default="false",
    ),
    Parameter(
        "output_file_secs",
        "Seconds per output file",
        "In a stream, an output file is finished after this many seconds.",
        kind="integer",
        minimum=1,
        default="5",
    ),
    # --- models
    Parameter(
        "device",
        "Device",
        "Where models run: auto (a GPU where there is one, else the CPU), cpu, or gpu (refuse to "
        "run without one). A model's own `device` in the ensemble file goes first.",
        kind="choice",
        choices=("auto", "cpu", "gpu"),
        default="auto",
    ),
    Parameter(
        "max_batch_size",
        "Largest batch",
        "Most records that travel, and are handed to a model, together. A model's own "
        "`max_batch_size` can only make its calls smaller.",
        kind="integer",
        minimum=1,
        default="1024",
    ),
    Parameter(
        "max_batch_latency_ms",
        "Longest wait for a batch",
        "In a local stream over Pub/Sub, how long a message may wait for others to fill a batch. 0 "
        "never waits: a batch is what has arrived meanwhile. On Dataflow a batch is what one "
        "bundle holds, and nothing waits.",
        kind="integer",
        default="0",
    ),
    Parameter(
        "max_model_faults",
        "Model faults before failing",
        "The job fails when a model fails on every record of this many batches in a row. 0 never "
        "fails: each such record becomes a dead letter.",
        kind="integer",
        default="10",
    ),
    # --- refresh
    Parameter(
        "refresh_mode",
        "Refresh mode",
        "How new model versions are found while a streaming job runs: off; watch (look at the "
        "models' `watch` patterns and at --release_pattern); event (messages of "
        "--refresh_subscription); both.",
        kind="choice",
        choices=("off", "watch", "event", "both"),
        default="off",
    ),
    Parameter(
        "watch_interval_secs",
        "Seconds between looks",
        "In watch mode, how often the patterns are looked at.",
        kind="integer",
        minimum=1,
        default="30",
    ),
    Parameter(
        "release_pattern",
        "Release manifests",
        "In watch mode, JSON files that each name the versions of all models, such as "
        "gs://BUCKET/releases/*.json; the newest is proposed.",
    ),
    Parameter(
        "refresh_subscription",
        "Refresh subscription",
        "In event mode, the Pub/Sub subscription with refresh messages or Cloud Storage "
        "notifications, projects/PROJECT/subscriptions/NAME.",
    ),
    Parameter(
        "allowed_model_uris",
        "Allowed model folders",
        "Folders below which models may be refreshed from, separated by commas. Default: the "
        "folders that the ensemble file names.",
    ),
    Parameter(
        "memory_policy",
        "Memory policy",
        "availability: a new version is loaded beside the one that serves, so there is no pause "
        "and memory for two is needed. resource: the old one is unloaded first, and records wait.",
        kind="choice",
        choices=("availability", "resource"),
        default="availability",
    ),
    Parameter(
        "release_dir",
        "Release folder",
        "Accepted releases are recorded here, and a job that is started again resumes at the last "
        "one. Local or gs://.",
    ),
    Parameter(
        "release_events_path",
        "Release events prefix",
        "What became of each proposed release (accepted, rejected and why, activated...) is "
        "written here.",
    ),
    Parameter(
        "release_events_topic",
        "Release events topic",
        "Pub/Sub topic for the same.",
    ),
    # --- run
    Parameter(
        "stop_after_secs",
        "Stop after seconds",
        "A local stream stops by itself after this many seconds: what is in flight is finished. 0 "
        "does not stop.",
        kind="integer",
        default="0",
    ),
    Parameter(
        "stop_after_records",
        "Stop after records",
        "A local stream stops by itself after at least this many records: what was pulled by then "
        "is finished as well. 0 does not stop.",
        kind="integer",
        default="0",
    ),
    Parameter(
        "dry_run",
        "Check only",
        "Check everything, load every model, print the graph and the models' signatures, and run "
        "nothing.",
        kind="boolean",
        default="false",
    ),
)

BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
