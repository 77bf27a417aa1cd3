"""``status``: which releases a job accepted, and which serves."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.commands import parsers
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.errors import ArtifactError, ParameterError, PathError
from pipeline.launch.options import RaisingParser
from pipeline.readable import readable, shown_uri, without_secrets
from pipeline.releases import history as release_history
from pipeline.releases.gate import EVERY_BUILD
from pipeline.releases.history import Entry
from pipeline.releases.log import ReleaseLog
from pipeline.releases.orders.jobs import JobEntry, JobFolder
from pipeline.releases.orders.proposals import ProposalFolder
from pipeline.releases.state import HISTORY, Accepted

REFUSED = "No status"

_PROPOSALS = 3
"""How many proposals are shown."""
_ENDED = 3
"""How many streams are shown that have ended."""


def add_parser(commands: parsers.Commands) -> RaisingParser:
    """Adds the command."""
    parser = parsers.add(
        commands,
        "status",
        "show the releases that a job accepted, which one serves, and the streams that run",
        """
        RELEASE_DIR is what the job has as --release_dir. The star marks the release accepted last:
        each process of the job serves it as soon as it has loaded it. Below are the
        streams that have this folder: those that run or were killed, and the last that ended.

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
        jobs = JobFolder(folder, LogFiles()).entries(_ENDED)
        proposals = _proposals(folder, history)
    except ArtifactError as error:
        raise PathError(str(error)) from error
    if not history and not jobs:
        raise PathError(
            f"found no accepted release in '{folder}', expected files release-000002.json and so "
            "on, as a job writes them to its --release_dir"
        )
    entries = release_history.history_entries(history)[:count]
    if arguments.json:
        shown = {"release_dir": folder, "releases": [entry.as_json() for entry in entries]}
        shown["proposals"] = proposals
        shown["jobs"] = [entry.as_json() for entry in jobs]
        print(without_secrets(json.dumps(shown, indent=2)))
        return
    if history:
        _print_releases(entries)
    if proposals:
        print("\n".join(["\nProposals, the newest last:", *map(_proposal_line, proposals)]))
    if jobs:
        print("\n".join(["\nStreams, the newest last:", *map(_job_line, jobs)]))


def _print_releases(entries: Sequence[Entry]) -> None:
    print("\n".join(release_history.table_lines(entries)))
    release = entries[0].accepted.release
    width = max(len(version.model) for version in release.versions)
    print(f"\nGeneration {release.generation}, which serves:")
    for version in release.versions:
        print(f"  {readable(version.model):<{width}}  {shown_uri(version.uri)}")


def _proposals(folder: str, history: Sequence[Accepted]) -> list[dict[str, Any]]:
    """The last proposals, and what became of each.

    Raises:
      ArtifactError: the folder cannot be read.
    """
    names = tuple(version.model for version in history[-1].release.versions) if history else ()
    log, proposals = ReleaseLog(folder, LogFiles()), ProposalFolder(folder, LogFiles(), names)
    found = []
    for name in proposals.names()[-_PROPOSALS:]:
        if (candidate := proposals.read(name)) is not None:
            verdict = log.verdict_on(candidate, EVERY_BUILD)
            told = {"outcome": verdict and verdict.outcome, "reason": verdict and verdict.reason}
            found.append({**candidate.as_json(), "name": name, **told})
    return found


def _proposal_line(proposal: Mapping[str, Any]) -> str:
    wanted = [f"{model} {uri}" for model, uri in proposal.get("models", {}).items()]
    back = proposal.get("rollback_to")
    outcome = proposal["outcome"] or "waits for a gate"
    told = f"{outcome}: {proposal['reason']}" if proposal["reason"] else outcome
    text = ", ".join(wanted) or (f"rollback to {back}" if back else "damaged")
    return without_secrets(readable(f"  {proposal['name']}  {text}: {told}"))


def _job_line(job: JobEntry) -> str:
    started = f"{job.started:%Y-%m-%d %H:%M:%S}"
    if not job.has_mark:
        return readable(f"  {job.job_id}  started {started}")
    ended = f"{job.ended:%Y-%m-%d %H:%M:%S} " if job.ended else ""
    return readable(f"  {job.job_id}  started {started}, stopped {ended}by {job.ended_by}")
