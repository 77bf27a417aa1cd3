"""``stop``: ask running jobs to end, wherever their processes are."""

from __future__ import annotations

import argparse

from pipeline.commands import parsers
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.errors import ArtifactError, ParameterError, PathError
from pipeline.launch.options import RaisingParser
from pipeline.releases.gate import utc_now
from pipeline.releases.orders.jobs import JobFolder, is_job_id, name_in

REFUSED = "Not stopped"

_BY = "python -m pipeline stop"


def add_parser(commands: parsers.Commands) -> RaisingParser:
    """Adds the command."""
    parser = parsers.add(
        commands,
        "stop",
        "ask running streams to end: they finish what is in flight, and exit with 0",
        """
        Writes a mark for each job to --release_dir, which every process of the job looks at every
        --release_poll_secs. A mark is for one launch: it stops no later one of the same name. A job
        on Dataflow is drained instead: gcloud dataflow jobs drain JOB_ID.

        examples:
          python -m pipeline stop --release_dir=gs://BUCKET/releases
          python -m pipeline stop --release_dir=gs://BUCKET/releases --job_name=digits
        """,
    )
    parser.add_argument("--release_dir", metavar="DIR", help="as the job has it")
    parser.add_argument(
        "--job_name",
        metavar="NAME",
        help="as the job has it, else the name of its ensemble; or the longer name of one launch, "
        "which `status` shows. Default: all streams that have this --release_dir",
    )
    return parser


def run_command(arguments: argparse.Namespace) -> None:
    """Writes the marks.

    Raises:
      LaunchError: the folder cannot be used, or no job of that name runs.
    """
    folder, name = arguments.release_dir, arguments.job_name
    if not folder:
        raise ParameterError("--release_dir is missing: the folder of the job that is to end")
    jobs = JobFolder(folder, LogFiles())
    try:
        for job_id in _chosen(jobs, name):
            print(f"asked {job_id} to end: {jobs.stop(job_id, _BY, utc_now())}")
    except ArtifactError as error:
        raise PathError(str(error)) from error


def _chosen(jobs: JobFolder, name: str | None) -> list[str]:
    """The ids of the jobs to stop.

    Raises:
      PathError: there is none.
      ArtifactError: the folder cannot be read.
    """
    if chosen := jobs.running(name):
        return chosen
    if name is not None and is_job_id(name):  # of a job that may only read the folder
        return [name]
    others = ", ".join(sorted({name_in(job_id) for job_id in jobs.running()})) or "none"
    raise PathError(
        f"no stream{f' called {name!r}' if name else ''} has entered itself in {jobs.folder}/jobs, "
        f"or it was stopped before; those that run: {others}. A job on Dataflow is drained "
        "instead: gcloud dataflow jobs drain JOB_ID"
    )
