"""``status``: which releases a job accepted, and which serves."""

from __future__ import annotations

import argparse
import json

from pipeline.commands import parsers
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.errors import ArtifactError, ParameterError, PathError
from pipeline.launch.options import RaisingParser
from pipeline.readable import readable, shown_uri, without_secrets
from pipeline.releases import history as release_history
from pipeline.releases.log import ReleaseLog
from pipeline.releases.state import HISTORY

REFUSED = "No status"


def add_parser(commands: parsers.Commands) -> RaisingParser:
    """Adds the command."""
    parser = parsers.add(
        commands,
        "status",
        "show the releases that a job accepted, what each changed, and which one serves",
        """
        RELEASE_DIR is what the job has as --release_dir. The star marks the release accepted last:
        each process of the job serves it as soon as it has loaded it. The release of the launch is
        not recorded there, so a job that has accepted nothing yet has no status.

        examples:
          python -m pipeline status gs://BUCKET/releases
          python -m pipeline status gs://BUCKET/releases --last 5
          python -m pipeline status gs://BUCKET/releases --json | jq .releases[0].models
        """,
    )
    parser.add_argument("release_dir", metavar="RELEASE_DIR", help="local folder or gs://")
    parser.add_argument(
        "--last", metavar="N", default="20", help="show at most so many releases; default 20"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with URIs and digests")
    return parser


def run_command(arguments: argparse.Namespace) -> None:
    """Prints the releases, newest first.

    Raises:
      LaunchError: the folder cannot be read, or holds no accepted release.
    """
    folder = arguments.release_dir
    if not arguments.last.isdecimal() or int(arguments.last) < 1:
        raise ParameterError(f"--last: found '{arguments.last}', expected an integer of at least 1")
    count = int(arguments.last)
    try:
        # More than are shown, to know what the last one changed and what a rollback returned to.
        history = ReleaseLog(folder, LogFiles()).load_history(count + HISTORY)
    except ArtifactError as error:
        raise PathError(str(error)) from error
    if not history:
        raise PathError(
            f"found no accepted release in '{folder}', expected files release-000002.json and so "
            "on, as a job writes them to its --release_dir"
        )
    entries = release_history.history_entries(history)[:count]
    if arguments.json:
        shown = {"release_dir": folder, "releases": [entry.as_json() for entry in entries]}
        print(without_secrets(json.dumps(shown, indent=2)))
        return
    print("\n".join(release_history.table_lines(entries)))
    release = history[-1].release
    width = max(len(version.model) for version in release.versions)
    print(f"\nGeneration {release.generation}, which serves:")
    for version in release.versions:
        print(f"  {readable(version.model):<{width}}  {shown_uri(version.uri)}")
