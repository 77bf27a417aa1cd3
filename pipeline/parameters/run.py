"""Parameters of the workers and of the run."""

from __future__ import annotations

from pipeline.parameters.parameter import BUCKET, Parameter

WORKERS: tuple[Parameter, ...] = (
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
        "Bundles of records that a process works on at once. Default: Dataflow's choice.",
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
)

RUN: tuple[Parameter, ...] = (
    Parameter(
        "graph_path",
        "Picture of the graph",
        "SVG file to which the graph, with the versions of the models, is drawn before the job "
        "starts and in a dry run. Local or gs://.",
        group="Run",
        param_type="GCS_WRITE_FILE",
        regex=f"^{BUCKET}/.+[.]svg$",
    ),
    Parameter(
        "stop_after_secs",
        "Stop after seconds",
        "A local stream stops after this many seconds and finishes what is in flight. 0 never "
        "stops.",
        kind="integer",
        default="0",
        group="Run",
        local=True,
    ),
    Parameter(
        "stop_after_records",
        "Stop after records",
        "A local stream stops after at least this many records and finishes what it has read by "
        "then. 0 never stops.",
        kind="integer",
        default="0",
        group="Run",
        local=True,
    ),
    Parameter(
        "max_dead_letter_percent",
        "Most dead letters, percent",
        "A batch job fails, with exit status 1, when more than this share of its records are dead "
        "letters, or when none got a prediction. All output is written nevertheless.",
        kind="number",
        default="100",
        maximum=100,
        group="Run",
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
