"""Which loaded versions a process keeps: a pure function from what is there to what may go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.batch.release import ModelVersion, Release


@dataclass(frozen=True)
class Loaded:
    """One loaded version, as the policy sees it.

    Attributes:
      version: which.
      users: calls under way.
      idle_secs: since its last use, or since it was loaded.
    """

    version: ModelVersion
    users: int
    idle_secs: float


def evictable(
    loaded: Iterable[Loaded], keep: Iterable[Release], grace_secs: float
) -> list[ModelVersion]:
    """The versions to unload now.

    Args:
      loaded: everything in memory.
      keep: releases whose versions stay: the active one, the one before it (for batches that still
        name it, and for a rollback), and one being prepared.
      grace_secs: others go after so long without use. In-flight batches of an old release find its
        models within that time; later ones cause a reload.
    """
    kept = {version for release in keep for version in release.versions}
    return [
        one.version
        for one in loaded
        if one.version not in kept and one.users == 0 and one.idle_secs >= grace_secs
    ]
