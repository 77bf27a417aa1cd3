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
    looks_left: int | None = None
    """How often it is still shown as being cancelled; None if nobody cancelled it."""


@dataclass
class Rights:
    """What the project has and grants; tests take things away.

    Attributes:
      apis_off: APIs that are not enabled, by their short names.
      refused: permissions that the caller lacks.
      missing: parts of URLs that are answered with 404.
      undeletable: parts of URLs that cannot be deleted.
      free_vcpus: quota of the region.
      vcpu_metric: of which of the region's quotas that is.
      vcpus_everywhere: quota of all regions together.
      private_access: of its subnetworks.
      memory_mb: of its machine types.
      vcpu_seconds: what each job says that it has used.
      forbidden: parts of URLs that are answered with 403.
      uncancellable: jobs, by id, whose end cannot be asked for.
      cancel_looks: how often a job is looked at, after it was cancelled, before it has ended.
      hidden_lists: how many lists of jobs show none: they lag behind launches.
      location: of its bucket.
      workers: roles of the workers' account: in the project, on the bucket and on the repository.
    """

    apis_off: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    undeletable: set[str] = field(default_factory=set)
    free_vcpus: float = 100
    vcpu_metric: str = "CPUS"
    vcpus_everywhere: float = 100
    private_access: bool = True
    memory_mb: int = 16384
    vcpu_seconds: float = 60
    forbidden: set[str] = field(default_factory=set)
    uncancellable: set[str] = field(default_factory=set)
    cancel_looks: int = 2
    hidden_lists: int = 0
    location: str = "EUROPE-WEST1"
    workers: dict[str, list[str]] = field(
        default_factory=lambda: {
            "/projects/": ["roles/dataflow.worker"],
            "/b/": ["roles/storage.objectUser"],
            "/repositories/": ["roles/artifactregistry.reader"],
        }
    )

    def policy(self, path: str) -> Body:
        """The policy of a project, a bucket or a repository."""
        kind = [part for part in self.workers if part in path][-1]
        member = "serviceAccount:ensemble-worker@test-project.iam.gserviceaccount.com"
        bindings = [{"role": role, "members": [member]} for role in self.workers[kind]]
        return {"version": 3, "bindings": [{"role": "roles/owner", "members": []}, *bindings]}


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
        if any(part in path for part in self.rights.forbidden):
            return 403, error_body(403, "PERMISSION_DENIED", f"{rest} is not for you")
        if method == "DELETE" and any(part in path for part in self.rights.undeletable):
            return 403, error_body(403, "PERMISSION_DENIED", f"{rest} cannot be deleted")
        if "estIamPermissions" in rest or "/iam/testPermissions" in rest:
            return 200, {"permissions": self._granted(rest, body)}
        if re.search(r":getIamPolicy|/b/[^/]+/iam(\?|$)", rest):
            return 200, self.rights.policy(rest)
        if re.fullmatch(r"/storage/v1/b/[^/]+", rest):
            return 200, {"location": self.rights.location}
        if rest.endswith(":setIamPolicy"):
            name = rest.removeprefix("/v1/").partition(":")[0]
            status, answer = self._pass_on("GET", f"{self._behind[host]}/v1/{name}", b"")
            if status == 200:
                self.grants[name] = json.loads(body)
            return status, answer
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
            return 200, self._listed(parse_qs(urlsplit(rest).query))
        job = self.jobs[found[1]]
        if found[2] == "/messages":
            texts = ("the job was launched", job.execution.last_words())
            told = [{"time": _time(job.created + i), "messageText": t} for i, t in enumerate(texts)]
            return 200, {"jobMessages": told[::-1]}  # in no order
        if found[2] == "/metrics":
            return 200, {"metrics": self._metrics()}
        if method == "PUT":
            wanted = json.loads(body)["requestedState"]
            if job.job_id in self.rights.uncancellable or job.execution.state() in ENDS:
                return 400, error_body(400, "FAILED_PRECONDITION", f"{job.job_id} cannot end now")
            if wanted == "JOB_STATE_CANCELLED":
                job.looks_left = self.rights.cancel_looks
            else:
                job.execution.stop(wanted)
        return 200, self._shown(job)

    def _listed(self, query: dict[str, list[str]]) -> Body:
        """A page of one job of that name. The active ones of the service are those that run."""
        if self.rights.hidden_lists > 0:
            self.rights.hidden_lists -= 1
            return {}
        jobs = [self._shown(each) for each in self.jobs.values() if each.name in query["name"]]
        if query.get("filter") == ["ACTIVE"]:
            jobs = [each for each in jobs if each["currentState"] == "JOB_STATE_RUNNING"]
        at = int(query.get("pageToken", ["0"])[0])
        more = {"nextPageToken": str(at + 1)} if at + 1 < len(jobs) else {}
        return {"jobs": jobs[at : at + 1], **more}

    def _start_job(self, told: Body, launch: Body) -> None:
        """An update begins when the job before it has ended, other than on the service."""
        if launch.get("update"):
            before = [each for each in self.jobs.values() if each.name == launch["jobName"]]
            before[-1].execution.stop("JOB_STATE_UPDATED")
        job = KeptJob(told["id"], launch["jobName"], launch, self._execute(launch))
        self.jobs[job.job_id] = job

    def _shown(self, job: KeptJob) -> Body:
        state = job.execution.state()
        if job.looks_left is not None and state not in ENDS:
            job.looks_left -= 1
            if job.looks_left < 0:
                job.execution.kill()
            state = "JOB_STATE_CANCELLING" if job.looks_left >= 0 else job.execution.state()
        return {
            "id": job.job_id,
            "name": job.name,
            "currentState": state,
            "currentStateTime": _time(time.time()),
            "createTime": _time(job.created),
        }

    def _metrics(self) -> list[Body]:
        def named(name: str, **value: object) -> Body:
            return {"name": {"name": name, "origin": "dataflow/v1b3"}, **value}

        sizes = {"count": 9, "sum": 509, "min": 1, "max": 200}
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
            quotas = [
                {"metric": "CPUS", "limit": 100, "usage": 0},
                {"metric": rights.vcpu_metric, "limit": rights.free_vcpus, "usage": 0},
            ]
            return 200, {"zones": ["https://compute/zones/europe-west1-b"], "quotas": quotas}
        if host == "compute.googleapis.com":
            limit = rights.vcpus_everywhere
            quota = {"metric": "CPUS_ALL_REGIONS", "limit": limit, "usage": 0}
            return 200, {"quotas": [quota]}
        assert host == "artifactregistry.googleapis.com", rest
        return 200, {"name": path}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
