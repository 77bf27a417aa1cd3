"""What our own sources have in common: one endless element, and how far a source has come with it.

All of them have the same restriction and so the same coder: Flink takes two sources with equal
coders for one when it restores a job, in an order that chance decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from apache_beam.io.iobase import RestrictionProgress
from apache_beam.io.watermark_estimators import WalltimeWatermarkEstimator

from pipeline.runner.beam_types import DoFn, RestrictionProvider, RestrictionTracker
from pipeline.runner.coders import FormCoder


@dataclass(frozen=True)
class SourceProgress:
    """How far a source has come: small, and enough to go on from. See `batch.wire`.

    Attributes:
      seen: keys of what it is done with, one after the other; empty where it keeps none.
      reading: key of what it has in hand; empty for none.
      blocks: how many blocks of that were emitted.
      ended: whether it is over for good.
      unknown: see :mod:`pipeline.batch.wire`.
    """

    wire_form: ClassVar[str] = "source-progress/1"

    seen: bytes = b""
    reading: bytes = b""
    blocks: int = 0
    ended: bool = False
    unknown: Mapping[str, Any] = field(default_factory=dict)


class ProgressTracker(RestrictionTracker):
    """Follows a source. It can be cut off where it is, not shared out: one worker reads.

    It is unbounded: on a drain what is left of it is dropped, not run to an end that it has not.
    """

    def __init__(self, progress: SourceProgress) -> None:
        self._progress = progress
        self._checkpointed = False

    def current_restriction(self) -> SourceProgress:
        """How far it has come."""
        return self._progress

    def try_claim(self, progress: SourceProgress) -> bool:
        """Whether the source may go on to `progress`; not after it was cut off."""
        if not self._checkpointed:
            self._progress = progress
        return not self._checkpointed

    def try_split(
        self, fraction_of_remainder: float
    ) -> tuple[SourceProgress, SourceProgress] | None:
        """Cuts it off where it is, for 0; None for anything else."""
        if fraction_of_remainder or self._checkpointed or self._progress.ended:
            return None
        self._checkpointed = True
        residual = self._progress
        self._progress = replace(residual, ended=True)
        return self._progress, residual

    def check_done(self) -> bool:
        """Makes sure that the source was deferred or ended."""
        if not self._progress.ended:
            raise ValueError("a source was neither deferred nor ended")
        return True

    def current_progress(self) -> RestrictionProgress:
        """What a runner may want to know."""
        return RestrictionProgress(fraction=1.0 if self._progress.ended else 0.0)

    def is_bounded(self) -> bool:
        """False."""
        return False


class Endless(RestrictionProvider):
    """The restriction of a source of one endless element, whatever the element is."""

    def initial_restriction(self, element: object) -> SourceProgress:
        """The start."""
        return SourceProgress()

    def create_tracker(self, progress: SourceProgress) -> ProgressTracker:
        """Follows a source from there."""
        return ProgressTracker(progress)

    def restriction_size(self, element: object, progress: SourceProgress) -> float:
        """Always the same: nobody knows what is to come."""
        return 1.0

    def restriction_coder(self) -> FormCoder:
        """The same for all sources."""
        return FormCoder(SourceProgress)


def end(tracker: Any) -> bool:
    """Ends a source for good; false if it was cut off, and ends elsewhere."""
    ended: bool = tracker.try_claim(replace(tracker.current_restriction(), ended=True))
    return ended


RESTRICTION = DoFn.RestrictionParam(Endless())
"""Default of the parameter that gets the tracker."""
WATERMARK = DoFn.WatermarkEstimatorParam(WalltimeWatermarkEstimator.default_provider())
"""Default of the parameter that gets the watermark estimator: what is emitted is new."""
