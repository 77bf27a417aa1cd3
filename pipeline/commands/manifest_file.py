"""The file of a manifest: whether watch mode would take it for the newest of its folder."""

from __future__ import annotations

from pathlib import Path

from pipeline.connectors import paths
from pipeline.connectors.listing import StorageLister
from pipeline.core.version_order import Version, WatchTarget, versions
from pipeline.core.version_pattern import match
from pipeline.errors import ArtifactError, ArtifactNotFoundError, PathError


def check(location: str, *, overwrite: bool) -> None:
    """Makes sure that a manifest can be written there and would be proposed.

    Assumed is that the job watches all files of the folder with the same ending.

    Raises:
      PathError: it is a folder, is there already, cannot be written, or another file of the folder
        has a higher number; says which name would do.
    """
    if location.endswith("/") or Path(location).is_dir():
        proposed = _following(_beside(f"{location.rstrip('/')}/x.json"))
        raise PathError(
            f"'{location}' is a folder, expected a file such as {proposed or '000001.json'} in it"
        )
    beside = _beside(location)
    if any(version.uri == location for version in beside):
        if not overwrite:
            raise PathError(f"{location} is there already; give another name, or --overwrite")
        beside = [version for version in beside if version.uri != location]
    found = match(_pattern(location), location)
    number = found.number if found else None
    newest = beside[-1] if beside else None
    if newest and newest.number is not None and (number is None or number < newest.number):
        name = _following(beside)
        raise PathError(
            f"{newest.uri} beside it has a higher number, so watch mode would never propose "
            f"{location}" + (f"; call it {name}" if name else "")
        )
    paths.check_writable(location)


def _pattern(location: str) -> str:
    folder, slash, name = location.rpartition("/")
    ending = name[name.rindex(".") :] if "." in name[1:] else ""
    return f"{folder}{slash}*{ending}"


def _beside(location: str) -> list[Version]:
    """The manifests of the folder, oldest first."""
    pattern = _pattern(location)
    if "/" not in pattern:
        pattern = f"./{pattern}"
    try:
        files = StorageLister().list_files(pattern)
    except ArtifactNotFoundError:
        return []  # the folder of a local file is made
    except ArtifactError as error:
        raise PathError(str(error)) from error
    return versions(WatchTarget(pattern), files)


def _following(beside: list[Version]) -> str | None:
    """The name after that of the newest file, where that is a plain number."""
    name = beside[-1].uri.rpartition("/")[2] if beside else ""
    digits = name.partition(".")[0]
    if not digits.isdecimal():
        return None
    return f"{int(digits) + 1:0{len(digits)}d}{name[len(digits) :]}"
