"""Which version under a pattern is the newest, and whether it is complete.

Pure functions: from the files of one look and the memory of earlier looks to candidates.

*Order.* One rule for the whole pattern, by number or by time of modification
(:mod:`pipeline.releases.version_rule`). If none is fixed yet, the existing versions make
it, and it is kept as soon as one of them is proposed. Only something newer than the last proposal
is proposed, or the last one again if its files changed; deletions that uncover an older version
change nothing.

*Passed over.* A version whose name does not fit the rule, and one that appears later but is older
by its number, are reported once, as a candidate that only holds the reason.

*Complete.* A single file in Cloud Storage appears as a whole. A folder with its marker file is
complete when no other file of it is newer. Everything else (folders without marker, files that need
others beside them, local files, which grow under their final name) is complete when it was found
unchanged after `settle_secs`, so in two looks. A version that was caught half-written all the same
does not pass the gate, and is proposed again when it has changed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.batch.version_number import Numbers
from pipeline.releases.candidate import Candidate
from pipeline.releases.version_rule import VersionRule, rule_of
from pipeline.spec.model import ModelSpec
from pipeline.spec.uris import bucket_of
from pipeline.spec.version_pattern import match

_SHOWN = 5
"""The most names in one event."""


@dataclass(frozen=True)
class StoredFile:
    """One file, as a storage lists it.

    Attributes:
      uri: its place.
      size_bytes: its size.
      updated_us: the time at which its content was written, UTC microseconds since 1970.
      fingerprint: changes with the content: an object's generation, a local file's time and size.
      part_of: the file that needs it beside it, and whose version it belongs to; else empty.
      unread: whether it may need others beside it, for which nobody has looked.
    """

    uri: str
    size_bytes: int
    updated_us: int
    fingerprint: str
    part_of: str = ""
    unread: bool = False


@dataclass(frozen=True)
class WatchTarget:
    """A pattern under which versions appear.

    Attributes:
      pattern: see :mod:`pipeline.spec.version_pattern`.
      models: the models that change to a new version, together; none for manifests of whole
        releases, which are files.
      complete_marker: name of the file that makes a folder complete. With it, only folders count.
      rule: how the versions are ordered; None where that is not fixed yet.
    """

    pattern: str
    models: tuple[str, ...] = ()
    complete_marker: str | None = None
    rule: VersionRule | None = None


@dataclass(frozen=True)
class Version:
    """A file or folder that matches a pattern.

    Attributes:
      uri: where it is.
      updated_us: of its newest file.
      fingerprint: over names, sizes and fingerprints of all its files.
      is_folder: whether files lie below `uri`.
      in_parts: whether it is a file that needs others beside it, or may do so.
      marked_us: when its marker file was written; None without one.
    """

    uri: str
    updated_us: int
    fingerprint: str
    is_folder: bool
    in_parts: bool = False
    marked_us: int | None = None

    @property
    def appears_whole(self) -> bool:
        """Whether a reader never sees a part of it."""
        return not (self.is_folder or self.in_parts) and bucket_of(self.uri) is not None


def rank(version: Version | StoredFile, rule: VersionRule) -> tuple[Numbers, int, str]:
    """Sorts versions that fit a rule from the oldest to the newest."""
    return rule.numbers(version.uri) or (), version.updated_us, version.uri


@dataclass(frozen=True)
class Sighting:
    """The time since which a version is unchanged."""

    fingerprint: str
    since_secs: float


@dataclass(frozen=True)
class Look:
    """The memory of a target from one look to the next.

    Attributes:
      seen: URI -> sighting, for all versions of the last look.
      proposed: the last version that was proposed.
      waiting: the newest version, if it is to be proposed and not complete yet.
      settling: whether time alone can make `waiting` complete; else its marker is missing.
      rule: how the versions are ordered; None as long as nothing was proposed.
      told: URI -> fingerprint, for versions about which nothing more needs to be reported.
    """

    seen: Mapping[str, Sighting] = field(default_factory=dict)
    proposed: Version | None = None
    waiting: Version | None = None
    settling: bool = False
    rule: VersionRule | None = None
    told: Mapping[str, str] = field(default_factory=dict)


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
    """The versions that `files` make up, sorted by URI; files outside the pattern do not count."""
    below: defaultdict[str, dict[str, StoredFile]] = defaultdict(dict)
    files = list(files)
    parts = {file.uri for file in files if file.part_of}
    for file in files:
        found = match(target.pattern, file.part_of or file.uri)
        if found is not None and (file.part_of or file.uri not in parts):
            # Beside a file nothing lies below it: no name begins with "/".
            below[found.uri][f"/{file.uri}" if file.part_of else found.relative] = file
    made = (_version(target, uri, inside) for uri, inside in sorted(below.items()))
    return [version for version in made if version]


def rule_for(target: WatchTarget, found: Iterable[Version]) -> VersionRule | None:
    """The rule of a target: the one that is fixed, else the one that its versions make.

    None where there are no versions.
    """
    if target.rule is not None:
        return target.rule
    return rule_of(target.pattern, [v.uri for v in found if counts(target, v)])


def counts(target: WatchTarget, version: Version) -> bool:
    """Whether something under the pattern is a version: with a marker, if it holds that."""
    return target.complete_marker is None or version.marked_us is not None


def ordered(found: Iterable[Version], rule: VersionRule) -> tuple[list[Version], list[Version]]:
    """The versions that fit the rule, oldest first, and those that do not."""
    fitting = [version for version in found if rule.fits(version.uri)]
    others = [version for version in found if not rule.fits(version.uri)]
    return sorted(fitting, key=lambda version: rank(version, rule)), others


def next_look(
    target: WatchTarget,
    previous: Look,
    files: Iterable[StoredFile],
    *,
    now_secs: float,
    settle_secs: float,
) -> tuple[Look, list[Candidate]]:
    """One look: what to remember of it, and what to propose or report because of it.

    Args:
      target: what is watched.
      previous: the last look; ``Look()`` before the first, which proposes the newest version
        whatever its age.
      files: all files under the pattern.
      now_secs: when they were listed; any clock that only goes forward.
      settle_secs: how long something must stay unchanged to be complete.

    Returns:
      the look, and at most two candidates: one for what is passed over, then the newest version.
    """
    found = versions(target, files)
    seen = {version.uri: _sighting(version, previous, now_secs) for version in found}
    rule = previous.rule or rule_for(target, found)
    if rule is None:  # nothing counts
        waiting = max(found, key=lambda version: version.updated_us, default=None)
        return replace(previous, seen=seen, waiting=waiting, settling=False), []
    fitting, others = ordered(found, rule)
    settled = {v.uri for v in found if now_secs - seen[v.uri].since_secs >= settle_secs}
    newer = [version for version in fitting if _replaces(version, previous.proposed, rule)]
    new = {version.uri for version in newer}
    complete = [version for version in newer if _is_complete(target, version, settled)]
    proposed = complete[-1] if complete else previous.proposed
    waiting = newer[-1] if newer and newer[-1] != proposed else None
    unmarked = target.complete_marker is not None and waiting and waiting.marked_us is None
    known = [version for version in fitting if version.uri not in new]
    there = [version for version in (*known, *others) if _is_complete(target, version, settled)]
    reasons = _reasons(previous, rule, there)
    told = {uri: print_ for uri, print_ in previous.told.items() if uri in seen}
    told |= {version.uri: version.fingerprint for version in there if version.uri in reasons}
    if complete:  # older versions that were there before a proposal are not reported
        older = fitting[: fitting.index(complete[-1]) + 1]
        told |= {version.uri: version.fingerprint for version in older}
    look = Look(
        seen,
        proposed,
        waiting,
        settling=waiting is not None and not unmarked,
        rule=rule if proposed else None,
        told=told,
    )
    candidates = [_passed_over(target, there, reasons)] if reasons else []
    candidates += [candidate_of(target, complete[-1], fitting, rule)] if complete else []
    return look, candidates


def _replaces(version: Version, other: Version | None, rule: VersionRule) -> bool:
    """Whether it is to be served instead of `other`."""
    if other is None:
        return True
    overwritten = version.uri == other.uri and version.fingerprint != other.fingerprint
    return overwritten or rank(version, rule) > rank(other, rule)


def _reasons(previous: Look, rule: VersionRule, there: Iterable[Version]) -> dict[str, str]:
    """URI -> why a version is passed over, for those not reported before.

    Args:
      previous: the look before.
      rule: how the versions are ordered.
      there: those that do not fit it, or are not newer than the last proposal.
    """
    last = previous.proposed
    reasons = {}
    for version in there:
        if previous.told.get(version.uri) == version.fingerprint:
            continue
        if not rule.fits(version.uri):
            reasons[version.uri] = rule.misfit(version.uri)
        elif last is not None and version.updated_us > last.updated_us:
            reasons[version.uri] = f"{version.uri} came later than {last.uri}, and is older"
    return reasons


def _version(target: WatchTarget, uri: str, inside: dict[str, StoredFile]) -> Version | None:
    """One version of the files at (relative path "") and below `uri`; None if it does not count."""
    is_folder = any(name and not name.startswith("/") for name in inside)
    if is_folder:
        inside.pop("", None)  # an object store can have a file and a "folder" of one name
    if (target.complete_marker and not is_folder) or (is_folder and not target.models):
        return None
    marker = inside.get(target.complete_marker) if target.complete_marker else None
    lines = (f"{name}\0{f.size_bytes}\0{f.fingerprint}" for name, f in inside.items())
    return Version(
        uri=uri,
        updated_us=max(file.updated_us for file in inside.values()),
        fingerprint=_digest(lines),
        is_folder=is_folder,
        in_parts=not is_folder and (len(inside) > 1 or any(f.unread for f in inside.values())),
        marked_us=marker.updated_us if marker else None,
    )


def _sighting(version: Version, previous: Look, now_secs: float) -> Sighting:
    known = previous.seen.get(version.uri)
    if known is not None and known.fingerprint == version.fingerprint:
        return known
    return Sighting(version.fingerprint, now_secs)


def _is_complete(target: WatchTarget, version: Version, settled: Container[str]) -> bool:
    if target.complete_marker is None:
        return version.uri in settled or version.appears_whole
    if version.marked_us is None:
        return False
    return version.uri in settled or version.marked_us >= version.updated_us


def candidate_of(
    target: WatchTarget, version: Version, fitting: Sequence[Version], rule: VersionRule
) -> Candidate:
    """The candidate of a version, with the same id in every look at the same files.

    Args:
      target: the pattern that it is under.
      version: which.
      fitting: all versions that fit the rule, oldest first.
      rule: how they are ordered.
    """
    return Candidate(
        candidate_id=f"{_subject(target)}={version.uri}#{version.fingerprint}",
        source=f"watch {target.pattern}",
        sequence_us=_sequence_us(version, fitting, rule),
        models=dict.fromkeys(target.models, version.uri),
        manifest_uri=None if target.models else version.uri,
        rule=rule,
    )


def _passed_over(
    target: WatchTarget, there: Sequence[Version], reasons: Mapping[str, str]
) -> Candidate:
    identity = _digest(f"{v.uri}\0{v.fingerprint}" for v in there if v.uri in reasons)
    shown = [reasons[uri] for uri in sorted(reasons)[:_SHOWN]]
    more = [f"{len(reasons) - _SHOWN} more"] if len(reasons) > _SHOWN else []
    return Candidate(
        candidate_id=f"{_subject(target)} passed over #{identity}",
        source=f"watch {target.pattern}",
        sequence_us=0,
        passed_over="passed over: " + "; ".join(shown + more),
    )


def _digest(lines: Iterable[str]) -> str:
    """A short hash of some lines, the same in any order."""
    text = "\n".join(sorted(lines)).encode("utf-8", "surrogateescape")  # names need not be UTF-8
    return hashlib.sha256(text).hexdigest()[:16]


def _subject(target: WatchTarget) -> str:
    return ",".join(target.models) or "release"


def _sequence_us(version: Version, fitting: Sequence[Version], rule: VersionRule) -> int:
    """Time of modification, but after that of every lower number: numbers outrank times."""
    if rule.around is None:
        return version.updated_us
    sequence_us = 0
    for older in fitting:
        sequence_us = max(older.updated_us, sequence_us + 1)
        if older == version:
            break
    return sequence_us
