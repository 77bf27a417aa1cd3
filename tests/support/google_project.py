"""A project of Google Cloud on the loopback interface, for what launches jobs and looks after them.

Pub/Sub and Cloud Storage are the real emulators, behind it. Permissions, quotas and the registry
are what a test says. Jobs are kept, and executed by whatever the test gives; see `executed_jobs`.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

import requests

from tests.support.dataflow_service import Body, DataflowService, error_body

_JOB = re.compile(r"/v1b3/projects/[^/]+/locations/[^/]+/jobs(?:/([^/]+?))?(/messages|/metrics)?")
ENDS = {"JOB_STATE_DONE", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_UPDATED"}
ENDS |= {"JOB_STATE_DRAINED"}


class Execution(Protocol):
    """What runs a job."""

    def state(self) -> str:
        """Where it is, such as JOB_STATE_RUNNING."""
        ...

    def stop(self, state: str) -> None:
        """Ends it after what is in flight; it is in `state` then."""
        ...

    def kill(self) -> None:
        """Ends it at once."""
        ...

    def last_words(self) -> str:
        """The end of its log."""
        ...


@dataclass
class KeptJob:
    """A job that was launched."""

    job_id: str
    name: str
    launch: Body
    execution: Execution
    created: float = field(default_factory=time.time)


@dataclass
class Rights:
    """What the project has and grants; tests take things away.

    Attributes:
      apis_off: APIs that are not enabled, by their short names.
      refused: permissions that the caller lacks.
      missing: parts of URLs that are answered with 404.
      undeletable: parts of URLs that cannot be deleted.
      free_vcpus: quota of the region.
      private_access: of its subnetworks.
      memory_mb: of its machine types.
      vcpu_seconds: what each job says that it has used.
    """

    apis_off: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    undeletable: set[str] = field(default_factory=set)
    free_vcpus: float = 100
    private_access: bool = True
    memory_mb: int = 16384
    vcpu_seconds: float = 60


class GoogleProject(DataflowService):
    """The project. Its URL is the endpoint; the first part of a path is the service's host.

    Args:
      pubsub: address of the Pub/Sub emulator.
      storage: URL of the storage emulator.
      execute: runs what a launch asks for.

    Attributes:
      rights: what it has and grants.
      jobs: all that were launched, by id.
      grants: policies that were set, by the name of what they are for.
      calls: method and URL of each call, in order.
    """

    def __init__(self, pubsub: str, storage: str, execute: Callable[[Body], Execution]) -> None:
        self.rights = Rights()
        self.jobs: dict[str, KeptJob] = {}
        self.grants: dict[str, Body] = {}
        self.calls: list[str] = []
        self._behind = {
            "pubsub.googleapis.com": f"http://{pubsub}",
            "storage.googleapis.com": storage,
        }
        self._execute = execute
        self._session = threading.local()
        super().__init__()

    def __exit__(self, *about: object) -> None:
        for job in self.jobs.values():
            job.execution.kill()
        super().__exit__(*about)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Body | bytes]:
        """See Loopback."""
        self.calls.append(f"{method} https:/{path}")
        host, _, rest = path[1:].partition("/")
        rest = f"/{rest}"
        if any(part in path for part in self.rights.missing):
            return 404, error_body(404, "NOT_FOUND", f"{rest} is not there")
        if method == "DELETE" and any(part in path for part in self.rights.undeletable):
            return 403, error_body(403, "PERMISSION_DENIED", f"{rest} cannot be deleted")
        if "estIamPermissions" in rest or "/iam/testPermissions" in rest:
            return 200, {"permissions": self._granted(rest, body)}
        if rest.endswith(":setIamPolicy"):
            self.grants[rest.removeprefix("/v1/").partition(":")[0]] = json.loads(body)
            return 200, {}
        if host in self._behind:
            return self._pass_on(method, self._behind[host] + rest, body)
        if host == "dataflow.googleapis.com":
            return self._dataflow(method, rest, body)
        return self._others(host, rest)

    def _granted(self, rest: str, body: bytes) -> list[str]:
        asked = parse_qs(urlsplit(rest).query).get("permissions") or json.loads(body)["permissions"]
        return [each for each in asked if each not in self.rights.refused]

    def _pass_on(self, method: str, url: str, body: bytes) -> tuple[int, Body | bytes]:
        if not hasattr(self._session, "it"):
            self._session.it = requests.Session()
        kind = "octet-stream" if "/upload/" in url else "json"
        headers = {"Content-Type": f"application/{kind}"}
        answer = self._session.it.request(method, url, data=body, headers=headers, timeout=60)
        return answer.status_code, answer.content

    def _dataflow(self, method: str, rest: str, body: bytes) -> tuple[int, Body | bytes]:
        if rest.endswith("flexTemplates:launch"):
            status, answer = super().answer(method, rest, body)
            if status == 200 and isinstance(answer, dict):
                self._start_job(answer["job"], json.loads(body)["launchParameter"])
            return status, answer
        found = _JOB.fullmatch(rest.partition("?")[0])
        assert found, rest
        if found[1] is None:
            jobs = [self._shown(each) for each in self.jobs.values()]
            return 200, {"jobs": [each for each in jobs if each["currentState"] not in ENDS]}
        job = self.jobs[found[1]]
        if found[2] == "/messages":
            told = {"time": _time(job.created), "messageText": job.execution.last_words()}
            return 200, {"jobMessages": [told]}
        if found[2] == "/metrics":
            return 200, {"metrics": self._metrics()}
        if method == "PUT":
            wanted = json.loads(body)["requestedState"]
            if wanted == "JOB_STATE_CANCELLED":
                job.execution.kill()
            else:
                job.execution.stop(wanted)
        return 200, self._shown(job)

    def _start_job(self, told: Body, launch: Body) -> None:
        """An update begins when the job before it has ended, other than on the service."""
        if launch.get("update"):
            before = [each for each in self.jobs.values() if each.name == launch["jobName"]]
            before[-1].execution.stop("JOB_STATE_UPDATED")
        job = KeptJob(told["id"], launch["jobName"], launch, self._execute(launch))
        self.jobs[job.job_id] = job

    def _shown(self, job: KeptJob) -> Body:
        return {
            "id": job.job_id,
            "name": job.name,
            "currentState": job.execution.state(),
            "currentStateTime": _time(time.time()),
            "createTime": _time(job.created),
        }

    def _metrics(self) -> list[Body]:
        def named(name: str, **value: object) -> Body:
            return {"name": {"name": name, "origin": "dataflow/v1b3"}, **value}

        sizes = {"count": 9, "sum": 509, "min": 1, "max": 200, "mean": 56}
        return [
            named("TotalVcpuTime", scalar=self.rights.vcpu_seconds),
            named("TotalMemoryUsage", scalar=4096 * self.rights.vcpu_seconds),
            named("forest_inference_request_batch_size", distribution=sizes),
        ]

    def _others(self, host: str, rest: str) -> tuple[int, Body | bytes]:
        rights = self.rights
        path, query = urlsplit(rest).path, parse_qs(urlsplit(rest).query)
        if host == "serviceusage.googleapis.com":
            off = {f"{each}.googleapis.com" for each in rights.apis_off}
            return 200, {
                "services": [
                    {
                        "name": name,
                        "state": "DISABLED" if name.rpartition("/")[2] in off else "ENABLED",
                    }
                    for name in query["names"]
                ]
            }
        if host == "logging.googleapis.com":
            text = 'Successfully pulled image "ensemble" in 1m2.5s'
            return 200, {"entries": [{"textPayload": text}]}
        if "/machineTypes/" in path:
            return 200, {"guestCpus": 4, "memoryMb": rights.memory_mb}
        if "/subnetworks/" in path:
            return 200, {"privateIpGoogleAccess": rights.private_access}
        if "/regions/" in path:
            quota = {"metric": "CPUS", "limit": rights.free_vcpus, "usage": 0}
            return 200, {"zones": ["https://compute/zones/europe-west1-b"], "quotas": [quota]}
        assert host == "artifactregistry.googleapis.com", rest
        return 200, {"name": path}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
