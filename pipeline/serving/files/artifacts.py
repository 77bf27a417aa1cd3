"""The files of model versions: where they are in this machine, and whether they are the right ones.

Where files come from is behind :class:`ArtifactStore`, because this layer knows no storage client.
Files count whatever their names: none is ignored, hidden ones included. Empty folders do not count.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from pipeline.backends.archives import DEFAULT_BYTES
from pipeline.backends.onnx.companions import companions
from pipeline.backends.user_class import source_of
from pipeline.batch.release import ModelVersion
from pipeline.errors import ArtifactChangedError, ArtifactError, ArtifactNotFoundError, LoadError
from pipeline.serving.files.copy_folder import Copies, CopyFolder, Hold
from pipeline.serving.files.local_files import (
    ArtifactFile,
    Snapshot,
    check_room,
    copy_version,
    digest_of,
    filesystem_of,
    snapshot,
)
from pipeline.serving.files.unpacking import folder_name, is_archive, unpack
from pipeline.spec.uris import CLASS_SCHEME, is_class_uri, is_hub_url, is_local
from pipeline.spec.version_pattern import match

TEXT_BYTES = 16 << 20
"""Most bytes of a small text file."""


class ArtifactStore(Protocol):
    """Artifacts, and small files about them. Stateless, picklable; any thread may call it."""

    def list_files(self, uri: str) -> Sequence[ArtifactFile]:
        """The files at a URI: itself, or all files below it; at least one.

        Raises:
          ArtifactNotFoundError: there is none.
          ArtifactError: the storage refuses.
        """
        ...

    def download(self, uri: str, relative: str, destination: Path) -> None:
        """Copies one listed file, byte for byte, to a new file in an existing folder.

        Raises:
          ArtifactNotFoundError: it is gone.
          ArtifactError: the storage refuses.
        """
        ...

    def exists(self, uri: str) -> bool:
        """Whether there is at least one file at the URI.

        Raises:
          ArtifactError: the storage refuses to tell.
        """
        ...

    def read_text(self, uri: str, most_bytes: int = TEXT_BYTES) -> str:
        """The text of a small file: a manifest, examples.

        Args:
          uri: of the file.
          most_bytes: what counts as small.

        Raises:
          ArtifactNotFoundError: there is none.
          ArtifactError: the storage refuses.
          ValueError: it is not UTF-8, or not small.
        """
        ...

    def write_text(self, uri: str, text: str) -> None:
        """Writes a small file, which replaces an older one; readers see it whole or not at all.

        Raises:
          ArtifactError: the storage refuses.
        """
        ...

    def remove(self, uri: str) -> None:
        """Removes a file, if there is one.

        Raises:
          ArtifactError: the storage refuses.
        """
        ...

    def write_folder(self, uri: str, source: Path) -> None:
        """Copies all files of a local folder. Only a local `uri` appears as a whole.

        Raises:
          ArtifactError: the storage refuses, or the files cannot be read.
        """
        ...


class ModuleHub(Protocol):
    """Finds the models that a URL of a hub stands for. Stateless, picklable."""

    def place(self, url: str) -> str:
        """Where the files of a module are: a local folder, or a URI of the ArtifactStore.

        Raises:
          ArtifactNotFoundError: there is no such module.
          ArtifactError: hub or storage refuse, or what they have is no model.
        """
        ...


class Fetched:
    """An artifact on this machine.

    Attributes:
      path: file or folder; to be read only.
      digest: of its files, as :func:`digest_of` computes it.

    Args:
      path: see there.
      digest: see there.
      hold: keeps the copy at `path`; None where the files are used in place.
      seen: what they looked like before `digest` was computed; None for a copy.
    """

    def __init__(
        self, path: Path, digest: str, hold: Hold | None = None, seen: Snapshot | None = None
    ) -> None:
        self.path = path
        self.digest = digest
        self._hold = hold
        self._seen = seen

    @property
    def is_copy(self) -> bool:
        """Whether it is a copy, which nobody changes and which stays until it is let go."""
        return self._hold is not None

    def check_unchanged(self) -> None:
        """Makes sure that what was read since is what the digest was computed of.

        Raises:
          ArtifactChangedError: files were overwritten, added or removed.
          ArtifactError: they cannot be looked at.
        """
        if self._seen is not None and snapshot(self.path) != self._seen:
            raise ArtifactChangedError(f"{self.path} was changed while it was loaded")

    def let_go(self) -> None:
        """Needs the copy no more. The same happens when this object or its process is gone."""
        if self._hold is not None:
            self._hold.let_go()


@dataclass(frozen=True)
class LocalCopies:
    """Which local files are loaded from a copy: those that may be overwritten while they serve.

    Frameworks map files into memory, so that writing to one changes what serves, and cutting one
    off ends the process.

    Attributes:
      patterns: what lies under one of them is watched, so somebody writes there.
      refreshed: the models of the job change while it runs. Then all are copied but what is on a
        read-only mount or in the image of this container, where nobody writes.
    """

    patterns: tuple[str, ...] = ()
    refreshed: bool = False

    def covers(self, uri: str) -> bool:
        """Whether the local file or folder at `uri` is loaded from a copy."""
        if any(match(pattern, uri.rstrip("/")) for pattern in self.patterns):
            return True
        if not self.refreshed or not Path(uri).exists():
            return False
        read_only = os.statvfs(uri).f_flag & os.ST_RDONLY
        return not read_only and filesystem_of(Path(uri)) != "overlay"


class ArtifactCache:
    """Brings artifacts to this machine. Threads and processes may share one root.

    Remote artifacts are downloaded below `root`, into a folder for each URI and digest, so an
    artifact that was overwritten never mixes with the older one; local ones are copied there, if
    `copies` says so or their path is not UTF-8, and archives are unpacked there. Others are used in
    place, and so are modules of a hub that lie in a local folder. Copies appear complete, by a
    rename. One stays as long as somebody holds it, which a `Fetched` does; :meth:`evict` removes
    the others.

    Attributes:
      most_unpacked_bytes: of an archive.

    Args:
      root: folder for copies; created when needed. None for one of the user's own.
      store: where artifacts come from.
      hub: finds the artifacts behind URLs of a hub; None where there are none.
      copies: which local files are copied.
      most_unpacked_bytes: see there.
    """

    def __init__(
        self,
        root: Path | None,
        store: ArtifactStore,
        hub: ModuleHub | None = None,
        copies: LocalCopies = LocalCopies(),
        most_unpacked_bytes: int = DEFAULT_BYTES,
    ) -> None:
        self._folder = CopyFolder(root)
        self._store = store
        self._hub = hub
        self._copies = copies
        self.most_unpacked_bytes = most_unpacked_bytes

    def fetch(self, uri: str) -> Fetched:
        """What is stored at `uri` now; a remote artifact is downloaded on every call.

        A module of a hub is taken to be what the hub's cache holds, a Python class what the source
        file of its module holds.

        Raises:
          ArtifactNotFoundError: nothing is there, or a folder without files.
          LoadError: a file that a single file needs beside it is missing, or not in its folder.
          ArtifactError: it cannot be read, or not be stored here.
        """
        if path := self._place(uri):
            return _in_place(path)
        with self._folder.locked(uri) as copies:
            return self._bring(uri, copies)

    def fetch_version(self, version: ModelVersion) -> Fetched:
        """The files of one version; they are fetched unless an intact copy is here.

        Raises:
          ArtifactChangedError: the URI holds other files by now.
          ArtifactNotFoundError: nothing is there, or a folder without files.
          ArtifactError: it cannot be read, or not be stored here.
        """
        if path := self._place(version.uri):
            fetched = _in_place(path)
        else:
            with self._folder.locked(version.uri) as copies:
                fetched = _copy_of(version, copies) or self._bring(version.uri, copies)
        if fetched.digest != version.digest:
            raise ArtifactChangedError(
                f"model '{version.model}': {version.uri} holds other files than the release was "
                f"made from: expected digest {version.digest}, found {fetched.digest}"
            )
        return fetched

    def evict(self) -> None:
        """Removes the copies that nobody on this machine holds, and what dead processes left."""
        self._folder.evict()

    def _place(self, uri: str) -> Path | None:
        """Where files are that are used in place; None for all others."""
        if is_class_uri(uri):
            return source_of(uri.removeprefix(CLASS_SCHEME))
        if not is_local(uri) or not _is_utf8(uri) or (is_archive(uri) and Path(uri).is_file()):
            return None
        return Path(uri) if not self._copies.covers(uri) else None

    def _bring(self, uri: str, copies: Copies) -> Fetched:
        """What is stored at a URI, in a copy unless it is a module that lies in a local folder."""
        place = self._hub.place(uri) if self._hub and is_hub_url(uri) else uri
        if is_local(place) and place != uri:
            return _in_place(Path(place))
        name = _name_of(uri)
        try:
            with copies.new() as temporary:
                self._copy_whole(place, temporary / name)
                digest = digest_of(temporary / name)
                final = copies.path(digest)
                if _digest_or_none(final / name) != digest:
                    copies.keep(temporary, digest)
            return Fetched(final / name, digest, copies.hold(digest))
        except OSError as error:
            raise ArtifactError(f"{uri} cannot be stored in '{copies.root}': {error}") from error

    def _copy_whole(self, uri: str, target: Path) -> None:
        """Copies all files at a URI to a path; those of an archive, if it is one."""
        copied = target.with_name(f"{target.name}.packed") if is_archive(uri) else target
        if is_local(uri):
            copy_version(Path(uri), copied)
        else:
            self._download(uri, copied)
        if copied.is_dir() and copied != target:  # a folder with the name of an archive
            copied.rename(target)
        elif copied != target:
            unpack(uri, copied, target, self.most_unpacked_bytes)
            copied.unlink()

    def _download(self, uri: str, target: Path) -> None:
        """Downloads all files below a URI, or the one that is there and what it needs beside it."""
        files = self._store.list_files(uri)
        self._copy(uri, files, target)
        if files[0].relative:
            return
        folder = uri.rpartition("/")[0]
        with target.open("rb") as file:
            names = companions(uri, file)
        for name in names:
            try:
                found = self._store.list_files(f"{folder}/{name}")
            except ArtifactNotFoundError as error:
                raise LoadError(
                    f"{uri} keeps a part of the model in '{name}', which is missing beside it"
                ) from error
            self._copy(f"{folder}/{name}", found, target.parent / name)

    def _copy(self, uri: str, files: Sequence[ArtifactFile], target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        check_room(target.parent, files)
        for file in files:
            # Object names are free text: "../x" or "/x" must not lead out of the folder.
            if ".." in PurePosixPath(file.relative).parts or file.relative.startswith("/"):
                raise ArtifactError(f"{uri}: '{file.relative}' is no path below a folder")
            destination = target / file.relative if file.relative else target
            destination.parent.mkdir(parents=True, exist_ok=True)
            self._store.download(uri, file.relative, destination)
            size = destination.stat().st_size
            if size != file.size_bytes:
                raise ArtifactError(
                    f"{uri}: '{file.relative or _name_of(uri)}' has {size} bytes after download, "
                    f"expected {file.size_bytes}"
                )


def _copy_of(version: ModelVersion, copies: Copies) -> Fetched | None:
    """The copy of a version that is here already, if it is intact."""
    path = copies.path(version.digest) / _name_of(version.uri)
    if _digest_or_none(path) != version.digest:
        return None
    return Fetched(path, version.digest, copies.hold(version.digest))


def _in_place(path: Path) -> Fetched:
    """A local artifact.

    Raises:
      ArtifactError: it cannot be read, or was changed meanwhile; may go well another time.
    """
    seen = snapshot(path)
    fetched = Fetched(path, digest_of(path), seen=seen)
    if snapshot(path) != seen:
        raise ArtifactError(f"{path} was changed while it was read")
    return fetched


def _digest_or_none(path: Path) -> str | None:
    try:
        return digest_of(path)
    except ArtifactError:
        return None


def _name_of(uri: str) -> str:
    """Last part of a URI: what the file or folder is called, here as there.

    An archive becomes a folder with its name without the suffix; what is not UTF-8 is replaced.
    """
    name = uri.rstrip("/").rpartition("/")[2]
    name = os.fsencode(name).decode(errors="replace")
    if is_archive(name):
        name = folder_name(name)
    return name if name.strip(".") else "model"  # ".." must not lead out of the folder


def _is_utf8(uri: str) -> bool:
    """Whether libraries in C++, which take a path as UTF-8, can open it."""
    return not any("\udc80" <= letter <= "\udcff" for letter in uri)
