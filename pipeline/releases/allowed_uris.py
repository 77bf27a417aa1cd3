"""The folders from which models may be refreshed, and manifests read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.batch.version_number import part_of_version
from pipeline.spec.uris import climbs, split_scheme
from pipeline.spec.version_pattern import literal_prefix

_SHOWN = 5


@dataclass(frozen=True)
class AllowedUris:
    """Folders; everything in one of them, at any depth, is allowed.

    ``gs://b/clf`` allows ``gs://b/clf`` and ``gs://b/clf/7``, not ``gs://b/clf-of-others/7``.

    Attributes:
      folders: local, ``gs://`` or the start of a hub's URLs; a ``/`` at the end makes no
        difference.
      what: comes from there.
      parameter: names others.
    """

    folders: tuple[str, ...]
    what: str = "models"
    parameter: str = "--allowed_model_uris"

    @classmethod
    def beside(cls, model_uris: Iterable[str], patterns: Iterable[str] = ()) -> AllowedUris:
        """The folders that an ensemble file names.

        Args:
          model_uris: the URIs of the models. If a URI has a version number, the folder is the one
            with the numbered versions, otherwise the one with the file.
          patterns: watched patterns; the folder is the part before the first wildcard.
        """
        folders = [_folder_of_versions(uri) for uri in model_uris]
        folders += [_parent(literal_prefix(pattern)) for pattern in patterns]
        return cls(tuple(dict.fromkeys(folders)))

    def problem(self, uri: str) -> str | None:
        """Why nothing may come from `uri`, in words; None if it may."""
        if climbs(uri):
            return f"{uri} has '..' in it, expected the direct way"
        if any(f"{uri}/".startswith(f"{f.rstrip('/')}/") for f in self.folders if f):
            return None
        shown = [*self.folders[:_SHOWN], *(["..."] if len(self.folders) > _SHOWN else [])]
        return (
            f"{uri} is outside the folders that {self.what} may come from "
            f"({', '.join(shown) or 'none'}); {self.parameter} names others"
        )


def _folder_of_versions(uri: str) -> str:
    root, path = _root_and_path(uri)
    parts = [part for part in path.split("/") if part]
    position = part_of_version(parts)
    folder = "" if position is None else (root + "/".join(parts[:position])).rstrip("/")
    return folder or _parent(uri)


def _root_and_path(uri: str) -> tuple[str, str]:
    """Scheme and bucket, which never name a version, and the path behind them."""
    scheme, path = split_scheme(uri)
    bucket, slash, below = path.partition("/")
    if scheme:
        return scheme + bucket + slash, below
    return ("/", below) if slash and not bucket else ("", uri)


def _parent(uri: str) -> str:
    """The folder of a URI; of a bucket, or of the beginning of a name in it, the bucket."""
    scheme, path = split_scheme(uri)
    folder, slash, _ = path.rpartition("/")
    return scheme + (folder if slash else path) or "/"
