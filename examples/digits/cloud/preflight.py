"""What is looked at before anything is made: 30 seconds that save an hour."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from cloud.cost import Machine, most_usd
from cloud.rest import ApiError, Json, Rest
from cloud.settings import PUBLISHED, Settings
from cloud.storage import Storage
from cloud.worker_roles import roles_of_workers

COMPUTE = "https://compute.googleapis.com/compute/v1"
REGISTRY = "https://artifactregistry.googleapis.com/v1"

APIS = ("dataflow", "compute", "pubsub", "storage", "artifactregistry", "logging", "monitoring")
IN_PROJECT = (
    "dataflow.jobs.create",
    "dataflow.jobs.get",
    "dataflow.jobs.list",
    "dataflow.jobs.cancel",
    "dataflow.jobs.updateContents",
    "dataflow.messages.list",
    "dataflow.metrics.get",
    "logging.logEntries.list",
    "pubsub.topics.create",
    "pubsub.topics.delete",
    "pubsub.topics.publish",
    "pubsub.topics.setIamPolicy",
    "pubsub.topics.attachSubscription",
    "pubsub.subscriptions.create",
    "pubsub.subscriptions.consume",
    "pubsub.subscriptions.delete",
    "pubsub.subscriptions.setIamPolicy",
)
IN_BUCKET = (
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
)
LAUNCHER_GIB = 4
"""What a launcher needs that loads the four models of the demo once."""

_LAUNCHERS = 3
"""At one time: of the batch job, the stream and the check."""

_ALL_REGIONS = "CPUS_ALL_REGIONS"
"""Few in new projects: 12 or 32."""

_CONTINENTS = {
    **dict.fromkeys(("eu", "eur"), ("europe",)),
    **dict.fromkeys(("us", "nam"), ("us", "northamerica")),
    "asia": ("asia",),
}
"""Places of several regions, without their number -> the first words of regions near by."""

_HOST_PROJECT = re.compile(r"projects/([^/]+)/")
_IMAGE = re.compile(
    r"([a-z0-9-]+)-docker\.pkg\.dev/([^/]+)/([^/]+)/([^@:]+)(?:@(sha256:[0-9a-f]+)|:([\w.-]+))"
)


@dataclass(frozen=True)
class Verdict:
    """What one look found.

    Attributes:
      what: what was looked at.
      problem: what is wrong and the way out; "" if nothing is.
      found: what was found.
    """

    what: str
    problem: str
    found: str = ""


class Preflight:
    """The looks, of which none changes anything."""

    def __init__(self, rest: Rest, settings: Settings) -> None:
        self._rest = rest
        self._told = settings
        self._storage = Storage(rest)
        self._machines: dict[str, Machine] = {}
        self._in_region: Json | None = None
        self._repository = ""

    def verdicts(self) -> Iterator[Verdict]:
        """All of them, in an order in which what is missing first is told first."""
        looks: dict[str, Callable[[], Verdict]] = {
            "APIs": self._apis,
            "permissions in the project": self._project,
            "permissions on the bucket": self._bucket,
            "region of the bucket": self._place,
            "the workers' account": self._account,
            "image": self._image,
            "roles of the workers' account": self._roles,
            "subnetwork": self._subnetwork,
            "machine types": self._machine_types,
            "quota": self._quota,
            "cost": self._cost,
        }
        for what, look in looks.items():
            try:
                yield look()
            except ApiError as error:
                yield Verdict(what, str(error))

    def _apis(self) -> Verdict:
        project = f"projects/{self._told.project}"
        names = [f"{project}/services/{api}.googleapis.com" for api in APIS]
        answer = self._rest.call(
            "GET",
            f"https://serviceusage.googleapis.com/v1/{project}/services:batchGet",
            query={"names": names},
        )
        on = {
            each["name"].rpartition("/")[2]
            for each in answer.get("services", ())
            if each.get("state") == "ENABLED"
        }
        off = [f"{api}.googleapis.com" for api in APIS if f"{api}.googleapis.com" not in on]
        way_out = f"gcloud services enable {' '.join(off)} --project={self._told.project}"
        return Verdict("APIs", f"off: run `{way_out}`" if off else "", f"{len(on)} on")

    def _project(self) -> Verdict:
        url = f"https://cloudresourcemanager.googleapis.com/v1/projects/{self._told.project}"
        answer = self._rest.call(
            "POST", f"{url}:testIamPermissions", {"permissions": list(IN_PROJECT)}
        )
        missing = [each for each in IN_PROJECT if each not in answer.get("permissions", ())]
        roles = "roles/dataflow.developer, roles/pubsub.admin and roles/logging.viewer"
        problem = f"you lack {', '.join(missing)}: have {roles} granted" if missing else ""
        return Verdict("permissions in the project", problem, f"{len(IN_PROJECT)} held")

    def _bucket(self) -> Verdict:
        held = self._storage.permissions(self._told.bucket, IN_BUCKET)
        missing = [each for each in IN_BUCKET if each not in held]
        problem = (
            f"you lack {', '.join(missing)} on gs://{self._told.bucket}: have "
            "roles/storage.objectUser granted"
        )
        return Verdict(
            "permissions on the bucket", problem if missing else "", "may read and write"
        )

    def _place(self) -> Verdict:
        what, region = "region of the bucket", self._told.region
        try:
            location = self._storage.location(self._told.bucket)
        except ApiError as error:
            if error.status == 404:
                return Verdict(what, f"gs://{self._told.bucket} does not exist: docs/deploy.md")
            if error.status != 403:
                raise
            return Verdict(what, "", "not looked at: you lack storage.buckets.get")
        continent = region.partition("-")[0]
        near = location == region or continent in _CONTINENTS.get(location.rstrip("0123456789"), ())
        problem = (
            f"gs://{self._told.bucket} is in {location}, and the jobs would run in {region}, so "
            "that all data is sent from one to the other: take a bucket there, or --region"
        )
        return Verdict(what, "" if near else problem, location)

    def _account(self) -> Verdict:
        account = self._told.service_account
        url = f"https://iam.googleapis.com/v1/projects/-/serviceAccounts/{account}"
        wanted = "iam.serviceAccounts.actAs"
        try:
            answer = self._rest.call("POST", f"{url}:testIamPermissions", {"permissions": [wanted]})
        except ApiError as error:
            if error.status != 404:
                raise
            return Verdict("the workers' account", f"{account} does not exist: --service_account")
        problem = (
            f"you may not let workers run as {account}: have roles/iam.serviceAccountUser granted"
        )
        held = wanted in answer.get("permissions", ())
        return Verdict("the workers' account", "" if held else problem, account)

    def _image(self) -> Verdict:
        image = self._told.image
        if image == PUBLISHED:
            try:
                spec = json.loads(self._storage.download(self._told.template))
            except ApiError as error:
                if error.status != 404:
                    raise
                way_out = "build and publish first (docs/deploy.md), or name an image"
                return Verdict("image", f"{self._told.template} does not exist: {way_out}")
            image = str(spec.get("image", ""))
        found = _IMAGE.fullmatch(image)
        if found is None:
            return Verdict("image", f"{image!r} is not in Artifact Registry, by digest or tag")
        location, project, repository, name, digest, tag = found.groups()
        place = f"projects/{project}/locations/{location}/repositories/{repository}"
        self._repository = place
        package = name.replace("/", "%2F")
        part = f"versions/{digest}" if digest else f"tags/{tag}"
        try:
            self._rest.call("GET", f"{REGISTRY}/{place}/packages/{package}/{part}")
        except ApiError as error:
            if error.status == 403:  # who launches need not read it, only the workers' account
                role = "roles/artifactregistry.reader"
                return Verdict("image", "", f"{image}, not looked at: you lack {role}")
            if error.status != 404:
                raise
            return Verdict("image", f"{image} is not in the registry: build and publish it")
        return Verdict("image", "", image)

    def _roles(self) -> Verdict:
        what, account = "roles of the workers' account", self._told.service_account
        if self._told.inherited_roles:
            return Verdict(what, "", "not looked at: --inherited_roles")
        found = roles_of_workers(self._rest, self._told, self._repository)
        problem = (
            f"{account} lacks some: run `{' && '.join(found.missing)}`; where a folder, an "
            "organization or a group grants them, give --inherited_roles"
        )
        unseen = f"not all looked at: you lack {', '.join(found.unseen)}"
        return Verdict(what, problem if found.missing else "", unseen if found.unseen else "held")

    def _subnetwork(self) -> Verdict:
        host = _HOST_PROJECT.search(self._told.subnetwork)  # of a Shared VPC
        project = host[1] if host else self._told.project
        region = f"{COMPUTE}/projects/{project}/regions/{self._told.region}"
        name = self._told.subnetwork.rpartition("/")[2] or "default"
        try:
            answer = self._rest.call("GET", f"{region}/subnetworks/{name}")
        except ApiError as error:
            if error.status != 404:
                raise
            return Verdict(
                "subnetwork", f"{name} does not exist in {self._told.region}: --subnetwork"
            )
        private = bool(answer.get("privateIpGoogleAccess"))
        if self._told.subnetwork and not private:
            return Verdict(
                "subnetwork",
                f"{name} has no Private Google Access, and workers there have no public addresses: "
                f"gcloud compute networks subnets update {name} --region={self._told.region} "
                f"--enable-private-ip-google-access --project={project}",
            )
        return Verdict("subnetwork", "", f"{name}, private access {'on' if private else 'off'}")

    def _machine_types(self) -> Verdict:
        names = (self._told.machine_type, self._told.launcher_machine_type)
        for name in names:
            self._machines[name] = self._machine(name)
        launcher = self._machines[self._told.launcher_machine_type]
        problem = (
            f"--launcher_machine_type={launcher.name} has {launcher.gib:g} GiB, and loading the "
            f"models to check them takes {LAUNCHER_GIB}: take e2-standard-4"
        )
        sizes = ", ".join(
            f"{self._machines[name].vcpus} vCPUs and {self._machines[name].gib:g} GiB"
            for name in names
        )
        return Verdict("machine types", problem if launcher.gib < LAUNCHER_GIB else "", sizes)

    def _machine(self, name: str) -> Machine:
        project = f"{COMPUTE}/projects/{self._told.project}"
        for zone in (each.rpartition("/")[2] for each in self._region().get("zones", ())):
            try:
                found = self._rest.call("GET", f"{project}/zones/{zone}/machineTypes/{name}")
            except ApiError as error:
                if error.status != 404:
                    raise
                continue
            return Machine(name, int(found["guestCpus"]), int(found["memoryMb"]) / 1024)
        raise ApiError(f"no zone of {self._told.region} has machines of type {name}", 404)

    def _region(self) -> Json:
        if self._in_region is None:
            place = f"projects/{self._told.project}/regions/{self._told.region}"
            self._in_region = self._rest.call("GET", f"{COMPUTE}/{place}")
        return self._in_region

    def _quota(self) -> Verdict:
        everywhere = self._rest.call("GET", f"{COMPUTE}/projects/{self._told.project}")
        quotas = [*everywhere.get("quotas", ()), *self._region().get("quotas", ())]
        free = {each["metric"]: each["limit"] - each["usage"] for each in quotas}
        needed = self._needed(free.keys())
        short = [
            f"{metric}: {free[metric]:g} free, {count:g} needed"
            for metric, count in needed.items()
            if metric in free and free[metric] < count
        ]
        way_out = "ask for more (IAM & Admin, Quotas), or give a smaller --max_workers"
        return Verdict("quota", f"{'; '.join(short)}: {way_out}" if short else "", "enough")

    def _needed(self, metrics: Container[str]) -> Json:
        """What all machines of the run take of each quota. Some families have CPUs of their own."""
        workers, launchers = 2 * self._told.max_workers, _LAUNCHERS
        needed: Json = {
            "INSTANCES": workers + launchers,
            "DISKS_TOTAL_GB": 30 * (workers + launchers),
            "IN_USE_ADDRESSES": 0 if self._told.subnetwork else workers + launchers,
        }
        for count, name in (
            (workers, self._told.machine_type),
            (launchers, self._told.launcher_machine_type),
        ):
            if name in self._machines:
                own = f"{name.partition('-')[0].upper()}_CPUS"
                metric = own if own in metrics else "CPUS"
                for each in (metric, _ALL_REGIONS):
                    needed[each] = needed.get(each, 0) + count * self._machines[name].vcpus
        return needed

    def _cost(self) -> Verdict:
        told = self._told
        worker = self._machines.get(told.machine_type)
        launcher = self._machines.get(told.launcher_machine_type)
        if worker is None or launcher is None:
            return Verdict("cost", "unknown, since the machine types are")
        most = most_usd(worker, launcher, told.max_workers, told.max_minutes)
        problem = (
            f"up to {most:.2f} USD with {told.max_workers} workers a job for "
            f"{told.max_minutes:g} minutes, more than --max_usd={told.max_usd:g}: raise it, or "
            "lower --max_workers or --max_minutes"
        )
        return Verdict("cost", problem if most > told.max_usd else "", f"at most {most:.2f} USD")
