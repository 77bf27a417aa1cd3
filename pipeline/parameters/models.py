"""Parameters of the models and of their refresh."""

from __future__ import annotations

from pipeline.parameters.parameter import FILE, FOLDER, MODEL_URI, SUBSCRIPTION, TOPIC, Parameter

ENSEMBLE_SPEC = Parameter(
    "ensemble_spec",
    "Ensemble file",
    "YAML or JSON file that names the record's fields, the models and how their outputs are "
    "combined. Local or gs://.",
    required=True,
    group="Models",
    param_type="GCS_READ_FILE",
    regex=FILE,
)

MODELS: tuple[Parameter, ...] = (
    Parameter(
        "device",
        "Device",
        "Where models run: auto (a GPU where there is one, else the CPU), cpu, or gpu (refuse to "
        "run without one; scikit-learn always runs on the CPU). A model's own `device` in the "
        "ensemble file takes precedence.",
        kind="choice",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        group="Models",
    ),
    Parameter(
        "max_batch_size",
        "Largest batch",
        "Most records that travel together and are handed to a model in one call. 0 means 1,024. "
        "In a batch job of small records (up to 1 KiB of numbers), it means that 4,096 travel "
        "together, of rows of tables (single values, most of them numbers) 8,192, and that a model "
        "that answers in milliseconds gets them in one call. A model's own `max_batch_size` takes "
        "precedence for its calls.",
        kind="integer",
        minimum=0,
        default="0",
        group="Models",
    ),
    Parameter(
        "max_batch_latency_ms",
        "Longest wait for a batch",
        "In a stream over Pub/Sub, how long a message may wait for others to fill a batch. 0 never "
        "waits: a batch is what has arrived in the meantime, on Dataflow what one bundle holds, "
        "often a single message. There a wait (100) is a shuffle of the messages: it costs storage "
        "and saves calls of the models.",
        kind="integer",
        minimum=0,
        default="0",
        group="Models",
    ),
    Parameter(
        "max_model_faults",
        "Model faults before failing",
        "The job fails when a model fails on every record of this many batches in a row, and on "
        "one that it predicted before. 0 never fails: each such record becomes a dead letter. On "
        "Dataflow and Flink, which would retry for ever, a stream goes on and logs an error.",
        kind="integer",
        default="10",
        group="Models",
    ),
    Parameter(
        "model_cache_dir",
        "Folder for hub modules",
        "Keeps models whose `uri` is the URL of a hub (TF Hub, Kaggle). The launch fetches each "
        "once; workers and later jobs read it from here. Default: each machine fetches its own "
        "copy. Local or gs://.",
        group="Models",
        param_type="GCS_WRITE_FOLDER",
        regex=FOLDER,
    ),
    Parameter(
        "max_hub_model_mb",
        "Size of a hub module or archive",
        "The most that a model from a hub may have, in MiB: its archive, and what the archive "
        "unpacks to. The latter also of an archive (.tar.gz, .tgz, .zip) that is a `uri`.",
        kind="integer",
        minimum=1,
        default="4096",
        group="Models",
    ),
    Parameter(
        "launch_checks",
        "Checks of models at launch",
        "What a launch does with the models: full (loads each and runs rows through the whole "
        "graph), signatures (loads each and compares what it declares with the graph, but runs "
        "nothing: for models that need a GPU), files (fetches each, loads nothing: for models that "
        "need more memory than the launcher has). What is left out each worker does before its "
        "first record. Only where workers are other machines or processes.",
        kind="choice",
        choices=("full", "signatures", "files"),
        default="full",
        group="Models",
    ),
    Parameter(
        "trial_secs",
        "CPU seconds of a trial",
        "Model versions that were never accepted are first loaded and run in a process of their "
        "own, since a damaged file may end the process that loads it or never come back. This is "
        "the most CPU time of it, and 60 s more for each GiB of files; by the clock ten times as "
        "much. 0 tries nothing: for files that you made yourself.",
        kind="integer",
        default="60",
        group="Models",
    ),
    Parameter(
        "trial_memory_mb",
        "Memory of a trial",
        "The most memory of that process, in MiB. 0 means 4,096 and eight times the size of the "
        "files. Never more than the machine, or the container, has left.",
        kind="integer",
        default="0",
        group="Models",
    ),
)

REFRESH: tuple[Parameter, ...] = (
    Parameter(
        "refresh_mode",
        "Refresh mode",
        "How new model versions are found while a job runs: off; watch (look at the "
        "models' `watch` patterns and at --release_pattern); event (messages of "
        "--refresh_subscription); both; follow (the job, batch or stream, serves what the gate of "
        "another one accepts into --release_dir, which is only read).",
        kind="choice",
        choices=("off", "watch", "event", "both", "follow"),
        default="off",
        group="Refresh",
    ),
    Parameter(
        "watch_interval_secs",
        "Seconds between looks",
        "In watch mode, the time between two looks at a pattern.",
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
        regex=FILE,
        parent=("refresh_mode", ("watch", "both")),
    ),
    Parameter(
        "refresh_subscription",
        "Refresh subscription",
        "In event mode, the Pub/Sub subscription with refresh messages or Cloud Storage "
        "notifications, projects/PROJECT/subscriptions/NAME.",
        group="Refresh",
        param_type="PUBSUB_SUBSCRIPTION",
        regex=SUBSCRIPTION,
        parent=("refresh_mode", ("event", "both")),
    ),
    Parameter(
        "allowed_model_uris",
        "Allowed model folders",
        "Folders, or beginnings of hub URLs, from which models may be refreshed, separated by "
        "commas. Default: the folders that the ensemble file names.",
        group="Refresh",
        regex=f"^{MODEL_URI}(, *{MODEL_URI})*$",
        is_list=True,
        parent=("refresh_mode", ("watch", "event", "both", "follow")),
    ),
    Parameter(
        "allowed_manifest_uris",
        "Allowed manifest folders",
        "Folders in which the release manifests that refresh messages name may lie, separated by "
        "commas. Default: the folder of --release_pattern, and --release_dir.",
        group="Refresh",
        regex=f"^{MODEL_URI}(, *{MODEL_URI})*$",
        is_list=True,
        parent=("refresh_mode", ("watch", "event", "both", "follow")),
    ),
    Parameter(
        "memory_policy",
        "Memory policy",
        "availability: a new version is loaded beside the active and the previous one, so there is "
        "no pause, but it needs memory for three. resource: the old one is unloaded first, so "
        "memory for one is enough, but records wait.",
        kind="choice",
        choices=("availability", "resource"),
        default="availability",
        group="Refresh",
        parent=("refresh_mode", ("watch", "event", "both", "follow")),
    ),
    Parameter(
        "release_dir",
        "Release folder",
        "Accepted releases are recorded here; the workers follow what is recorded, and a job that "
        "is started again resumes at the last release. Local or gs://. Needed on Dataflow where "
        "models are refreshed.",
        group="Refresh",
        param_type="GCS_WRITE_FOLDER",
        regex=FOLDER,
        parent=("refresh_mode", ("watch", "event", "both", "follow")),
    ),
    Parameter(
        "release_poll_secs",
        "Seconds between looks for a release",
        "How often each process looks in --release_dir for the next release: one small read.",
        kind="integer",
        minimum=1,
        default="5",
        group="Refresh",
        parent=("refresh_mode", ("watch", "event", "both", "follow")),
    ),
    Parameter(
        "release_events_path",
        "Release events prefix",
        "The outcome of each proposed release (accepted, rejected and why, activated...) is "
        "written here.",
        group="Refresh",
        param_type="GCS_WRITE_FILE",
        regex=FILE,
        parent=("refresh_mode", ("watch", "event", "both", "follow")),
    ),
    Parameter(
        "release_events_topic",
        "Release events topic",
        "Pub/Sub topic for the release events.",
        group="Refresh",
        param_type="PUBSUB_TOPIC",
        regex=TOPIC,
        parent=("refresh_mode", ("watch", "event", "both", "follow")),
    ),
)
