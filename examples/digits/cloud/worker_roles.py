"""Whether the workers' account holds its roles, as far as whoever launches may see that.

Roles that a folder, an organization or a group grants are in none of the policies that are read
here: `--inherited_roles` is for those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloud.rest import ApiError, Json, Rest
from cloud.settings import Settings
from cloud.storage import HOST

_BASIC = {"roles/owner", "roles/editor"}
_PUBLIC = {"allUsers", "allAuthenticatedUsers"}
_FORBIDDEN = 403


@dataclass(frozen=True)
class Roles:
    """What a look at the policies found.

    Attributes:
      missing: for each role that is granted nowhere, the command that grants it.
      unseen: the permissions that the caller lacks for a full look.
    """

    missing: tuple[str, ...]
    unseen: tuple[str, ...]


@dataclass(frozen=True)
class _Place:
    """Where a role is needed.

    Attributes:
      method, url, query: the call that answers the policy.
      permission: which that call needs.
      enough: roles of which one is enough; the first is that of docs/deploy.md.
      command: grants a role there, without member and role.
    """

    method: str
    url: str
    query: Mapping[str, Any]
    permission: str
    enough: Sequence[str]
    command: str


def roles_of_workers(rest: Rest, settings: Settings, repository: str) -> Roles:
    """Looks into the policies of the project, the bucket and the repository.

    Args:
      rest: Google's services.
      settings: the command line.
      repository: full name of the image's repository; "" if that is not known.

    Raises:
      ApiError: a call is refused for another reason than lack of a permission.
    """
    project, bucket = _project(settings), _bucket(settings)
    everywhere = _granted(rest, settings, project)
    if everywhere is None:  # what it grants holds in bucket and repository, too
        return Roles((), (project.permission,))
    missing, unseen = [], []
    for place in (project, bucket, *([_repository(repository)] if repository else ())):
        here = everywhere if place is project else _granted(rest, settings, place)
        if _is_enough({*everywhere, *(here or ())}, place.enough):
            continue
        if here is None:
            unseen.append(place.permission)
        elif place in (project, bucket) or _is_of(settings.project, repository):
            member = f"--member=serviceAccount:{settings.service_account}"
            missing.append(f"{place.command} {member} --role={place.enough[0]}")
        else:
            unseen.append("resourcemanager.projects.getIamPolicy in the image's project")
    return Roles(tuple(missing), tuple(unseen))


def _is_enough(granted: set[str], enough: Sequence[str]) -> bool:
    """Nobody knows what is in a role of one's own, whose name begins with its project's."""
    own = any(not each.startswith("roles/") for each in granted)
    return own or not granted.isdisjoint({*enough, *_BASIC})


def _granted(rest: Rest, settings: Settings, place: _Place) -> set[str] | None:
    """The roles that a place grants the workers' account; None if the caller may not know."""
    # Version 3: without it, grants under a condition are left out.
    body = {"options": {"requestedPolicyVersion": 3}} if place.method == "POST" else None
    try:
        policy: Json = rest.call(place.method, place.url, body, place.query)
    except ApiError as error:
        if error.status != _FORBIDDEN:
            raise
        return None
    members = {f"serviceAccount:{settings.service_account}", *_PUBLIC}
    return {
        str(each["role"])
        for each in policy.get("bindings", ())
        if not members.isdisjoint(each.get("members", ()))
    }


def _is_of(project: str, repository: str) -> bool:
    return repository.startswith(f"projects/{project}/")


def _project(settings: Settings) -> _Place:
    name = settings.project
    return _Place(
        method="POST",
        url=f"https://cloudresourcemanager.googleapis.com/v1/projects/{name}:getIamPolicy",
        query={},
        permission="resourcemanager.projects.getIamPolicy",
        enough=("roles/dataflow.worker",),
        command=f"gcloud projects add-iam-policy-binding {name} --condition=None",
    )


def _bucket(settings: Settings) -> _Place:
    name = settings.bucket
    return _Place(
        method="GET",
        url=f"{HOST}/storage/v1/b/{name}/iam",
        query={"optionsRequestedPolicyVersion": 3},
        permission="storage.buckets.getIamPolicy",
        enough=("roles/storage.objectUser", "roles/storage.objectAdmin", "roles/storage.admin"),
        command=f"gcloud storage buckets add-iam-policy-binding gs://{name}",
    )


def _repository(name: str) -> _Place:
    _, project, _, location, _, repository = name.split("/")
    kinds = ("reader", "writer", "repoAdmin", "admin")
    return _Place(
        method="GET",
        url=f"https://artifactregistry.googleapis.com/v1/{name}:getIamPolicy",
        query={"options.requestedPolicyVersion": 3},
        permission="artifactregistry.repositories.getIamPolicy",
        enough=tuple(f"roles/artifactregistry.{kind}" for kind in kinds),
        command=(
            f"gcloud artifacts repositories add-iam-policy-binding {repository} "
            f"--project={project} --location={location}"
        ),
    )
