"""Attempts to make a release active in a process, and the pauses between them."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.batch.release import Release

RETRY_SECS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses between attempts at what a storage that cannot be read for a while holds up."""


@dataclass(frozen=True)
class Timing:
    """Pauses, in seconds.

    Attributes:
      retry_secs: between attempts to prepare a release: one more attempt than pauses.
      grace_secs: how long a version that no kept release names stays after its last use.
    """

    retry_secs: tuple[float, ...] = RETRY_SECS
    grace_secs: float = 10.0

    def pause_secs(self, attempt: int) -> float | None:
        """How long to wait after a failed attempt, 1 for the first; None after the last one."""
        return self.retry_secs[attempt - 1] if attempt <= len(self.retry_secs) else None


@dataclass(frozen=True)
class Activation:
    """One attempt to make a release active in this process.

    Attributes:
      release: which.
      error: why it failed; None when the release is active now.
      attempt: 1 for the first.
      final: no further attempt follows.
      prepare_secs: how long loading, checking and warming up took.
      load_secs: model -> how long loading took, for the models that were loaded.
    """

    release: Release
    error: Exception | None
    attempt: int
    final: bool
    prepare_secs: float
    load_secs: dict[str, float]
