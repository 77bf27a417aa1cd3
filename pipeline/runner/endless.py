"""What sources of one endless element have in common: a single position, claimed when they end."""

from __future__ import annotations

from apache_beam.io.restriction_trackers import OffsetRange
from apache_beam.io.watermark_estimators import WalltimeWatermarkEstimator

from pipeline.runner.beam_types import DoFn, OffsetRestrictionTracker, RestrictionProvider


class _Tracker(OffsetRestrictionTracker):
    """Unbounded: on a drain what is left of it is dropped, not run to its end: there is none."""

    def is_bounded(self) -> bool:
        return False


class _Endless(RestrictionProvider):
    def initial_restriction(self, element: bytes) -> OffsetRange:
        return OffsetRange(0, 1)

    def create_tracker(self, restriction: OffsetRange) -> _Tracker:
        return _Tracker(restriction)

    def restriction_size(self, element: bytes, restriction: OffsetRange) -> int:
        return 1


RESTRICTION = DoFn.RestrictionParam(_Endless())
"""Default of the parameter that gets the tracker."""
WATERMARK = DoFn.WatermarkEstimatorParam(WalltimeWatermarkEstimator.default_provider())
"""Default of the parameter that gets the watermark estimator: what is emitted is new."""
