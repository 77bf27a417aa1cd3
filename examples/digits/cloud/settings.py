"""What a first launch was told, and the names of everything that it makes."""

from __future__ import annotations

import argparse
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PUBLISHED = "published"
_RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")


@dataclass(frozen=True)
class Settings:
    """The command line.

    Attributes:
      project: id of the project.
      region: where the jobs run.
      bucket: name of a bucket, without gs://.
      image: "published" for the template that the last build published, else an image.
      run_id: names this run and all that it makes.
      output_dir: what train.py, make_records.py and main.py wrote.
      service_account: of the workers and launchers.
      subnetwork: of the workers, which then have no public addresses; "" for the network "default".
      machine_type: of workers.
      launcher_machine_type: of launchers.
      max_workers: of each job.
      max_minutes: bound on the run.
      max_usd: bound on its cost.
      poll_secs: time between looks.
      watch_interval_secs: parameter of the stream.
      endpoint: of a stand-in for Google's services; "" for Google's.
      dry_run: whether calls are only printed.
      inherited_roles: whether the workers' roles are granted where nobody can look.
      remove: whether only to remove what `run_id` left behind.
    """

    project: str
    region: str
    bucket: str
    image: str
    run_id: str
    output_dir: Path
    service_account: str
    subnetwork: str
    machine_type: str
    launcher_machine_type: str
    max_workers: int
    max_minutes: float
    max_usd: float
    poll_secs: float
    watch_interval_secs: int
    endpoint: str
    dry_run: bool
    inherited_roles: bool
    remove: bool

    @property
    def template(self) -> str:
        """URI of the template spec that is launched."""
        if self.image == PUBLISHED:
            return f"gs://{self.bucket}/templates/ensemble/latest.json"
        return f"{self.folder}/template.json"

    @property
    def folder(self) -> str:
        """URI of the folder that holds everything of this run, without a slash at the end."""
        return f"gs://{self.bucket}/first-launch/{self.run_id}"

    @property
    def page(self) -> Path:
        """The report."""
        return self.output_dir / "first-launch" / f"{self.run_id}.html"

    def job(self, name: str) -> str:
        """Name of a job, such as "batch"."""
        return f"first-launch-{name}-{self.run_id}"

    def topic(self, name: str) -> str:
        """Full name of a topic, such as "records"."""
        return f"projects/{self.project}/topics/first-launch-{self.run_id}-{name}"

    def subscription(self, name: str) -> str:
        """Full name of the subscription to the topic of that name."""
        return f"projects/{self.project}/subscriptions/first-launch-{self.run_id}-{name}"


JOBS = ("batch", "stream", "check")
TOPICS_IN = ("records", "refresh")
TOPICS_OUT = ("predictions", "dead-letters", "events")


def parse(argv: Sequence[str] | None = None) -> Settings:
    """Reads the command line; ends the process with status 2 if it is wrong."""
    parser = _parser()
    told = parser.parse_args(argv)
    told.bucket = told.bucket.removeprefix("gs://").strip("/")
    if not re.fullmatch("[a-z0-9][a-z0-9._-]+", told.bucket):
        parser.error(f"--bucket: found {told.bucket!r}, expected the name of a bucket")
    for name in ("max_workers", "max_minutes", "max_usd"):
        if not getattr(told, name) > 0:
            parser.error(f"--{name}: found {getattr(told, name)}, expected more than 0")
    left = told.remove
    if left and not _RUN_ID.fullmatch(left):
        parser.error(f"--remove: found {left!r}, expected the name of a run, from its first line")
    return Settings(
        **{
            **vars(told),
            "remove": bool(left),
            "run_id": left or new_run_id(),
            "image": told.image or PUBLISHED,
            "service_account": told.service_account
            or f"ensemble-worker@{told.project}.iam.gserviceaccount.com",
        }
    )


def new_run_id() -> str:
    """A name for a run."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="first_launch.py",
        description="Launches the digits example on Dataflow, and proves it.",
    )
    add = parser.add_argument
    add("--project", required=True)
    add("--region", required=True)
    add("--bucket", required=True, help="an existing bucket, in the region")
    add("--image", help='"published" (default): what cloudbuild.yaml published; or an image')
    add("--output_dir", type=Path, default=Path("build/digits"), help="of the demo's files")
    add("--service_account", help="of workers; default ensemble-worker@PROJECT...")
    add("--subnetwork", default="", help="regions/REGION/subnetworks/NAME; no public addresses")
    add("--machine_type", default="n2-standard-2", help="of workers")
    add("--launcher_machine_type", default="e2-standard-4")
    add("--max_workers", type=int, default=2, help="of each job")
    add("--max_minutes", type=float, default=45, help="then everything is removed")
    add("--max_usd", type=float, default=5, help="the same, by an estimate at list prices")
    add(
        "--dry-run", "--dry_run", dest="dry_run", action="store_true", help="print calls, make none"
    )
    add(
        "--inherited_roles",
        action="store_true",
        help="do not look for the workers' roles: a folder, an organization or a group grants them",
    )
    add("--remove", default="", metavar="RUN", help="only remove what a run left behind")
    add("--poll_secs", type=float, default=5, help=argparse.SUPPRESS)
    add("--watch_interval_secs", type=int, default=10, help=argparse.SUPPRESS)
    add("--endpoint", default="", help=argparse.SUPPRESS)
    return parser
