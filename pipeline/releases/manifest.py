"""Releases as JSON files: those that people write to propose one, and those of accepted releases.

People write ``{"models": {"clf": "gs://bucket/clf/7", ...}}``, with every model of the ensemble; or
``{"rollback": true}`` or ``{"rollback_to": 3}``, so that watch mode can roll back, too. The file
of an accepted release adds the digests and what the gate remembers, and can be proposed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from pipeline.batch.release import ModelVersion, Release
from pipeline.releases.candidate import Candidate
from pipeline.releases.state import Accepted, Mark
from pipeline.releases.version_rule import VersionRule
from pipeline.spec.plain_data import check_keys_once, shown
from pipeline.spec.uris import plain_path

_FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """A proposed release as it is written.

    Attributes:
      models: model -> URI.
      digests: model -> digest that its files must have, for models that have one here.
      rollback_to: instead of models, as in a Candidate.
    """

    models: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)
    rollback_to: int | None = None


def parse(text: str) -> Manifest:
    """The manifest in a text; keys other than models, rollback and rollback_to are ignored.

    Raises:
      ValueError: it is not a manifest; says what was found and what was expected.
    """
    data = _json(text)
    models = data.get("models") if isinstance(data, dict) else None
    if isinstance(data, dict) and models is None and data.keys() & {"rollback", "rollback_to"}:
        return Manifest({}, rollback_to=_rollback_to(data))
    if not isinstance(models, dict) or not models:
        found = f"'models' is {shown(models)}" if isinstance(data, dict) else f"found {shown(data)}"
        raise ValueError(f'{found}, expected {{"models": {{"NAME": "URI", ...}}}}')
    uris: dict[str, str] = {}
    digests: dict[str, str] = {}
    for name, entry in models.items():
        uri = entry.get("uri") if isinstance(entry, dict) else entry
        digest = entry.get("digest") if isinstance(entry, dict) else None
        if not isinstance(uri, str) or not uri:
            raise ValueError(f"model '{name}' is {shown(entry)}, expected its URI")
        if digest is not None and not isinstance(digest, str):
            raise ValueError(f"model '{name}': digest is {shown(digest)}, expected text")
        uris[name] = plain_path(uri)
        if digest is not None:
            digests[name] = digest
    return Manifest(uris, digests)


def text_of(manifest: Manifest) -> str:
    """The JSON text that `parse` reads as this manifest."""
    data: dict[str, Any] = {}
    if manifest.rollback_to is None:
        data["models"] = {
            model: {"uri": uri, "digest": manifest.digests[model]}
            if model in manifest.digests
            else uri
            for model, uri in manifest.models.items()
        }
    elif manifest.rollback_to:
        data["rollback_to"] = manifest.rollback_to
    else:
        data["rollback"] = True
    return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _rollback_to(data: Mapping[str, Any]) -> int:
    if "rollback_to" not in data and data["rollback"] is True:
        return 0
    generation = data.get("rollback_to")
    if "rollback" in data or type(generation) is not int or not 1 <= generation < 1 << 63:
        raise ValueError(
            f'found {shown(data)}, expected {{"rollback": true}} or {{"rollback_to": GENERATION}}'
        )
    return generation


def dump(accepted: Accepted, writer: str = "") -> str:
    """An accepted release as JSON text.

    Args:
      accepted: the release.
      writer: tells two that write the same release apart.
    """
    candidate = accepted.candidate
    data = {
        "format": _FORMAT,
        "writer": writer,
        "generation": accepted.release.generation,
        "release_id": accepted.release.release_id,
        "accepted": accepted.time.isoformat(),
        "models": {v.model: {"uri": v.uri, "digest": v.digest} for v in accepted.release.versions},
        "candidate": candidate and {**candidate.as_json(), "sequence_us": candidate.sequence_us},
        "rollback_returns_to": accepted.returns_to,
        "newest": {
            model: {
                "uri": mark.version.uri,
                "digest": mark.version.digest,
                "sequence_us": mark.sequence_us,
                "candidate_id": mark.candidate_id,
            }
            for model, mark in accepted.marks.items()
        },
        "rules": {model: rule.as_json() for model, rule in accepted.rules.items()},
    }
    return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def load(text: str) -> Accepted:
    """The accepted release in a text made by `dump`.

    Raises:
      ValueError: it is damaged, or something else made it.
    """
    data = _json(text)
    try:
        if data.get("format", 1) != _FORMAT:  # missing in files of earlier builds
            raise ValueError(f"found format {shown(data['format'])}, expected {_FORMAT}")
        release = Release(
            _whole(data, "generation", least=1),
            tuple(
                ModelVersion(model, str(entry["uri"]), str(entry["digest"]))
                for model, entry in data["models"].items()
            ),
        )
        accepted = Accepted(
            release,
            datetime.fromisoformat(data["accepted"]),
            _candidate(data["candidate"]),
            _whole(data, "rollback_returns_to", least=1, optional=True),
            {model: _mark(model, entry) for model, entry in data["newest"].items()},
            # missing in files of earlier builds
            {key: VersionRule.from_json(rule) for key, rule in data.get("rules", {}).items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an accepted release: {type(error).__name__}: {error}") from error
    if release.release_id != data["release_id"] or accepted.marks.keys() != data["models"].keys():
        raise ValueError(
            f"it was changed: its models make release {release.release_id}, "
            f"expected {data['release_id']}"
        )
    return accepted


def _whole(data: Mapping[str, Any], key: str, *, least: int, optional: bool = False) -> Any:
    """A number of a file, which somebody may have written by hand; None where it may lack.

    Raises:
      ValueError: it is something else, or no file can hold it again.
    """
    value = data[key]
    if optional and value is None:
        return None
    if type(value) is not int or not least <= value < 1 << 63:
        raise ValueError(f"{key}: found {shown(value)}, expected a whole number from {least} on")
    return value


def _candidate(data: Mapping[str, Any] | None) -> Candidate | None:
    if data is None:
        return None
    return Candidate(
        candidate_id=data["id"],
        source=data["source"],
        sequence_us=_whole(data, "sequence_us", least=0),
        models=data.get("models", {}),
        manifest_uri=data.get("release"),
        rollback_to=data.get("rollback_to"),
    )


def _mark(model: str, data: Mapping[str, Any]) -> Mark:
    version = ModelVersion(model, data["uri"], data["digest"])
    return Mark(version, _whole(data, "sequence_us", least=0), data["candidate_id"])


def _json(text: str) -> Any:
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    check_keys_once(text)
    return data
