"""The jobs that follow a release folder, and the marks that ask them to end.

A streaming job that starts enters itself as ``jobs/JOB.json``, under an id that is its own.
Whoever wants it to end puts ``stop/JOB.json`` there; the job itself does when it has ended. So a
mark is for one launch, whatever the clocks say, and stops no later one. Nothing removes the files.

A job on a service does not enter itself: the service's own sources look for no mark.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from pipeline.readable import logger
from pipeline.releases.log import LogStorage
from pipeline.spec.plain_data import shown

_LOGGER = logger(__name__)
_FORMAT = 1
_ID = re.compile(r"[A-Za-z0-9_.-]+-\d{8}T\d{6}Z-[0-9a-f]{8}")
_MOST_NAME = 60
_MOST_RUNNING = 100
_JSON = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True)
class JobEntry:
    """One launch of a streaming job.

    Attributes:
      job_id: its own; names its files.
      job_name: what people call the job: the same for each launch of it.
      started: aware, UTC; by the clock of the machine that launched it, for people.
      has_mark: whether it was asked to end, or has ended.
      ended: when the mark was made; None where it has none, or one made by hand.
      ended_by: who made the mark.
    """

    job_id: str
    job_name: str
    started: datetime
    has_mark: bool = False
    ended: datetime | None = None
    ended_by: str = ""

    def as_json(self) -> dict[str, Any]:
        """The entry as `status` shows it."""
        return {
            "job": self.job_id,
            "job_name": self.job_name,
            "started": self.started.isoformat(),
            "runs": not self.has_mark,
            "stopped": self.ended and self.ended.isoformat(),
            "stopped_by": self.ended_by or None,
        }


def new_job_id(job_name: str, now: datetime) -> str:
    """An id for one launch.

    Args:
      job_name: what people call the job.
      now: aware, UTC.
    """
    return f"{_in_id(job_name)}-{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"


def _in_id(job_name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", job_name)[:_MOST_NAME].strip(".-") or "job"


def name_in(job_id: str) -> str:
    """The name of the job as its id has it: shortened, without spaces and the like."""
    return job_id.rsplit("-", 2)[0]


def is_job_id(text: str) -> bool:
    """Whether a text looks like what `new_job_id` makes."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True)
class JobFolder:
    """The jobs of a release folder. Can be pickled.

    Attributes:
      folder: local or ``gs://``.
      storage: of its files.
    """

    folder: str
    storage: LogStorage

    def enter(self, entry: JobEntry) -> None:
        """Notes that a job starts.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        data = {
            "format": _FORMAT,
            "job": entry.job_id,
            "job_name": entry.job_name,
            "started": entry.started.isoformat(),
        }
        self.storage.create(
            self._uri("jobs", entry.job_id), orjson.dumps(data, option=_JSON).decode()
        )

    def stop(self, job_id: str, by: str, now: datetime) -> str:
        """Asks a job to end, or notes that it has; the first mark stays.

        Args:
          job_id: of the job.
          by: who asks, for people.
          now: aware, UTC.

        Returns:
          the URI of the mark.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        data = {"format": _FORMAT, "job": job_id, "time": now.isoformat(), "by": by}
        uri = self._uri("stop", job_id)
        self.storage.create(uri, orjson.dumps(data, option=_JSON).decode())
        return uri

    def mark_of(self, job_id: str) -> str | None:
        """The mark of a job, for a log; None where it has none. One small read.

        Any file of that name is one: whoever puts it there wants the job to end.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        uri = self._uri("stop", job_id)
        try:
            text = self.storage.read(uri)
            if text is None:
                return None
            return f"{uri}, made by {_object(text)['by']} at {_object(text)['time']}"
        except (ValueError, KeyError):
            return uri

    def running(self, job_name: str | None = None) -> list[str]:
        """The ids of all jobs without a mark, oldest first: those that run or were killed.

        Args:
          job_name: of the jobs, or the id of one; None for all.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        marked = set(self.storage.names(self._folder("stop"), ""))
        ids = [name.removesuffix(".json") for name in self._names() if name not in marked]
        ids = [job_id for job_id in ids if is_job_id(job_id)]
        if job_name is None or job_name in ids:
            return [job_id for job_id in ids if job_name in (None, job_id)]
        alike = [job_id for job_id in ids if name_in(job_id) == _in_id(job_name)]
        found = ((job_id, self._entry(f"{job_id}.json", False)) for job_id in alike)
        return [job_id for job_id, entry in found if entry and entry.job_name == job_name]

    def entries(self, last: int) -> list[JobEntry]:
        """The jobs without a mark, and the last ones that have one, oldest first.

        For people: a job that was killed has no mark, and of very many the newest are read. A
        damaged entry is passed over with a warning.

        Args:
          last: the most entries with a mark.

        Raises:
          ArtifactError: the storage refuses or does not answer.
        """
        marked = set(self.storage.names(self._folder("stop"), ""))
        names = self._names()
        running = [name for name in names if name not in marked][-_MOST_RUNNING:]
        ended = [name for name in names if name in marked]
        wanted = {*running, *ended[len(ended) - min(last, len(ended)) :]}
        found = (self._entry(name, name in marked) for name in names if name in wanted)
        return [entry for entry in found if entry is not None]

    def _names(self) -> list[str]:
        """The names of all entries, oldest first."""
        names = self.storage.names(self._folder("jobs"), "")
        names = [name for name in names if name.endswith(".json") and not name.startswith(".")]
        return sorted(names, key=lambda name: name.removesuffix(".json").split("-")[-2:])

    def _entry(self, name: str, marked: bool) -> JobEntry | None:
        uri = f"{self._folder('jobs')}/{name}"
        try:
            text = self.storage.read(uri)
            data = _object(text or "")
            if not isinstance(data["job_name"], str):
                raise ValueError(f"job_name: found {shown(data['job_name'])}, expected text")
            started = datetime.fromisoformat(data["started"])
        except (ValueError, KeyError, TypeError) as error:
            _LOGGER.warning("%s is passed over: %s: %s", uri, type(error).__name__, error)
            return None
        job_id = name.removesuffix(".json")
        ended, by = self._end_of(job_id) if marked else (None, "")
        return JobEntry(job_id, data["job_name"], started, marked, ended, by)

    def _end_of(self, job_id: str) -> tuple[datetime | None, str]:
        try:
            data = _object(self.storage.read(self._uri("stop", job_id)) or "")
            return datetime.fromisoformat(data["time"]), str(data["by"])
        except (ValueError, KeyError, TypeError):  # made by hand
            return None, "hand"

    def _uri(self, kind: str, job_id: str) -> str:
        return f"{self._folder(kind)}/{job_id}.json"

    def _folder(self, kind: str) -> str:
        return f"{self.folder.rstrip('/')}/{kind}"


def _object(text: str) -> Mapping[str, Any]:
    data = orjson.loads(text)
    if not isinstance(data, dict):
        raise ValueError(f"found {shown(data)}, expected an object")
    return data
