"""Where models may be refreshed from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.core.hub_url import climbs
from pipeline.core.version_number import part_of_version
from pipeline.core.version_pattern import literal_prefix

_ROOT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*/?|/?")
_SHOWN = 5


@dataclass(frozen=True)
class AllowedUris:
    """Folders; what lies in one of them, at any depth, is allowed.

    ``gs://b/clf`` allows ``gs://b/clf`` and ``gs://b/clf/7``, not ``gs://b/clf-of-others/7``.

    Attributes:
      folders: local, ``gs://`` or the beginning of a hub's URLs; a ``/`` at the end makes no
        difference.
    """

    folders: tuple[str, ...]

    @classmethod
    def beside(cls, model_uris: Iterable[str], patterns: Iterable[str] = ()) -> AllowedUris:
        """The folders that an ensemble file names.

        Args:
          model_uris: of the models. The folder is the one that holds the numbered versions where
            the URI has a version number, else the one that holds the file.
          patterns: watched; the folder is what stands before the first wildcard.
        """
        folders = [_folder_of_versions(uri) for uri in model_uris]
        folders += [_parent(literal_prefix(pattern)) for pattern in patterns]
        return cls(tuple(dict.fromkeys(folders)))

    def problem(self, uri: str) -> str | None:
        """Why a model may not come from `uri`, in words; None where it may."""
        if climbs(uri):
            return f"{uri} has '..' in it, expected the direct way to a model"
        if any(f"{uri}/".startswith(f"{f.rstrip('/')}/") for f in self.folders if f):
            return None
        shown = [*self.folders[:_SHOWN], *(["..."] if len(self.folders) > _SHOWN else [])]
        return (
            f"{uri} is outside the folders that models may come from ({', '.join(shown)}); "
            "--allowed_model_uris names others"
        )


def _folder_of_versions(uri: str) -> str:
    root, path = _root_and_path(uri)
    parts = [part for part in path.split("/") if part]
    position = part_of_version(parts)
    folder = "" if position is None else (root + "/".join(parts[:position])).rstrip("/")
    return folder or _parent(uri)


def _root_and_path(uri: str) -> tuple[str, str]:
    """Scheme and bucket, which never name a version, and the path behind them."""
    found = _ROOT.match(uri)
    root = found[0] if found else ""
    return root, uri[len(root) :]


def _parent(uri: str) -> str:
    """The folder of a URI; of a bucket, or of the beginning of a name in it, the bucket."""
    scheme, separator, path = uri.rpartition("://")
    folder, slash, _ = path.rpartition("/")
    return scheme + separator + (folder if slash else path) or "/"
