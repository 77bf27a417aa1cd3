"""Releases and rollbacks that a person proposes through the release folder.

A proposal is ``proposals/proposal-000012.json``, in the order in which they were made, whatever the
clocks say. Every gate of the folder reads them, in watch mode and in event mode, and offers each
until it has its verdict; one that comes while no gate runs waits for the next. Its first verdict
holds for every build: a person who wants another try makes another proposal.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from pipeline.errors import ArtifactError
from pipeline.releases.candidate import Candidate
from pipeline.releases.log import LogStorage
from pipeline.spec.plain_data import check_keys_once, shown

_NAME = re.compile(r"proposal-(\d+)\.json")
_FORMAT = 1
_WINDOW = 20
"""How many of the ensemble's last proposals a gate takes up when it starts."""
_READ = 100
"""How many of all proposals it reads then; what it does not take up of them is passed over."""
_RACES = 20
_JSON = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
_EXPECTED = 'expected {"sequence_us": TIME, and "models": {NAME: URI, ...} or "rollback_to": N}'


@dataclass(frozen=True)
class ProposalFolder:
    """The proposals in a release folder. Can be pickled.

    Attributes:
      folder: local or ``gs://``.
      storage: of its files.
      models: names of the ensemble's models; proposals for other ensembles are not read.
    """

    folder: str
    storage: LogStorage
    models: tuple[str, ...]

    def propose(
        self,
        now: datetime,
        sequence_us: int,
        *,
        models: Mapping[str, str],
        rollback_to: int | None = None,
    ) -> str:
        """Makes a proposal behind all others.

        Args:
          now: aware, UTC; for people.
          sequence_us: see Candidate; raised above those of the proposals before, so that they are
            accepted in their order, whatever the clocks say.
          models: model -> URI; or
          rollback_to: the generation to return to.

        Returns:
          its URI.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        data: dict[str, Any] = {
            "format": _FORMAT,
            "time": now.isoformat(),
            "sequence_us": sequence_us,
            "ensemble": sorted(self.models),
        }
        data |= {"models": dict(models)} if rollback_to is None else {"rollback_to": rollback_to}
        for _ in range(_RACES):
            names = self.names()
            number = 1 + max((int(name[9:-5]) for name in names), default=0)
            data["sequence_us"] = max(sequence_us, self._newest_us(names) + 1)
            text = orjson.dumps(data, option=_JSON).decode()
            uri = self._uri(f"proposal-{number:06d}.json")
            if self.storage.create(uri, text):
                return uri
        raise ArtifactError(f"{self._root}: other proposals came first {_RACES} times in a row")

    def _newest_us(self, names: Sequence[str]) -> int:
        """The sequence of the last proposal that was not damaged; -1 where there is none."""
        for name in reversed(names[-_WINDOW:]):
            candidate = self.read(name)
            if candidate is not None and candidate.passed_over is None:
                return candidate.sequence_us
        return -1

    def names(self) -> list[str]:
        """The names of all proposals, in order.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        found = map(_NAME.fullmatch, self.storage.names(self._root, "proposal-"))
        return [match[0] for match in sorted(filter(None, found), key=lambda match: int(match[1]))]

    def read(self, name: str) -> Candidate | None:
        """A proposal as a candidate; None if it is gone, or for another ensemble.

        One that is damaged is a candidate that is passed over, so that an event tells.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        uri = self._uri(name)
        text = ""
        try:
            found = self.storage.read(uri)
            if found is None:
                return None
            text = found
            data = orjson.loads(text)
            check_keys_once(text)
            if isinstance(data, dict) and data.get("ensemble", sorted(self.models)) != sorted(
                self.models
            ):
                return None
            content, sequence_us = _content(data), data["sequence_us"]
        except ValueError as error:
            content, sequence_us = {"passed_over": f"{uri}: {error}"}, 0
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return Candidate(
            f"{name} {digest}", f"proposal {uri}", sequence_us, ordered=True, **content
        )

    def _uri(self, name: str) -> str:
        return f"{self._root}/{name}"

    @property
    def _root(self) -> str:
        return f"{self.folder.rstrip('/')}/proposals"


def _content(data: Any) -> dict[str, Any]:
    """Fields of the candidate.

    Raises:
      ValueError: it is no proposal.
    """
    problem = f"found {shown(data)}, {_EXPECTED}"
    if not isinstance(data, dict) or data.get("format", _FORMAT) != _FORMAT:
        raise ValueError(problem)
    sequence_us = data.get("sequence_us")
    if type(sequence_us) is not int or not 0 <= sequence_us < 1 << 63:
        raise ValueError(problem)
    models, rollback_to = data.get("models"), data.get("rollback_to")
    if models is None and type(rollback_to) is int and 1 <= rollback_to < 1 << 63:
        return {"rollback_to": rollback_to}
    uris = list(models.values()) if isinstance(models, dict) and rollback_to is None else []
    if uris and all(isinstance(uri, str) and uri for uri in uris):
        return {"models": models}
    raise ValueError(problem)


class ProposalReader:
    """Which proposals wait for a verdict. For one thread.

    A look is one listing, the newest proposal of the look before, and the verdicts of those that
    wait. The first look reads the last hundred proposals: of this ensemble's the last twenty wait,
    and older ones are passed over. So does one that finds another newest proposal, or none, under
    the name of before: the folder was cleared, and its numbers began anew.

    Args:
      folder: of the proposals.
      has_verdict: whether a candidate has its verdict; may read a storage.
    """

    def __init__(self, folder: ProposalFolder, has_verdict: Callable[[Candidate], bool]) -> None:
        self._folder = folder
        self._has_verdict = has_verdict
        self._done: set[str] | None = None
        self._waiting: dict[str, Candidate] = {}
        self._newest: tuple[str, str] | None = None

    def look(self) -> Sequence[Candidate]:
        """The proposals without a verdict, oldest first.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        names = self._folder.names()
        if self._is_cleared(names):
            self._done, self._waiting, self._newest = None, {}, None
        first = self._done is None
        done = set(names[:-_READ]) if self._done is None else self._done & set(names)
        waiting: dict[str, Candidate] = {}
        own = 0
        for name in reversed(names):
            if name in done:
                continue
            candidate = self._waiting.get(name) or self._folder.read(name)
            own += candidate is not None
            if name == names[-1]:
                self._newest = name, _id_of(candidate)
            if candidate is None or self._has_verdict(candidate):
                done.add(name)
            elif first and own > _WINDOW:
                waiting[name] = _too_old(candidate)
            else:
                waiting[name] = candidate
        waiting = dict(reversed(waiting.items()))
        self._done, self._waiting = done, waiting
        return tuple(waiting.values())

    def _is_cleared(self, names: Sequence[str]) -> bool:
        if self._newest is None:
            return False
        name, candidate_id = self._newest
        return name not in names or _id_of(self._folder.read(name)) != candidate_id


def _id_of(candidate: Candidate | None) -> str:
    return candidate.candidate_id if candidate is not None else ""


def _too_old(candidate: Candidate) -> Candidate:
    reason = f"{_WINDOW} newer proposals were made before a gate decided on this; propose again"
    return replace(candidate, models={}, rollback_to=None, passed_over=reason)


@dataclass(frozen=True)
class Orders:
    """Where a gate reads proposals, and how often. Can be pickled.

    Attributes:
      folder: of the proposals.
      poll_secs: between two looks.
    """

    folder: ProposalFolder
    poll_secs: float
