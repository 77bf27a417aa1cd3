"""Model versions and releases: the names of what is served.

Both are immutable values. A release is always complete: one version for each model.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from pipeline.batch.version_number import naming_part
from pipeline.readable import path_of, readable


@dataclass(frozen=True, order=True)
class ModelVersion:
    """One immutable artifact of one model.

    Attributes:
      model: name of the model in the ensemble.
      uri: the place of its files.
      digest: hash of the files' names and contents; two versions with one digest are the same.
    """

    model: str
    uri: str
    digest: str

    @cached_property
    def label(self) -> str:
        """Its name for people: the part of the URI that holds the version, else the last part.

        ``models/mlp/12/model.onnx`` is "12"; ``models/clf-v3.joblib`` is "clf-v3.joblib".
        """
        place = path_of(self.uri)
        parts = [part for part in place.split("/") if part]
        return readable(parts[naming_part(parts)] if parts else place)


@dataclass(frozen=True)
class Release:
    """The complete map model -> version that serves a batch.

    Attributes:
      generation: its order, given when it is accepted; higher is newer.
      versions: one for each model, sorted by model name.
    """

    wire_form: ClassVar[str] = "release/1"

    generation: int
    versions: tuple[ModelVersion, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "versions", tuple(sorted(self.versions)))

    @cached_property
    def release_id(self) -> str:
        """Hash of the sorted map; the same set of versions has the same id in every job."""
        text = "\n".join(f"{v.model}\t{v.uri}\t{v.digest}" for v in self.versions)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]

    def version_of(self, model: str) -> ModelVersion:
        """The version of one model.

        Raises:
          KeyError: the release has no such model.
        """
        for version in self.versions:
            if version.model == model:
                return version
        raise KeyError(model)

    def as_json(self) -> dict[str, object]:
        """The release as predictions and dead letters show it."""
        return {
            "id": self.release_id,
            "generation": self.generation,
            "models": {version.model: version.label for version in self.versions},
        }
