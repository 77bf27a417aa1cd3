"""Dataflow: launches, states, messages and metrics of jobs.

Source: https://cloud.google.com/dataflow/docs/reference/rest/v1b3
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloud.rest import ApiError, Json, Rest
from cloud.settings import Settings

HOST = "https://dataflow.googleapis.com"
DONE, RUNNING, DRAINED, UPDATED, CANCELLED = (
    f"JOB_STATE_{state}" for state in ("DONE", "RUNNING", "DRAINED", "UPDATED", "CANCELLED")
)
FAILED = "JOB_STATE_FAILED"
UNKNOWN = "JOB_STATE_UNKNOWN"
TERMINAL = {DONE, FAILED, CANCELLED, UPDATED, DRAINED}
CLEAN_UP_MINUTES = 10
"""Jobs that are cancelled still cost for some minutes."""
_NEW_SECS = 60
"""So long after its launch a job may not be found yet."""


@dataclass(frozen=True)
class JobState:
    """Where a job is.

    Attributes:
      name: as the API has it, such as JOB_STATE_RUNNING.
      since: seconds since 1970; 0 if the API does not say.
      created: the same, of the launch.
    """

    name: str
    since: float = 0.0
    created: float = 0.0


@dataclass(frozen=True)
class Metrics:
    """The metrics of a job.

    Attributes:
      scalars: totals of the service and counters of the job, by name.
      distributions: by name, for each step that has one: count, sum, min and max.
    """

    scalars: dict[str, float]
    distributions: dict[str, list[Json]]

    @property
    def vcpu_hours(self) -> float:
        """What all workers used."""
        return self.scalars.get("TotalVcpuTime", 0.0) / 3600


class Dataflow:
    """The jobs of one run.

    Args:
      rest: Google's services.
      settings: the command line.
      now: seconds since 1970.

    Attributes:
      launched: id -> when it was launched, by this object.
    """

    def __init__(
        self, rest: Rest, settings: Settings, now: Callable[[], float] = time.time
    ) -> None:
        self._rest = rest
        self._settings = settings
        self._now = now
        self.launched: dict[str, float] = {}
        place = f"projects/{settings.project}/locations/{settings.region}"
        self._url = f"{HOST}/v1b3/{place}"

    def launch(self, name: str, parameters: dict[str, str], *, update: bool = False) -> str:
        """Launches the template; the id of the job.

        Args:
          name: of the job.
          parameters: of the template.
          update: whether it takes the place of the running job of that name.
        """
        told = self._settings
        most_secs = round(60 * (told.max_minutes + CLEAN_UP_MINUTES))
        environment: Json = {
            "tempLocation": f"{told.folder}/temp",
            "stagingLocation": f"{told.folder}/staging",
            "serviceAccountEmail": told.service_account,
            "machineType": told.machine_type,
            "launcherMachineType": told.launcher_machine_type,
            "maxWorkers": told.max_workers,
            "additionalUserLabels": {"made-by": "first-launch"},
            # The service ends the job then, even if nobody is there any more to remove it.
            "additionalExperiments": [f"max_workflow_runtime_walltime_seconds={most_secs}"],
        }
        if told.subnetwork:
            environment |= {
                "subnetwork": told.subnetwork,
                "ipConfiguration": "WORKER_IP_PRIVATE",
            }
        launch: Json = {
            "jobName": name,
            "containerSpecGcsPath": told.template,
            "parameters": parameters,
            "environment": environment,
        }
        if update:
            launch["update"] = True
        url = f"{self._url}/flexTemplates:launch"
        answer = self._rest.call("POST", url, {"launchParameter": launch}, once=True)
        job_id = str(answer["job"]["id"])
        self.launched[job_id] = self._now()
        return job_id

    def state(self, job_id: str) -> JobState:
        """Where a job is."""
        try:
            told = self._rest.call("GET", f"{self._url}/jobs/{job_id}")
        except ApiError as error:
            if error.status != 404 or self._now() - self.launched.get(job_id, 0.0) > _NEW_SECS:
                raise
            return JobState(UNKNOWN)
        return JobState(
            told.get("currentState", UNKNOWN),
            _seconds(told.get("currentStateTime")),
            _seconds(told.get("createTime")),
        )

    def is_in(self, job_id: str, state: str) -> bool:
        """Whether a job is in a state."""
        return self.state(job_id).name == state

    def has_ended(self, job_id: str) -> bool:
        """Whether a job has ended, in whatever way."""
        return self.state(job_id).name in TERMINAL

    def alive(self, name: str) -> set[str]:
        """The ids of jobs of that name that have not ended, whatever the service calls active."""
        found: set[str] = set()
        query: Json = {"filter": "ALL", "name": name}
        while True:
            answer = self._rest.call("GET", f"{self._url}/jobs", query=query)
            found |= {
                str(each["id"])
                for each in answer.get("jobs", ())
                if each.get("name") == name and each.get("currentState") not in TERMINAL
            }
            if not (token := answer.get("nextPageToken")):
                return found
            query = {**query, "pageToken": token}

    def request(self, job_id: str, state: str) -> None:
        """Asks a job to be drained or cancelled."""
        self._rest.call("PUT", f"{self._url}/jobs/{job_id}", {"requestedState": state})

    def messages(self, job_id: str) -> list[tuple[float, str]]:
        """What the service says about a job: seconds since 1970 and text, in order."""
        query = {"minimumImportance": "JOB_MESSAGE_BASIC", "pageSize": 500}
        answer = self._rest.call("GET", f"{self._url}/jobs/{job_id}/messages", query=query)
        found = answer.get("jobMessages", ())
        return sorted((_seconds(each.get("time")), str(each["messageText"])) for each in found)

    def last_words(self, job_id: str) -> str:
        """The end of what the service says about a job, for messages of errors."""
        try:
            return " | ".join(text for _, text in self.messages(job_id)[-3:])
        except ApiError as error:
            return f"its messages are not known: {error}"

    def metrics(self, job_id: str) -> Metrics:
        """Its metrics. Of attempted and committed values the committed ones."""
        answer = self._rest.call("GET", f"{self._url}/jobs/{job_id}/metrics")
        scalars: dict[str, float] = {}
        distributions: dict[str, list[Json]] = {}
        for each in answer.get("metrics", ()):
            name: Json = each["name"]
            if "tentative" in name.get("context", {}):
                continue
            if isinstance(each.get("distribution"), dict):
                distributions.setdefault(name["name"], []).append(each["distribution"])
            elif (value := _number(each.get("scalar"))) is not None:
                scalars[name["name"]] = value
        return Metrics(scalars, distributions)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _seconds(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0
