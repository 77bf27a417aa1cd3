"""The template's parameters: the one source of parsing, help, metadata.json and the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.core.formats import FORMATS

Kind = Literal["text", "integer", "boolean", "choice"]

# POSIX extended regular expressions, without \\d and look-ahead: the service checks with those.
_BUCKET = "gs://[a-z0-9][a-z0-9._-]*"
_FILE = f"^{_BUCKET}/.+$"
_FOLDER = f"^{_BUCKET}(/.*)?$"
_MODELS = f"({_BUCKET}(/[^,]*)?|https?://[^,]+)"
_TOPIC = "^projects/[^/]+/topics/[^/]+$"
_SUBSCRIPTION = "^projects/[^/]+/subscriptions/[^/]+$"
_TABLE = "^[a-z][a-z0-9.:-]*[:.][A-Za-z0-9_]+[.][^.:]+$"


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
      group: the heading under which the console shows it.
      param_type: the template API's type of a "text"; the other kinds have one each.
      regex: what a "text" looks like on the service, where nothing local exists.
      parent: the parameter on which it depends, and the values of that with which it is shown.
      local: it matters to local runs only; the console does not show it.
      to_beam: it is an option of Beam, checked here and handed on under the same name.
    """

    name: str
    label: str
    help: str
    kind: Kind = "text"
    default: str | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: int = 0
    group: str = ""
    param_type: str = "TEXT"
    regex: str = ""
    parent: tuple[str, tuple[str, ...]] | None = None
    local: bool = False
    to_beam: bool = False


PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "ensemble_spec",
        "Ensemble file",
        "YAML or JSON file that names the record's fields, the models and how their outputs are "
        "combined. Local or gs://.",
        required=True,
        group="Models",
        param_type="GCS_READ_FILE",
        regex=_FILE,
    ),
    # --- records in
    Parameter(
        "input_file_pattern",
        "Input files",
        "Files to read; * and ? match parts of a name. Compressed text (.gz, .bz2, .zst, .xz) is "
        "read as it is. With --streaming=true, also files that come later. Local or gs://.",
        group="Records in",
        param_type="GCS_READ_FILE",
        regex=_FILE,
    ),
    Parameter(
        "input_format",
        "Format of input files",
        "What the input files hold: jsonl (one JSON object a line), csv (the first line names the "
        "columns), parquet, avro, or tfrecord (tf.Example). auto goes by each file's extension and "
        "takes unknown ones for jsonl.",
        kind="choice",
        choices=("auto", *FORMATS),
        default="auto",
        group="Records in",
    ),
    Parameter(
        "input_subscription",
        "Input subscription",
        "Pub/Sub subscription with one JSON object a message, "
        "projects/PROJECT/subscriptions/NAME. Makes the job a streaming one.",
        group="Records in",
        param_type="PUBSUB_SUBSCRIPTION",
        regex=_SUBSCRIPTION,
    ),
    Parameter(
        "input_topic",
        "Input topic",
        "Pub/Sub topic to read in place of a subscription, projects/PROJECT/topics/NAME; only "
        "messages published while the job runs are read.",
        group="Records in",
        param_type="PUBSUB_TOPIC",
        regex=_TOPIC,
    ),
    Parameter(
        "input_table",
        "Input table",
        "BigQuery table whose rows are the records, PROJECT.DATASET.TABLE; its columns have the "
        "names of the record's fields. Batch only: it is exported to files under --temp_location.",
        group="Records in",
        param_type="BIGQUERY_TABLE",
        regex=_TABLE,
    ),
    Parameter(
        "input_query",
        "Input query",
        "Query in standard SQL whose result is read in place of a table. It runs, and is charged, "
        "in --project.",
        group="Records in",
    ),
    Parameter(
        "streaming",
        "Streaming",
        "Run as a streaming job: files that come later are read as well. A Pub/Sub input implies "
        "it.",
        kind="boolean",
        default="false",
        group="Records in",
    ),
    # --- records out
    Parameter(
        "output_path",
        "Output prefix",
        "Predictions are written to PREFIX-00000-of-00003.jsonl (or .parquet) and so on; in a "
        "stream, to files named by time. Local or gs://.",
        group="Records out",
        param_type="GCS_WRITE_FILE",
        regex=_FILE,
    ),
    Parameter(
        "output_format",
        "Format of output files",
        "Format of prediction files: jsonl, or parquet (batch jobs only). Dead letters are always "
        "JSON lines.",
        kind="choice",
        choices=("jsonl", "parquet"),
        default="jsonl",
        group="Records out",
    ),
    Parameter(
        "output_topic",
        "Output topic",
        "Pub/Sub topic for predictions, one a message, with the attributes record_id, release_id "
        "and generation besides those of the input.",
        group="Records out",
        param_type="PUBSUB_TOPIC",
        regex=_TOPIC,
    ),
    Parameter(
        "output_table",
        "Output table",
        "BigQuery table for predictions, PROJECT.DATASET.TABLE, a row each. Made when it is "
        "missing, else appended to. A batch job loads all rows at its end; a stream inserts them "
        "as they come.",
        group="Records out",
        param_type="BIGQUERY_TABLE",
        regex=_TABLE,
    ),
    Parameter(
        "dead_letter_path",
        "Dead letter prefix",
        "Records without a prediction are written here, each with the reason. Default: the output "
        "prefix followed by -dead-letters.",
        group="Records out",
        param_type="GCS_WRITE_FILE",
        regex=_FILE,
    ),
    Parameter(
        "dead_letter_topic",
        "Dead letter topic",
        "Pub/Sub topic for records without a prediction, one a message.",
        group="Records out",
        param_type="PUBSUB_TOPIC",
        regex=_TOPIC,
    ),
    Parameter(
        "dead_letter_table",
        "Dead letter table",
        "BigQuery table for records without a prediction, PROJECT.DATASET.TABLE. Made when it is "
        "missing, else appended to.",
        group="Records out",
        param_type="BIGQUERY_TABLE",
        regex=_TABLE,
    ),
    Parameter(
        "report_path",
        "Report page",
        "HTML file that tells what became of the run: counts, distributions, agreement of the "
        "models, dead letters, releases. A batch job writes it at its end, a stream every minute "
        "as well. Local or gs://.",
        group="Records out",
        param_type="GCS_WRITE_FILE",
        regex=f"^{_BUCKET}/.+[.]html?$",
    ),
    Parameter(
        "overwrite",
        "Overwrite earlier output",
        "Delete what an earlier batch run wrote under the same prefixes, and its report. Without "
        "it, a launch that finds such files is refused.",
        kind="boolean",
        default="false",
        group="Records out",
    ),
    Parameter(
        "output_file_secs",
        "Seconds per output file",
        "In a stream, an output file is finished after this many seconds.",
        kind="integer",
        minimum=1,
        default="5",
        group="Records out",
    ),
    # --- models
    Parameter(
        "device",
        "Device",
        "Where models run: auto (a GPU where there is one, else the CPU), cpu, or gpu (refuse to "
        "run without one; scikit-learn always runs on the CPU). A model's own `device` in the "
        "ensemble file goes first.",
        kind="choice",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        group="Models",
    ),
    Parameter(
        "max_batch_size",
        "Largest batch",
        "Most records that travel, and are handed to a model, together. A model's own "
        "`max_batch_size` can only make its calls smaller.",
        kind="integer",
        minimum=1,
        default="1024",
        group="Models",
    ),
    Parameter(
        "max_batch_latency_ms",
        "Longest wait for a batch",
        "In a local stream over Pub/Sub, how long a message may wait for others to fill a batch. 0 "
        "never waits: a batch is what has arrived meanwhile. On Dataflow a batch is what one "
        "bundle holds, and nothing waits.",
        kind="integer",
        default="0",
        group="Models",
        local=True,
    ),
    Parameter(
        "max_model_faults",
        "Model faults before failing",
        "The job fails when a model fails on every record of this many batches in a row. 0 never "
        "fails: each such record becomes a dead letter.",
        kind="integer",
        default="10",
        group="Models",
    ),
    Parameter(
        "model_cache_dir",
        "Folder for hub modules",
        "Where models whose `uri` is a URL of a hub (TF Hub, Kaggle) are kept. The launch fetches "
        "each once; workers and later jobs read it from here. Default: each machine fetches by "
        "itself. Local or gs://.",
        group="Models",
        param_type="GCS_WRITE_FOLDER",
        regex=_FOLDER,
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
        group="Refresh",
    ),
    Parameter(
        "watch_interval_secs",
        "Seconds between looks",
        "In watch mode, how often the patterns are looked at.",
        kind="integer",
        minimum=1,
        default="30",
        group="Refresh",
        parent=("refresh_mode", ("watch", "both")),
    ),
    Parameter(
        "release_pattern",
        "Release manifests",
        "In watch mode, JSON files that each name the versions of all models, such as "
        "gs://BUCKET/releases/*.json; the newest is proposed.",
        group="Refresh",
        regex=_FILE,
        parent=("refresh_mode", ("watch", "both")),
    ),
    Parameter(
        "refresh_subscription",
        "Refresh subscription",
        "In event mode, the Pub/Sub subscription with refresh messages or Cloud Storage "
        "notifications, projects/PROJECT/subscriptions/NAME.",
        group="Refresh",
        param_type="PUBSUB_SUBSCRIPTION",
        regex=_SUBSCRIPTION,
        parent=("refresh_mode", ("event", "both")),
    ),
    Parameter(
        "allowed_model_uris",
        "Allowed model folders",
        "Folders, or beginnings of hub URLs, from which models may be refreshed, separated by "
        "commas. Default: the folders that the ensemble file names.",
        group="Refresh",
        regex=f"^{_MODELS}(, *{_MODELS})*$",
        parent=("refresh_mode", ("watch", "event", "both")),
    ),
    Parameter(
        "memory_policy",
        "Memory policy",
        "availability: a new version is loaded beside the one that serves, so there is no pause "
        "and memory for two is needed. resource: the old one is unloaded first, and records wait.",
        kind="choice",
        choices=("availability", "resource"),
        default="availability",
        group="Refresh",
        parent=("refresh_mode", ("watch", "event", "both")),
    ),
    Parameter(
        "release_dir",
        "Release folder",
        "Accepted releases are recorded here, and a job that is started again resumes at the last "
        "one. Local or gs://.",
        group="Refresh",
        param_type="GCS_WRITE_FOLDER",
        regex=_FOLDER,
        parent=("refresh_mode", ("watch", "event", "both")),
    ),
    Parameter(
        "release_events_path",
        "Release events prefix",
        "What became of each proposed release (accepted, rejected and why, activated...) is "
        "written here.",
        group="Refresh",
        param_type="GCS_WRITE_FILE",
        regex=_FILE,
        parent=("refresh_mode", ("watch", "event", "both")),
    ),
    Parameter(
        "release_events_topic",
        "Release events topic",
        "Pub/Sub topic for the same.",
        group="Refresh",
        param_type="PUBSUB_TOPIC",
        regex=_TOPIC,
        parent=("refresh_mode", ("watch", "event", "both")),
    ),
    # --- workers on Dataflow
    Parameter(
        "sdk_container_image",
        "Container image of workers",
        "Image that Dataflow's workers run. Default: the image that launches the job. Name the GPU "
        "image here to launch with the CPU image.",
        group="Workers",
        to_beam=True,
    ),
    Parameter(
        "accelerator",
        "GPU of each worker",
        "TYPE or TYPE:COUNT, such as nvidia-l4:1. Unless given otherwise, it also sets the machine "
        "type (g2-standard-4 for one nvidia-l4), a disk of 50 GB, one SDK process for each worker "
        "and the installation of the driver. Needs the GPU image.",
        regex="^[a-z][a-z0-9-]*(:[1-9][0-9]*)?$",
        group="Workers",
    ),
    Parameter(
        "gpu_driver",
        "GPU driver",
        "With --accelerator: default (the driver that Dataflow chooses), none (do not install "
        "one), or a driver version that Dataflow offers, such as 5xx.",
        default="default",
        regex="^[a-z0-9.]+$",
        group="Workers",
    ),
    Parameter(
        "sdk_processes",
        "Processes of each worker",
        "per_core: one Python process for each vCPU, each with its own copy of every model. one: a "
        "single process, whose threads share the models. Default: one with --accelerator, else "
        "per_core.",
        kind="choice",
        choices=("per_core", "one"),
        group="Workers",
    ),
    Parameter(
        "number_of_worker_harness_threads",
        "Threads of each process",
        "How many bundles of records a process works on at once. Default: Dataflow's choice.",
        kind="integer",
        minimum=1,
        group="Workers",
        to_beam=True,
    ),
    Parameter(
        "disk_size_gb",
        "Disk of each worker, GB",
        "Default: Dataflow's choice, or 50 with --accelerator.",
        kind="integer",
        minimum=10,
        group="Workers",
        to_beam=True,
    ),
    # --- run
    Parameter(
        "graph_path",
        "Picture of the graph",
        "The graph, with the versions of the models, is drawn to this SVG file before the job "
        "starts, and in a dry run. Local or gs://.",
        group="Run",
        param_type="GCS_WRITE_FILE",
        regex=f"^{_BUCKET}/.+[.]svg$",
    ),
    Parameter(
        "stop_after_secs",
        "Stop after seconds",
        "A local stream stops by itself after this many seconds: what is in flight is finished. 0 "
        "does not stop.",
        kind="integer",
        default="0",
        group="Run",
        local=True,
    ),
    Parameter(
        "stop_after_records",
        "Stop after records",
        "A local stream stops by itself after at least this many records: what was pulled by then "
        "is finished as well. 0 does not stop.",
        kind="integer",
        default="0",
        group="Run",
        local=True,
    ),
    Parameter(
        "dry_run",
        "Check only",
        "Check everything, load every model, draw the graph as text, print the models' signatures, "
        "and run nothing.",
        kind="boolean",
        default="false",
        group="Run",
    ),
)

BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
