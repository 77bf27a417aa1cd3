"""Reads the messages of the refresh subscription.

A message is either a JSON object with exactly one of these keys::

    {"models": {"clf": "gs://bucket/clf/7"}}     these models, the others stay
    {"release": "gs://bucket/releases/r12.json"} the release that a manifest describes
    {"rollback": true}                           the release before the current one
    {"rollback_to": 3}                           the release of that generation

or a notification of Cloud Storage, known by its attributes
(https://docs.cloud.google.com/storage/docs/pubsub-notifications). A notification says that an
object exists, not that it is the newest or that its folder is complete. So it proposes nothing by
itself but asks for a look under the patterns that cover the object: the rules of
:mod:`pipeline.releases.versions` hold however a version was discovered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.batch.block import Origin
from pipeline.releases.candidate import Candidate
from pipeline.releases.versions import WatchTarget
from pipeline.spec.plain_data import check_keys_once, did_you_mean, shown
from pipeline.spec.uris import plain_path
from pipeline.spec.version_pattern import match

_KEYS = ("models", "release", "rollback", "rollback_to")
_FORMS = (
    'one of {"models": {NAME: URI, ...}}, {"release": URI}, {"rollback": true} and '
    '{"rollback_to": GENERATION}'
)


@dataclass(frozen=True)
class LookNow:
    """A request to look under these targets: something may have appeared there."""

    targets: tuple[WatchTarget, ...]


@dataclass(frozen=True)
class Refused:
    """The message is at fault.

    Attributes:
      reason: what was found and what was expected.
    """

    reason: str


@dataclass(frozen=True)
class Ignored:
    """The message asks for nothing.

    Attributes:
      reason: why; None for what nobody would ask about: deleted objects, changed metadata.
    """

    reason: str | None = None


Request = Candidate | LookNow | Refused | Ignored


class _MalformedError(Exception):
    """Carries the reason of a Refused."""


def interpret(
    payload: bytes,
    origin: Origin,
    *,
    source: str,
    models: Collection[str],
    targets: Sequence[WatchTarget] = (),
) -> Request:
    """What one message asks for.

    Args:
      payload: its data; that of a notification does not count.
      origin: its attributes and publish time. The id of a candidate is made from payload and
        publish time, which a message keeps when it is delivered again.
      source: its subscription.
      models: the names of all models.
      targets: the targets that notifications are matched against.
    """
    if "eventType" in origin.attributes and "bucketId" in origin.attributes:
        return _notification(origin, targets)
    try:
        key, value = _only_entry(_json_object(payload))
        content = _READERS[key](value, models)
    except _MalformedError as error:
        return Refused(str(error))
    identity = f"{origin.event_time_us}\0".encode() + payload
    return Candidate(
        candidate_id=f"message-{hashlib.sha256(identity).hexdigest()[:16]}",
        source=f"event {source}",
        sequence_us=origin.event_time_us,
        **content,
    )


def _notification(origin: Origin, targets: Sequence[WatchTarget]) -> Request:
    attributes = origin.attributes
    if attributes["eventType"] != "OBJECT_FINALIZE":
        return Ignored()
    if not attributes.get("objectId"):
        return Refused("found a Cloud Storage notification without the attribute objectId")
    uri = f"gs://{attributes['bucketId']}/{attributes['objectId']}"
    covering = tuple(target for target in targets if match(target.pattern, uri))
    if covering:
        return LookNow(covering)
    patterns = ", ".join(dict.fromkeys(target.pattern for target in targets)) or "there is none"
    return Ignored(f"{uri} is not under any watched pattern ({patterns})")


def _json_object(payload: bytes) -> dict[str, Any]:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise _MalformedError(
            f"found {len(payload)} bytes that are not UTF-8 text, expected {_FORMS}"
        ) from None
    try:
        data = orjson.loads(text)
        check_keys_once(text)
    except orjson.JSONDecodeError as error:
        found = f"{shown(text)}, which is not JSON ({error})" if text.strip() else "no text"
        raise _MalformedError(f"found {found}, expected {_FORMS}") from None
    except ValueError as error:
        raise _MalformedError(f"{error}, expected {_FORMS}") from None
    if not isinstance(data, dict):
        raise _MalformedError(f"found {shown(data)}, expected {_FORMS}")
    return data


def _only_entry(data: dict[str, Any]) -> tuple[str, Any]:
    for key in data:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS) or f"; the keys are {', '.join(_KEYS)}"
            raise _MalformedError(f"unknown key {shown(key)}{hint}")
    if len(data) != 1:
        found = f"the keys {' and '.join(data)} together" if data else "an empty object"
        raise _MalformedError(f"found {found}, expected {_FORMS}")
    return next(iter(data.items()))


def _models(value: Any, known: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise _MalformedError(f"models: found {shown(value)}, expected {{NAME: URI, ...}}")
    for name, uri in value.items():
        if name not in known:
            hint = did_you_mean(name, known) or f"; the models are {', '.join(known)}"
            raise _MalformedError(f"models: unknown model {shown(name)}{hint}")
        if not isinstance(uri, str) or not uri:
            raise _MalformedError(f"models.{name}: found {shown(uri)}, expected a URI")
    return {"models": {name: _path(f"models.{name}", uri) for name, uri in value.items()}}


def _release(value: Any, _: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, str) or not value:
        raise _MalformedError(f"release: found {shown(value)}, expected the URI of a manifest")
    return {"manifest_uri": _path("release", value)}


def _path(key: str, uri: str) -> str:
    try:
        return plain_path(uri)
    except ValueError as error:
        raise _MalformedError(f"{key}: {error}") from None


def _rollback(value: Any, _: Collection[str]) -> dict[str, Any]:
    if value is not True:
        raise _MalformedError(f"rollback: found {shown(value)}, expected true")
    return {"rollback_to": 0}


def _rollback_to(value: Any, _: Collection[str]) -> dict[str, Any]:
    if type(value) is not int or not 1 <= value < 1 << 63:
        raise _MalformedError(
            f"rollback_to: found {shown(value)}, expected a generation, which is 1 or more"
        )
    return {"rollback_to": value}


_READERS: dict[str, Callable[[Any, Collection[str]], dict[str, Any]]] = {
    "models": _models,
    "release": _release,
    "rollback": _rollback,
    "rollback_to": _rollback_to,
}
"""Key -> function from its value and the names of the models to fields of the candidate."""
