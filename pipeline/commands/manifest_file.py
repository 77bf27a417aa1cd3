"""The place of a manifest: whether watch mode would take it as the newest of its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.connectors.storage import paths
from pipeline.connectors.storage.listing import StorageLister
from pipeline.errors import ArtifactError, ArtifactNotFoundError, PathError
from pipeline.releases.version_rule import VersionRule, rule_of
from pipeline.releases.versions import Version, WatchTarget, ordered, versions


def check_location(location: str, *, overwrite: bool) -> None:
    """Makes sure that a manifest can be written there and would be proposed.

    Assumes that the job watches all files of the folder with the same ending.

    Raises:
      PathError: it is a folder, exists already, cannot be written, or another file of the folder
        has a higher number; suggests a name.
    """
    if location.endswith("/") or Path(location).is_dir():
        inside = f"{location.rstrip('/')}/x.json"
        beside = _beside(inside)
        rule = rule_of(_pattern(inside), [version.uri for version in beside])
        proposed = _following(ordered(beside, rule)[0] if rule else [])
        raise PathError(
            f"'{location}' is a folder, expected a file such as {proposed or '000001.json'} in it"
        )
    beside = _beside(location)
    written = _with_folder(location)
    if any(version.uri == written for version in beside):
        if not overwrite:
            raise PathError(f"{location} is there already; give another name, or --overwrite")
        beside = [version for version in beside if version.uri != written]
    rule = rule_of(_pattern(location), [version.uri for version in beside])
    fitting = ordered(beside, rule)[0] if rule else []
    if rule is not None and (problem := _never_proposed(written, rule, fitting)):
        name = _following(fitting)
        raise PathError(problem + (f"; call it {name}" if name else ""))
    paths.check_writable(location)


def _never_proposed(location: str, rule: VersionRule, fitting: Sequence[Version]) -> str | None:
    """Why watch mode would pass over a manifest beside others, oldest first; None if it would not.

    Under the pattern either the number decides or the time; by time, what is written now is the
    newest.
    """
    if not rule.fits(location):
        return f"watch mode would pass over it: {rule.misfit(location)}"
    number, newest = rule.numbers(location), fitting[-1].uri
    if number is None or number >= (rule.numbers(newest) or ()):
        return None
    return f"{newest} beside it has a higher number, so watch mode would never propose {location}"


def _pattern(location: str) -> str:
    folder, slash, name = _with_folder(location).rpartition("/")
    ending = name[name.rindex(".") :] if "." in name[1:] else ""
    return f"{folder}{slash}*{ending}"


def _with_folder(location: str) -> str:
    return location if "/" in location else f"./{location}"


def _beside(location: str) -> list[Version]:
    """The manifests of the folder."""
    pattern = _pattern(location)
    try:
        files = StorageLister().list_files(pattern)
    except ArtifactNotFoundError:
        return []  # writing makes the folder of a local file
    except ArtifactError as error:
        raise PathError(str(error)) from error
    return versions(WatchTarget(pattern), files)


def _following(beside: Sequence[Version]) -> str | None:
    """The name that follows the newest file's, if that is a plain number; `beside` oldest first."""
    name = beside[-1].uri.rpartition("/")[2] if beside else ""
    digits = name.partition(".")[0]
    if not digits.isdecimal():
        return None
    return f"{int(digits) + 1:0{len(digits)}d}{name[len(digits) :]}"
