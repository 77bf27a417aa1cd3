"""What a build may have of known vulnerabilities (cloudbuild.yaml, steps `audit` and `scan`).

    python .ci/vulnerabilities.py accepted    # the ids that are accepted today
    python .ci/vulnerabilities.py gate --found=vulnerabilities.json --least=CRITICAL

`gate` reads what `gcloud artifacts docker images list-vulnerabilities --format=json` prints:
occurrences of the Container Analysis API. It needs the standard library only.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SEVERITIES = ("MINIMAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")
_FILE = Path("accepted-vulnerabilities.txt")


def accepted(lines: Sequence[str], today: datetime.date) -> set[str]:
    """The ids that are accepted on that day.

    Raises:
      ValueError: a line lacks its date or its reason.
    """
    ids = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split(maxsplit=2)
        try:
            last_day = datetime.date.fromisoformat(words[1])
            if len(words) < 3:
                raise ValueError
        except (IndexError, ValueError):
            raise ValueError(
                f"{_FILE}:{number}: found {line.strip()!r}, expected an id, the last day as "
                "YYYY-MM-DD, and a reason"
            ) from None
        if today <= last_day:
            ids.add(words[0])
    return ids


def blocking(
    found: Sequence[dict[str, Any]], least: str, exceptions: set[str]
) -> list[tuple[str, str, str]]:
    """(severity, id, packages with their fixes) of each occurrence that stops a build, sorted.

    What nobody has fixed yet stops nothing: no build could be made until then. A severity that is
    not known counts as the highest.
    """
    stops = []
    for occurrence in found:
        vulnerability = occurrence["vulnerability"]
        name = occurrence["noteName"].rpartition("/")[2]
        severity = vulnerability.get("effectiveSeverity", "")
        rank = SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
        fixes = [text for issue in vulnerability["packageIssue"] if (text := _fix(issue))]
        if fixes and rank >= SEVERITIES.index(least) and name not in exceptions:
            stops.append((severity or "of unknown severity", name, ", ".join(fixes)))
    return sorted(stops)


def _fix(issue: dict[str, Any]) -> str:
    """What to upgrade to; empty where there is no fix.

    The API says so by `fixAvailable`, and by a fixed version that is no version (kind MAXIMUM).
    """
    fixed = issue.get("fixedVersion", {})
    if not issue.get("fixAvailable", fixed.get("kind") == "NORMAL"):
        return ""
    version = issue.get("affectedVersion", {}).get("fullName", "?")
    return f"{issue['affectedPackage']} {version} -> {fixed.get('fullName', '?')}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 nothing stops the build, 1 something does, 2 a file cannot be read."""
    parser = argparse.ArgumentParser(description="Known vulnerabilities that stop a build.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("accepted", help="print the ids that are accepted today")
    gate = commands.add_parser("gate", help="fail if a vulnerability stops the build")
    gate.add_argument("--found", type=Path, required=True)
    gate.add_argument("--least", choices=SEVERITIES, required=True)
    options = parser.parse_args(arguments)
    try:
        today = datetime.datetime.now(datetime.UTC).date()
        exceptions = accepted(_FILE.read_text().splitlines(), today)
        if options.command == "accepted":
            print(*sorted(exceptions), sep="\n")
            return 0
        found = json.loads(options.found.read_text())
        if not isinstance(found, list):
            raise TypeError(f"{options.found}: found {type(found).__name__}, expected a list")
        stops = blocking(found, options.least, exceptions)
    except (KeyError, TypeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    for severity, name, packages in stops:
        print(f"{severity} {name}: {packages}")
    if stops:
        print(
            "Not pushed: the vulnerabilities above have a fix. Take newer bases and requirements "
            f"(CONTRIBUTING.md), or name what is accepted, until when, and why, in {_FILE}",
            file=sys.stderr,
        )
        return 1
    print(f"{len(found)} known vulnerabilities, none with a fix of {options.least} or higher")
    return 0


if __name__ == "__main__":
    sys.exit(main())
