"""A folder of copies that the processes of a machine share: made once, kept while held, removed.

Layout, where HASH is that of a URI::

    HASH/DIGEST/...      a copy
    HASH/DIGEST.lock     whoever uses the copy holds a shared lock on it
    HASH/tmp-.../        a copy in the making
    locks/HA             locks for the folders whose HASH begins with HA

A lock belongs to an open file (flock(2)): it holds between threads as well, and is gone with its
process, however that ends. Copies are made, held and removed only under the lock of their folder,
so that nobody takes hold of one that is being removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ArtifactError
from pipeline.serving.files.own_folder import own_folder

_LOCKS = "locks"
_SUFFIX = ".lock"


class Hold:
    """A lock on a file; it ends with :meth:`let_go`, with this object, or with the process."""

    def __init__(self, file: Path, operation: int) -> None:
        """Takes the lock.

        Raises:
          BlockingIOError: somebody has it, and `operation` says not to wait.
          OSError: the file cannot be opened.
        """
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._close = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, operation)
        except OSError:
            self._close()
            raise

    def let_go(self) -> None:
        """Gives the lock back."""
        self._close()


@dataclass(frozen=True)
class Copies:
    """The copies of what is or was at one URI. To be used under the lock of the folder.

    Attributes:
      root: see CopyFolder.
      folder: of these copies.
    """

    root: Path
    folder: Path

    def path(self, digest: str) -> Path:
        """Where the copy with a digest is, if it is there."""
        return self.folder / digest

    def hold(self, digest: str) -> Hold:
        """Keeps a copy from being removed."""
        return Hold(self.folder / f"{digest}{_SUFFIX}", fcntl.LOCK_SH)

    @contextmanager
    def new(self) -> Iterator[Path]:
        """A folder for a copy; what is left of it at the end of the block is removed."""
        self.remove_unfinished()
        temporary = Path(tempfile.mkdtemp(prefix="tmp-", dir=self.folder))
        try:
            yield temporary
        finally:
            _remove(temporary)

    def keep(self, temporary: Path, digest: str) -> None:
        """Makes what `new` gave the copy with a digest; another one of that digest was damaged."""
        _remove(self.path(digest))
        temporary.rename(self.path(digest))

    def remove_unfinished(self) -> None:
        """Removes what a process that died left: whoever makes a copy has the lock."""
        for leftover in self.folder.glob("tmp-*"):
            _remove(leftover)

    def remove_unused(self) -> None:
        """Removes the copies that nobody holds."""
        digests = {path.name.removesuffix(_SUFFIX) for path in self.folder.iterdir()}
        for digest in digests:
            lock = self.folder / f"{digest}{_SUFFIX}"
            with suppress(OSError):  # somebody holds it
                hold = Hold(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(self.path(digest))
                lock.unlink()
                hold.let_go()


class CopyFolder:
    """The copies of all URIs. Can be pickled.

    Args:
      root: the folder; created when needed, for this user only. None for the user's own on
        whatever machine it is asked for.
    """

    def __init__(self, root: Path | None) -> None:
        self._named = root

    @property
    def _root(self) -> Path:
        return self._named or own_folder("models")

    @contextmanager
    def locked(self, uri: str) -> Iterator[Copies]:
        """The copies of a URI, for one thread of one process at a time.

        Raises:
          ArtifactError: nothing can be stored here.
        """
        name = hashlib.sha256(uri.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        folder = self._root / name
        try:
            lock = self._lock(name, fcntl.LOCK_EX)
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ArtifactError(f"{uri} cannot be stored in '{self._root}': {error}") from error
        try:
            yield Copies(self._root, folder)
        finally:
            lock.let_go()

    def evict(self) -> None:
        """Removes the copies that nobody holds, and what dead processes left.

        Folders in which somebody is at work are passed over. Never raises: what cannot be removed
        stays.
        """
        for folder in _inside(self._root):
            if folder.name == _LOCKS:
                continue
            with suppress(OSError):
                lock = self._lock(folder.name, fcntl.LOCK_EX | fcntl.LOCK_NB)
                copies = Copies(self._root, folder)
                copies.remove_unfinished()
                copies.remove_unused()
                with suppress(OSError):  # it has copies that somebody holds
                    folder.rmdir()
                lock.let_go()

    def _lock(self, name: str, operation: int) -> Hold:
        locks = self._root / _LOCKS
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        locks.mkdir(exist_ok=True)
        return Hold(locks / name[:2], operation)


def _inside(folder: Path) -> list[Path]:
    """What is in a folder; nothing where it cannot be looked into."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _remove(folder: Path) -> None:
    """Removes a folder, or as much of it as can be removed."""
    # Python 3.11 calls itself for each level, and some files come from strangers.
    with suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
