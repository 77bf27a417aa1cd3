"""The release log: what was accepted and what was decided, as files that never change.

The folder of a job is its control plane. A gate appends the releases that it accepts, and every
process that serves follows them. It is the only durable state of the gate: a job may be killed,
updated, moved to another engine, and goes on where the folder says.

A release is ``release-000012.json``. Its file is created only where there is none, so two gates at
work at once never accept one generation both: who comes second merges onto the release that won.
A verdict is ``verdicts/DIGEST.json``, by the digest of the candidate's id, so that a candidate that
is offered again gets the verdict that it has. It binds the build and the ensemble that came to it,
which are in the digest, too: others may come to another one.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, TypeVar

from pipeline.batch.release import Release
from pipeline.readable import logger
from pipeline.releases import manifest, recorded_verdict
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.releases.recorded_verdict import RecordedVerdict
from pipeline.releases.state import HISTORY, Accepted
from pipeline.releases.version_rule import VersionRule

_LOGGER = logger(__name__)
_T = TypeVar("_T")
_NAME = re.compile(r"release-(\d+)\.json")


class LogStorage(Protocol):
    """Small files that appear whole and never change. Picklable, safe from several threads."""

    def create(self, uri: str, text: str) -> bool:
        """Creates a file with its folder; False where something has this name already.

        Raises:
          ArtifactError: the storage refuses, does not answer, or knows no such condition.
        """
        ...

    def for_polling(self) -> LogStorage:
        """The same storage; a read answers within seconds, or raises, and is not repeated."""
        ...

    def read(self, uri: str) -> str | None:
        """The text of a file, None where there is none.

        Raises:
          ArtifactError: the storage refuses or does not answer.
          ValueError: it is not small, or not UTF-8.
        """
        ...

    def names(self, folder: str, start: str) -> list[str]:
        """The names of the files in a folder that begin so, in any order.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        ...


@dataclass(frozen=True)
class Look:
    """What was appended to the log behind a position.

    Attributes:
      appended: releases of an ensemble, oldest first.
      position: the highest generation that has a file, whatever is in it.
      other: the newest release of another ensemble; None if none was met.
      is_empty: whether the folder has no release at all, as far as it was listed.
    """

    appended: tuple[Accepted, ...]
    position: int
    other: Release | None = None
    is_empty: bool = False

    @property
    def rules(self) -> Mapping[str, VersionRule]:
        """Those of the newest release: see Accepted."""
        return self.appended[-1].rules if self.appended else {}


@dataclass(frozen=True)
class ReleaseLog:
    """The log of accepted releases in one folder. Can be pickled.

    Attributes:
      folder: local or ``gs://``; created if needed.
      storage: of its files.
    """

    folder: str
    storage: LogStorage

    def for_polling(self) -> ReleaseLog:
        """The same for somebody who comes again soon: a read that fails is not repeated."""
        return replace(self, storage=self.storage.for_polling())

    def uri_of(self, generation: int) -> str:
        """The URI of a generation."""
        return f"{self._root}/release-{generation:06d}.json"

    def append(self, accepted: Accepted) -> bool:
        """Appends a release; False where another one has its generation.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        uri = self.uri_of(accepted.release.generation)
        text = manifest.dump(accepted, writer=uuid.uuid4().hex)
        if self.storage.create(uri, text):
            return True
        # The storage's client repeats a request whose answer was lost: the file may be this one.
        try:
            return self.storage.read(uri) == text
        except ValueError:
            return False

    def read(self, generation: int) -> Accepted | None:
        """The release of a generation; None if there is none, or it is damaged, with a warning.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        return self._parsed(self.uri_of(generation), manifest.load)

    def generations(self) -> list[int]:
        """All generations that have a file, in order; of any ensemble, damaged ones as well.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        found = map(_NAME.fullmatch, self.storage.names(self._root, "release-"))
        return sorted(int(match[1]) for match in found if match)

    def load_history(self, count: int = HISTORY) -> list[Accepted]:
        """The last releases of any ensemble, oldest first.

        Args:
          count: the most releases.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        read = (self.read(generation) for generation in reversed(self.generations()))
        return [*islice((one for one in read if one is not None), count)][::-1]

    def since(self, position: int, models: Sequence[str], count: int = HISTORY) -> Look:
        """What was appended behind a position: one small read where there is nothing.

        Args:
          position: the highest generation that is known; 0 for none.
          models: the names of the ensemble's models, sorted.
          count: the most releases, of very many the last.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        try:
            if self.storage.read(self.uri_of(position + 1)) is None:
                return Look((), position)
        except ValueError:
            pass  # it is damaged, which is said below
        return self.look(position, models, count)

    def look(self, position: int, models: Sequence[str], count: int = HISTORY) -> Look:
        """The same by a listing, which finds what comes behind a number that was left out."""
        generations = self.generations()
        found: list[Accepted] = []
        other: Release | None = None
        for generation in reversed(generations):
            if generation <= position or len(found) == count:
                break
            accepted = self.read(generation)
            if accepted is None:
                continue
            if [version.model for version in accepted.release.versions] == list(models):
                found.append(accepted)
            else:
                other = other or accepted.release
        newest = max(generations, default=0)
        return Look(tuple(found[::-1]), max(newest, position), other, not generations)

    def record(self, event: ReleaseEvent, binds: str) -> None:
        """Keeps the verdict on a candidate; the first one stays.

        Args:
          event: a verdict.
          binds: the build and the ensemble that it holds for.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        assert event.candidate is not None, "a verdict is on a candidate"
        uri = self._verdict_uri(event.candidate, binds)
        self.storage.create(uri, recorded_verdict.dump(event, binds))

    def verdict_on(self, candidate: Candidate, binds: str) -> RecordedVerdict | None:
        """The verdict that a candidate has; None if it has none, or a damaged one, with a warning.

        Args:
          candidate: the candidate.
          binds: see `record`.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        return self._parsed(self._verdict_uri(candidate, binds), recorded_verdict.parse)

    def _parsed(self, uri: str, parse: Callable[[str], _T]) -> _T | None:
        """What is in a file; None if there is none, or it is damaged, with a warning."""
        try:
            text = self.storage.read(uri)
            return None if text is None else parse(text)
        except ValueError as error:
            _LOGGER.warning("%s is passed over: %s", uri, error)
            return None

    def _verdict_uri(self, candidate: Candidate, binds: str) -> str:
        return f"{self._root}/verdicts/{recorded_verdict.name_of(candidate, binds)}"

    @property
    def _root(self) -> str:
        return self.folder.rstrip("/")
