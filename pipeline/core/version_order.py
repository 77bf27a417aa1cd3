"""Which version under a pattern is the newest, and whether it is there as a whole yet.

Pure: the files of one look and what is remembered of the looks before -> a candidate or nothing.

*Order.* Numbered versions by number, 10 after 9; they come after those without a number, which are
ordered by time of modification. Only something newer than the last proposal is proposed, or the
last one again when its files changed: that deletions uncover an older version changes nothing.

*Complete.* A single file in Cloud Storage appears as a whole. A folder with its marker file is
complete when no other file of it is newer. Everything else (folders without marker, files that need
others beside them, local files, which grow under their final name) is complete when it was found
unchanged after `settle_secs`, so in two looks. A version that was caught half-written all the same
does not pass the gate, and is proposed again when it has changed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.core.candidate import Candidate
from pipeline.core.model_spec import ModelSpec
from pipeline.core.version_pattern import Number, match


@dataclass(frozen=True)
class StoredFile:
    """One file, as a storage lists it.

    Attributes:
      uri: where it is.
      size_bytes: its size.
      updated_us: when its content was written, UTC microseconds since 1970.
      fingerprint: changes with the content: an object's generation, a local file's time and size.
      part_of: the file that needs it beside it, and whose version it belongs to; else empty.
    """

    uri: str
    size_bytes: int
    updated_us: int
    fingerprint: str
    part_of: str = ""


@dataclass(frozen=True)
class WatchTarget:
    """A pattern under which versions appear.

    Attributes:
      pattern: see :mod:`pipeline.core.version_pattern`.
      models: the models that change to a new version, together; none for manifests of whole
        releases, which are files.
      complete_marker: name of the file that makes a folder complete. With it, only folders count.
    """

    pattern: str
    models: tuple[str, ...] = ()
    complete_marker: str | None = None


@dataclass(frozen=True)
class Version:
    """A file or folder that matches a pattern.

    Attributes:
      uri: where it is.
      number: from its path, if it has one.
      updated_us: of its newest file.
      fingerprint: over names, sizes and fingerprints of all its files.
      is_folder: whether files lie below `uri`.
      in_parts: whether it is a file that needs others beside it.
      marked_us: when its marker file was written; None without one.
    """

    uri: str
    number: Number | None
    updated_us: int
    fingerprint: str
    is_folder: bool
    in_parts: bool = False
    marked_us: int | None = None

    @property
    def rank(self) -> tuple[bool, Number, int, str]:
        """Sorts versions from the oldest to the newest."""
        return self.number is not None, self.number or (), self.updated_us, self.uri

    @property
    def appears_whole(self) -> bool:
        """Whether a reader never sees a part of it."""
        return not (self.is_folder or self.in_parts) and self.uri.startswith("gs://")

    def replaces(self, other: Version | None) -> bool:
        """Whether it is to be served in place of `other`."""
        if other is None:
            return True
        overwritten = self.uri == other.uri and self.fingerprint != other.fingerprint
        return overwritten or self.rank > other.rank


@dataclass(frozen=True)
class Sighting:
    """Since when a version looks as it does."""

    fingerprint: str
    since_secs: float


@dataclass(frozen=True)
class Look:
    """What is remembered of a target from one look to the next.

    Attributes:
      seen: URI -> sighting, for all versions of the last look.
      proposed: the last version that was proposed.
      waiting: the newest version, if it is to be proposed and not complete yet.
      settling: whether time alone can make `waiting` complete; else its marker is missing.
    """

    seen: Mapping[str, Sighting] = field(default_factory=dict)
    proposed: Version | None = None
    waiting: Version | None = None
    settling: bool = False


def watch_targets(
    models: Iterable[ModelSpec], release_pattern: str | None = None
) -> tuple[WatchTarget, ...]:
    """What is to be watched. Models that share a pattern and a marker change together."""
    sharing: defaultdict[tuple[str, str | None], list[str]] = defaultdict(list)
    for model in models:
        if model.watch is not None:
            sharing[model.watch, model.complete_marker].append(model.name)
    targets = [WatchTarget(key[0], tuple(names), key[1]) for key, names in sharing.items()]
    if release_pattern:
        targets.append(WatchTarget(release_pattern))
    return tuple(targets)


def versions(target: WatchTarget, files: Iterable[StoredFile]) -> list[Version]:
    """The versions that `files` make up, oldest first; files outside the pattern do not count."""
    below: defaultdict[str, dict[str, StoredFile]] = defaultdict(dict)
    numbers: dict[str, Number | None] = {}
    for file in files:
        found = match(target.pattern, file.part_of or file.uri)
        if found is not None:
            # Beside a file nothing lies below it: no name begins with "/".
            below[found.uri][f"/{file.uri}" if file.part_of else found.relative] = file
            numbers[found.uri] = found.number
    made = (_version(target, uri, numbers[uri], inside) for uri, inside in below.items())
    return sorted((version for version in made if version), key=lambda version: version.rank)


def next_look(
    target: WatchTarget,
    previous: Look,
    files: Iterable[StoredFile],
    *,
    now_secs: float,
    settle_secs: float,
) -> tuple[Look, Candidate | None]:
    """One look: what to remember of it, and what to propose because of it.

    Args:
      target: what is watched.
      previous: the last look; ``Look()`` before the first, which proposes the newest version
        whatever its age.
      files: all files under the pattern.
      now_secs: when they were listed; any clock that only goes forward.
      settle_secs: how long something must stay unchanged to be complete.
    """
    found = versions(target, files)
    seen = {version.uri: _sighting(version, previous, now_secs) for version in found}
    newer = [version for version in found if version.replaces(previous.proposed)]
    complete = [
        version
        for version in newer
        if _is_complete(target, version, now_secs - seen[version.uri].since_secs >= settle_secs)
    ]
    proposed = complete[-1] if complete else previous.proposed
    waiting = newer[-1] if newer and newer[-1] != proposed else None
    unmarked = target.complete_marker is not None and waiting and waiting.marked_us is None
    look = Look(seen, proposed, waiting, settling=waiting is not None and not unmarked)
    return look, _candidate(target, complete[-1], found) if complete else None


def _version(
    target: WatchTarget, uri: str, number: Number | None, inside: dict[str, StoredFile]
) -> Version | None:
    """One version of the files at (relative path "") and below `uri`; None if it does not count."""
    is_folder = any(name and not name.startswith("/") for name in inside)
    if is_folder:
        inside.pop("", None)  # an object store can have a file and a "folder" of one name
    if (target.complete_marker and not is_folder) or (is_folder and not target.models):
        return None
    marker = inside.get(target.complete_marker) if target.complete_marker else None
    lines = sorted(f"{name}\0{f.size_bytes}\0{f.fingerprint}" for name, f in inside.items())
    return Version(
        uri=uri,
        number=number,
        updated_us=max(file.updated_us for file in inside.values()),
        fingerprint=hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16],
        is_folder=is_folder,
        in_parts=not is_folder and len(inside) > 1,
        marked_us=marker.updated_us if marker else None,
    )


def _sighting(version: Version, previous: Look, now_secs: float) -> Sighting:
    known = previous.seen.get(version.uri)
    if known is not None and known.fingerprint == version.fingerprint:
        return known
    return Sighting(version.fingerprint, now_secs)


def _is_complete(target: WatchTarget, version: Version, settled: bool) -> bool:
    if target.complete_marker is None:
        return settled or version.appears_whole
    if version.marked_us is None:
        return False
    return settled or version.marked_us >= version.updated_us


def _candidate(target: WatchTarget, version: Version, found: list[Version]) -> Candidate:
    subject = ",".join(target.models) or "release"
    return Candidate(
        candidate_id=f"{subject}={version.uri}#{version.fingerprint}",
        source=f"watch {target.pattern}",
        sequence_us=_sequence_us(version, found),
        models=dict.fromkeys(target.models, version.uri),
        manifest_uri=None if target.models else version.uri,
    )


def _sequence_us(version: Version, found: list[Version]) -> int:
    """Time of modification, but after that of every lower number: numbers outrank times."""
    sequence_us = 0
    for older in found:
        if older.number is not None or older == version:
            sequence_us = max(older.updated_us, sequence_us + 1)
        if older == version:
            break
    return sequence_us
