"""The files of model versions: where they are in this machine, and whether they are the right ones.

Where files come from is behind :class:`ArtifactStore`, because this layer knows no storage client.
Files count whatever their names: none is ignored, hidden ones included. Empty folders do not count.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from pipeline.backends.python_class import source_of
from pipeline.core.hub_url import is_hub_url
from pipeline.core.model_spec import CLASS_SCHEME, is_class_uri
from pipeline.core.release import ModelVersion
from pipeline.errors import ArtifactChangedError, ArtifactError, ArtifactNotFoundError


class ArtifactFile(NamedTuple):
    """One file of an artifact.

    Attributes:
      relative: path below the folder, with ``/``; empty where the URI is that of the file itself.
      size_bytes: its size.
    """

    relative: str
    size_bytes: int


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

    def read_text(self, uri: str) -> str:
        """The text of a small file: a manifest, examples.

        Raises:
          ArtifactNotFoundError: there is none.
          ArtifactError: the storage refuses.
          ValueError: it is not UTF-8, or not small.
        """
        ...

    def write_text(self, uri: str, text: str) -> None:
        """Writes a small file, in place of an older one; readers see it whole or not at all.

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


@dataclass(frozen=True)
class Fetched:
    """An artifact on this machine.

    Attributes:
      path: file or folder; to be read only.
      digest: of its files, as :func:`digest_of` computes it.
    """

    path: Path
    digest: str


class ArtifactCache:
    """Brings artifacts to this machine. Threads and processes may share one root.

    Local URIs are used in place, and so are modules of a hub that lie in a local folder. Others are
    downloaded below `root`, into a folder for each URI and digest, so an artifact that was
    overwritten never mixes with the older one. Folders appear complete, by a rename. Nothing is
    ever removed, but copies found damaged.

    Args:
      root: folder for downloads; created when needed.
      store: where they come from.
      hub: finds the artifacts behind URLs of a hub; None where there are none.
    """

    def __init__(self, root: Path, store: ArtifactStore, hub: ModuleHub | None = None) -> None:
        self._root = root
        self._store = store
        self._hub = hub

    def fetch(self, uri: str) -> Fetched:
        """What is stored at `uri` now; a remote artifact is downloaded on every call.

        A module of a hub is taken to be what the hub's cache holds, a Python class what the source
        file of its module holds.

        Raises:
          ArtifactNotFoundError: nothing is there, or a folder without files.
          ArtifactError: it cannot be read, or not be stored here.
        """
        if is_local(uri):
            return Fetched(Path(uri), digest_of(Path(uri)))
        if is_class_uri(uri):
            source = source_of(uri.removeprefix(CLASS_SCHEME))
            return Fetched(source, digest_of(source))
        with self._locked(uri) as folder:
            return self._bring(uri, folder)

    def fetch_version(self, version: ModelVersion) -> Path:
        """The files of one version; a remote one is downloaded unless an intact copy is here.

        Raises:
          ArtifactChangedError: the URI holds other files by now.
          ArtifactNotFoundError: nothing is there, or a folder without files.
          ArtifactError: it cannot be read, or not be stored here.
        """
        if is_local(version.uri) or is_class_uri(version.uri):
            fetched = self.fetch(version.uri)
        else:
            with self._locked(version.uri) as folder:
                cached = folder / version.digest / _name_of(version.uri)
                if _digest_or_none(cached) == version.digest:
                    return cached
                fetched = self._bring(version.uri, folder)
        if fetched.digest != version.digest:
            raise ArtifactChangedError(
                f"model '{version.model}': {version.uri} holds other files than the release was "
                f"made from: expected digest {version.digest}, found {fetched.digest}"
            )
        return fetched.path

    @contextmanager
    def _locked(self, uri: str) -> Iterator[Path]:
        """The folder of a URI, for one thread of one process at a time."""
        folder = self._root / hashlib.sha256(uri.encode()).hexdigest()[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # An open file description each, so the lock holds between threads as well.
            lock = (folder / "lock").open("wb")
        except OSError as error:
            raise ArtifactError(f"{uri} cannot be stored in '{self._root}': {error}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder

    def _bring(self, uri: str, folder: Path) -> Fetched:
        """What is stored at a remote URI; a download goes into `folder`, which is locked."""
        place = self._hub.place(uri) if self._hub and is_hub_url(uri) else uri
        if is_local(place):
            return Fetched(Path(place), digest_of(Path(place)))
        return self._download(place, folder, _name_of(uri))

    def _download(self, uri: str, folder: Path, name: str) -> Fetched:
        """Downloads into a subfolder of `folder`, unless the same files are there already."""
        files = self._store.list_files(uri)
        for leftover in folder.glob("tmp-*"):  # of a process that died amid a download
            shutil.rmtree(leftover)
        temporary = Path(tempfile.mkdtemp(prefix="tmp-", dir=folder))
        try:
            self._copy(uri, files, temporary / name)
            digest = digest_of(temporary / name)
            final = folder / digest
            if _digest_or_none(final / name) != digest:
                shutil.rmtree(final, ignore_errors=True)
                temporary.rename(final)
        except OSError as error:
            raise ArtifactError(f"{uri} cannot be stored in '{self._root}': {error}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Fetched(final / name, digest)

    def _copy(self, uri: str, files: Sequence[ArtifactFile], target: Path) -> None:
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


def is_local(uri: str) -> bool:
    """Whether `uri` is a path of this machine."""
    return "://" not in uri


def local_files(path: Path) -> list[ArtifactFile]:
    """The files at a local path: itself, or all files below it.

    Raises:
      ArtifactNotFoundError: nothing is there, or a folder without files.
    """
    if path.is_file():
        return [ArtifactFile("", path.stat().st_size)]
    if not path.is_dir():
        raise ArtifactNotFoundError(f"{path} does not exist")
    files = [
        ArtifactFile(file.relative_to(path).as_posix(), file.stat().st_size)
        for file in path.rglob("*")
        if file.is_file()
    ]
    if not files:
        raise ArtifactNotFoundError(f"{path} is a folder without files, expected a model in it")
    return files


def digest_of(path: Path) -> str:
    """sha256 over the sorted (relative path, size, sha256 of the content) of all files.

    The same for a copy anywhere; of a single file the name does not count.

    Raises:
      ArtifactNotFoundError: nothing is there, or a folder without files.
      ArtifactError: a file cannot be read.
    """
    total = hashlib.sha256()
    try:
        for relative, size in sorted(local_files(path)):
            content = _sha256(path / relative if relative else path)
            total.update(f"{relative}\0{size}\0{content}\n".encode())
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    return total.hexdigest()


def _digest_or_none(path: Path) -> str | None:
    try:
        return digest_of(path)
    except ArtifactError:
        return None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _name_of(uri: str) -> str:
    """Last part of a URI: what the file or folder is called, here as there."""
    name = uri.rstrip("/").rpartition("/")[2]
    return name if name.strip(".") else "model"  # ".." must not lead out of the folder
