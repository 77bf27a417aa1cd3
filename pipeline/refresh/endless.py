"""What sources of one endless element have in common: a single position, claimed when they end."""

from __future__ import annotations

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import WalltimeWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider


class _Endless(RestrictionProvider):  # type: ignore[misc]  # Beam's classes are untyped
    def initial_restriction(self, element: bytes) -> OffsetRange:
        return OffsetRange(0, 1)

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: bytes, restriction: OffsetRange) -> int:
        return 1


RESTRICTION = beam.DoFn.RestrictionParam(_Endless())
"""Default of the parameter that gets the tracker."""
WATERMARK = beam.DoFn.WatermarkEstimatorParam(WalltimeWatermarkEstimator.default_provider())
"""Default of the parameter that gets the watermark estimator: what is emitted is new."""
