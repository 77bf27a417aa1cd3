"""Shared models through Beam's MultiProcessShared, which starts one process for all of a machine.

That process is a child of the one that needed it first. It ends with it; whoever needs it next
starts another. Arrays do not go through Beam's channel (see :mod:`pipeline.serving.shared.arena`).

That channel is a port of this machine, and whoever may call unpickles and is unpickled. Beam knows
callers by a key that is the same everywhere; here it is one that only this user can read.
"""

from __future__ import annotations

import logging
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from apache_beam.utils import multi_process_shared
from apache_beam.utils.multi_process_shared import MultiProcessShared

from pipeline.backends.base import Servable
from pipeline.batch.release import ModelVersion
from pipeline.serving.files.own_folder import own_folder
from pipeline.serving.opening import Opening
from pipeline.serving.process_handle import ProcessHandle
from pipeline.serving.shared.arena import ArenaPool
from pipeline.serving.shared.host import ModelHost
from pipeline.serving.shared.servable import SharedServable

_KEY_BYTES = 32
_LOOK_SECS = 5.0


def _make_host(look_secs: float) -> ModelHost:
    """Called in the new process, which has no logging yet; Beam's remarks on it are not news."""
    logging.getLogger().addHandler(logging.NullHandler())
    ours = logging.getLogger("pipeline")
    ours.addHandler(logging.StreamHandler())
    ours.setLevel(logging.WARNING)
    return ModelHost(look_secs)


def key_in(folder: Path) -> bytes:
    """The key of the user's processes, made by the first that needs it."""
    key, mine = folder / "key", folder / f".key-{secrets.token_hex(8)}"
    if not key.exists():
        mine.touch(0o600)
        mine.write_bytes(secrets.token_bytes(_KEY_BYTES))
        with suppress(FileExistsError):
            key.hardlink_to(mine)
        mine.unlink()
    return key.read_bytes()


class BeamHostLink:
    """A HostLink. Every method may be called from any thread.

    Args:
      job_key: names the job; processes with the same one share a host.
      look_secs: see ModelHost.
    """

    def __init__(self, job_key: str, look_secs: float) -> None:
        self.arenas = ArenaPool()
        self._job_key = job_key
        self._look_secs = look_secs
        self._lock = threading.Lock()
        self._shared: Any = None
        self._host: Any = None

    def host(self) -> ModelHost:
        """See HostLink."""
        with self._lock:
            if self._host is None:
                folder = own_folder("shared")
                multi_process_shared.AUTH_KEY = key_in(folder)
                self._shared = MultiProcessShared(
                    partial(_make_host, self._look_secs),
                    f"models-{self._job_key}",
                    path=str(folder),
                    always_proxy=True,
                    spawn_process=True,
                )
                self._host = self._shared.acquire()
            return cast(ModelHost, self._host)

    def lost(self, host: ModelHost) -> None:
        """See HostLink."""
        # This thread's connection would be taken for that of a next host on the same port.
        with suppress(AttributeError):
            cast(Any, host).get_auto_proxy_object()._tls.__dict__.pop("connection", None)
        with self._lock:
            if self._host is host:
                self._host = None

    def close(self) -> None:
        """Forgets the host, which goes on for the other processes."""
        with self._lock:
            self._host = None


@dataclass(frozen=True)
class HostHandle(ProcessHandle[BeamHostLink]):
    """The link of each process of a job."""


@dataclass(frozen=True)
class VmSharing:
    """A Sharing: the copies are held by one process of the machine.

    Attributes:
      job_key: names the job.
      look_secs: how often that process looks whether those that use its models are alive.
    """

    job_key: str
    look_secs: float = _LOOK_SECS

    def __call__(self, version: ModelVersion, opening: Opening) -> Servable:
        """See Sharing."""
        link = HostHandle(self.job_key, partial(BeamHostLink, self.job_key, self.look_secs)).get()
        return SharedServable(link, version, opening)
