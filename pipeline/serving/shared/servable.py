"""A process's end of a model that the processes of its machine share."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from pipeline.backends.base import Servable, ServableAround
from pipeline.backends.reasons import own_words
from pipeline.batch.columns import Array, Column
from pipeline.batch.release import ModelVersion
from pipeline.errors import ArtifactError, DeviceError, LoadError, ProcessLostError
from pipeline.serving.opening import Opening
from pipeline.serving.shared.arena import ArenaError, ArenaPool
from pipeline.serving.shared.host import Client, Description, ModelHost, Reply, started

_ATTEMPTS = 3
"""One that finds the host gone, one that has the next host open the model, one that counts."""
_HOST = "the process that holds the shared models of this machine"


class HostLink(Protocol):
    """A process's way to the machine's ModelHost.

    Attributes:
      arenas: memory for calls.
    """

    arenas: ArenaPool

    def host(self) -> ModelHost:
        """The host, or what stands for it here. Started where there is none.

        Raises:
          Exception: it cannot be started.
        """
        ...

    def lost(self, host: ModelHost) -> None:
        """A call of `host` raised: it is gone; the next one asked for is another one."""
        ...


class _LostError(Exception):
    """The host ended, or cannot be started."""


class SharedServable(Servable):
    """Sends its calls to the process that holds the model.

    If that process ends, a new one opens the model again, and the call is repeated: the answer is
    that of this version, or none.

    Args:
      link: the way to that process.
      version: what is called.
      opening: how it is opened there.

    Raises:
      ArtifactError, DeviceError: as from `opening`.
      LoadError: there is no such process, or it ended meanwhile.
    """

    def __init__(self, link: HostLink, version: ModelVersion, opening: Opening) -> None:
        self._link = link
        self._version = version
        self._opening = opening
        pid = os.getpid()
        self._client = Client(uuid.uuid4().hex, pid, started(pid) or "")
        try:
            with link.arenas.borrow() as arena:
                reachable = self._ask(lambda host: host.reach(arena.address))
            if reachable.kind == "failed":
                raise reachable.value
            described = self._open()
        except ArenaError as error:
            raise LoadError(
                f"`model_sharing: vm` does not work here: {error}; remove the key"
            ) from error
        except _LostError as error:
            raise LoadError(f"{_HOST} {error}") from error
        self.signature = described.signature
        self.device = described.device
        self.size_bytes = described.size_bytes
        self.warm_up_rows = described.warm_up_rows
        self.prepared_rows = described.prepared_rows
        self.half_inside = described.half_inside

    def predict(self, inputs: Mapping[str, Array]) -> Mapping[str, Column]:
        """See Servable, and `compute`."""
        return self.compute(inputs, merged=True)

    def unmerged(self) -> Servable:
        """See Servable."""
        return _Unmerged(self)

    def compute(self, inputs: Mapping[str, Array], *, merged: bool) -> Mapping[str, Column]:
        """Computes one batch, `merged` with those of other processes or by itself.

        Raises:
          ProcessLostError: the process that computes ended again and again, or cannot open the
            model any more.
        """
        problem: Exception | None = None
        for _ in range(_ATTEMPTS):
            try:
                reply = self._computed(inputs, merged)
                if reply.kind == "unknown":  # a new host
                    self._open()
                    continue
            except (_LostError, ArtifactError, DeviceError) as error:
                problem = error
                continue
            if reply.kind == "failed":
                raise reply.value
            outputs: Mapping[str, Column] = reply.value
            return outputs
        raise ProcessLostError(f"{_HOST} is gone: {problem}") from problem

    def close(self) -> None:
        """Needs the model no more."""
        with suppress(_LostError):
            self._ask(lambda host: host.release(self._version, self._client.token))

    def _computed(self, inputs: Mapping[str, Array], merged: bool) -> Reply:
        """The host's reply, with the outputs themselves as its value."""
        with self._link.arenas.borrow() as arena:
            packed = arena.put(inputs)
            reply = self._ask(
                lambda host: host.predict(self._version, arena.address, packed, merged)
            )
            if reply.kind == "done":
                return Reply("done", arena.get(reply.value, copy=True))
        return reply

    def _open(self) -> Description:
        reply = self._ask(lambda host: host.open(self._version, self._opening, self._client))
        if reply.kind == "failed":
            raise reply.value
        described: Description = reply.value
        return described

    def _ask(self, question: Callable[[ModelHost], Reply]) -> Reply:
        try:
            host = self._link.host()
        except Exception as error:
            raise _LostError(f"cannot be started: {own_words(error)}") from error
        try:
            return question(host)
        except Exception as error:
            self._link.lost(host)
            raise _LostError(f"ended during a call ({type(error).__name__})") from error


class _Unmerged(ServableAround):
    """A shared servable whose calls are not merged with those of other processes."""

    _servable: SharedServable

    def predict(self, inputs: Mapping[str, Array]) -> Mapping[str, Column]:
        """See SharedServable."""
        return self._servable.compute(inputs, merged=False)
